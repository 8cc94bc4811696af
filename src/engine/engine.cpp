#include "engine/engine.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <exception>
#include <map>

#include "base/strings.h"
#include "engine/batch_builder.h"
#include "engine/decode_graphs.h"
#include "engine/rank_layout.h"
#include "engine/sampler.h"
#include "ops/copy.h"
#include "ops/device_context.h"

namespace r1::engine {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

EngineOptions with_defaults(EngineOptions options, const ExecContext& ctx, const models::CausalLM& model) {
  const bool is_cuda = ctx.backend() == Backend::kCuda;
  if (options.max_batch_tokens == 0) options.max_batch_tokens = default_batch_tokens({is_cuda ? DeviceKind::kCuda : DeviceKind::kCpu, 0});
  if (!options.attend_in_batch) options.attend_in_batch = is_cuda && !ops::is_batch_invariant();
  const std::int64_t trained = model.config().max_position_embeddings;
  if (options.max_model_len == 0) options.max_model_len = trained;
  R1_ASSERT(options.max_model_len > 0 && options.max_num_sequences > 0 && options.max_batch_tokens > 0, "engine options out of range");
  return options;
}

std::int64_t num_cache_blocks(const ExecContext& ctx, const EngineOptions& options, const models::CausalLM& model, DType dtype) {
  const std::int64_t block_bytes = kv_block_bytes(model, options.block_size, dtype);
  const std::int64_t blocks_each = ceil_div(options.max_model_len, options.block_size);
  std::int64_t bytes = options.kv_cache_bytes;
  if (bytes == 0)
    bytes = std::min(options.max_num_sequences * blocks_each * block_bytes, available_bytes(ctx, options.ranks_sharing_memory) / 2);
  std::int64_t num_blocks = bytes / block_bytes;
  if (options.ranks != nullptr) num_blocks = options.ranks->agreed_minimum(num_blocks, "blocks of the KV cache");
  if (num_blocks < blocks_each) {
    fail(ErrorKind::kMemory,
         "the KV cache of {} cannot hold one sequence of {} tokens, which takes {}: raise --kv-cache-memory or lower --max-model-len",
         format_bytes(static_cast<double>(std::min(bytes, num_blocks * block_bytes))), options.max_model_len,
         format_bytes(static_cast<double>(blocks_each * block_bytes)));
  }
  // A slot is an i32; more than what all sequences together can fill is of no use.
  const std::int64_t useful = std::min<std::int64_t>(options.max_num_sequences * blocks_each, INT32_MAX / options.block_size);
  return std::min(num_blocks, useful);
}

/// A batch whose tokens are drawn on another rank.
struct InFlight {
  std::vector<Sequence*> drawing;
  Tensor message;  // [2 n + 1] i32 on the host: ids, bits of the log-probs, whether to stop
  comm::Work draws;
};

/// Sequences and cache of one batch of the pipeline; without a pipeline there is one lane.
struct Lane {
  Lane(const ExecContext& ctx, const models::CausalLM& model, std::int64_t num_blocks, int max_num_sequences, const EngineOptions& options,
       DType dtype)
      : blocks(num_blocks, options.block_size, options.prefix_cache),
        cache(ctx, model, num_blocks + (ctx.recorder() != nullptr ? 1 : 0), options.block_size, dtype),  // the spare block of DecodeGraphs
        scheduler(blocks, max_num_sequences, options.max_batch_tokens) {}

  BlockAllocator blocks;
  KvCache cache;
  Scheduler scheduler;
  std::int64_t num_unfinished = 0;
  std::optional<InFlight> in_flight;
  comm::Work state_send;
};

constexpr std::int64_t kLaneSlack = 8;  // sequences that a lane may have more than another so that samples of a prompt share its prefill

}  // namespace

// As many as fill the device's arithmetic.
std::int64_t default_batch_tokens(Device device) { return device.kind == DeviceKind::kCuda ? 4096 : 512; }

class Engine::Impl {
 public:
  Impl(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const text::Tokenizer* tokenizer, EngineOptions options)
      : ctx_(ctx),
        model_(model),
        runner_(runner),
        tokenizer_(tokenizer),
        options_(with_defaults(std::move(options), ctx, model)),
        ranks_(options_.ranks != nullptr && !options_.ranks->is_alone() ? options_.ranks : nullptr) {
    const std::int64_t num_blocks = num_cache_blocks(ctx, options_, model, runner.activation_dtype());
    // As many batches under way as there are stages, as far as each has room for a sequence.
    const std::int64_t num_stages = ranks_ != nullptr ? ranks_->num_stages() : 1;
    const std::int64_t num_lanes = std::min(
        {num_stages, num_blocks / ceil_div(options_.max_model_len, options_.block_size), std::int64_t{options_.max_num_sequences}});
    max_lane_sequences_ = static_cast<int>(ceil_div(options_.max_num_sequences, num_lanes));
    for (std::int64_t i = 0; i < num_lanes; ++i) {
      lanes_.push_back(
          std::make_unique<Lane>(ctx, model, num_blocks / num_lanes, max_lane_sequences_, options_, runner.activation_dtype()));
      stats_.num_blocks += num_blocks / num_lanes;
    }
    if (ranks_ == nullptr && !options_.enforce_eager) {
      graphs_ = DecodeGraphs::make(ctx, model, runner, lanes_.front()->cache,
                                   {options_.block_size, options_.max_model_len, static_cast<BlockId>(num_blocks)});
    }
  }

  ~Impl() {
    if (std::uncaught_exceptions() > 0) return;  // the other ranks may be gone
    try {
      for (const auto& lane : lanes_) {
        if (lane->in_flight) lane->in_flight->draws.wait();
        lane->state_send.wait();
      }
    } catch (const Error&) {
      // A lost rank: the job ends with the message of whoever noticed it.
    }
  }

  std::uint64_t add(Request request);
  bool has_unfinished() const {
    return std::ranges::any_of(lanes_, [](const auto& lane) { return lane->scheduler.has_unfinished(); });
  }
  std::map<std::uint64_t, Completion> step();

  void weights_changed() {
    R1_ASSERT(!has_unfinished(), "the model's values change while completions are unfinished");
    for (const auto& lane : lanes_) lane->blocks.forget_all();
    if (graphs_ != nullptr) graphs_->weights_changed();
  }

  const EngineStats& stats() const { return stats_; }
  bool stop_agreed() const { return stop_agreed_; }

 private:
  using Finished = std::map<std::uint64_t, Completion>;

  Lane& lane_for(const Request& request);
  Lane& next_lane();
  /// Schedules a batch and runs it through the layers that are here.
  void launch(Lane& lane);
  nn::Activations run_layers(Lane& lane, nn::Pass& pass, std::span<const ScheduledChunk> chunks);
  /// Takes the batch's tokens; waits for the rank that draws them.
  void collect(Lane& lane, Finished& finished);
  /// Starts the draw from logits [batch.drawing.size(), vocab_size], which are undefined where the head is elsewhere.
  void draw(InFlight& batch, Tensor logits);
  void update_stats();
  /// The finish reason when the sequence ends with its last token.
  std::optional<FinishReason> finish_reason(Sequence& sequence) const;
  Completion to_completion(Sequence& sequence, FinishReason reason) const;
  void count_step(const Lane& lane, std::span<const ScheduledChunk> chunks);
  std::int64_t num_positions(std::span<const ScheduledChunk> chunks) const;

  const ExecContext& ctx_;
  models::CausalLM& model_;
  nn::UnitRunner& runner_;
  const text::Tokenizer* tokenizer_;
  EngineOptions options_;
  RankLayout* ranks_;  // null: this rank has the whole model
  int max_lane_sequences_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::unique_ptr<DecodeGraphs> graphs_;  // null: every step is launched op by op
  std::size_t last_lane_ = 0;
  Lane* lane_of_last_prompt_ = nullptr;
  std::shared_ptr<const std::vector<std::int32_t>> last_prompt_;
  bool stop_agreed_ = false;
  std::uint64_t arrivals_ = 0;
  EngineStats stats_;
};

std::uint64_t Engine::Impl::add(Request request) {
  const auto length = static_cast<std::int64_t>(request.prompt_ids->size());
  if (length == 0) fail(ErrorKind::kData, "row {}: the prompt is empty; expected at least one token", request.row_id);
  if (length >= options_.max_model_len) {
    fail(ErrorKind::kData, "row {}: the prompt has {} tokens, which leaves no room for a completion within max_model_len {}",
         request.row_id, length, options_.max_model_len);
  }
  const std::int64_t vocab_size = model_.config().vocab_size;
  for (const std::int32_t id : *request.prompt_ids) {
    if (id >= 0 && id < vocab_size) continue;
    fail(ErrorKind::kData, "row {}: token id {} in the prompt: expected 0 to {}; do tokenizer and model belong together?", request.row_id,
         id, vocab_size - 1);
  }
  R1_ASSERT(request.params != nullptr && request.params->max_new_tokens > 0, "a request without sampling parameters or without length");
  auto sequence = std::make_unique<Sequence>();
  sequence->arrival = arrivals_++;
  sequence->tokens = *request.prompt_ids;
  if (!request.params->stop_texts.empty()) {
    R1_ASSERT(tokenizer_ != nullptr, "stop texts need a tokenizer");
    sequence->stop_checker = std::make_unique<StopChecker>(*tokenizer_, request.params->stop_texts);
  }
  sequence->request = std::move(request);
  Lane& lane = lane_for(sequence->request);
  ++lane.num_unfinished;
  lane.scheduler.add(std::move(sequence));
  return arrivals_ - 1;
}

/// The emptiest, but samples of one prompt stay together as long as that does not leave others idle.
Lane& Engine::Impl::lane_for(const Request& request) {
  if (lanes_.size() == 1) return *lanes_.front();
  Lane& emptiest = **std::ranges::min_element(lanes_, {}, [](const auto& lane) { return lane->num_unfinished; });
  const bool is_same_prompt = lane_of_last_prompt_ != nullptr && last_prompt_ == request.prompt_ids;
  if (!is_same_prompt || lane_of_last_prompt_->num_unfinished >= emptiest.num_unfinished + kLaneSlack) lane_of_last_prompt_ = &emptiest;
  last_prompt_ = request.prompt_ids;
  return *lane_of_last_prompt_;
}

/// In turn, those that have anything to do.
Lane& Engine::Impl::next_lane() {
  do {
    last_lane_ = (last_lane_ + 1) % lanes_.size();
  } while (!lanes_[last_lane_]->scheduler.has_unfinished());
  return *lanes_[last_lane_];
}

std::optional<FinishReason> Engine::Impl::finish_reason(Sequence& sequence) const {
  const SamplingParams& params = *sequence.request.params;
  const std::int32_t last = sequence.tokens.back();
  const bool may_stop = sequence.num_generated() > params.min_new_tokens;
  const bool has_stop_text = sequence.stop_checker != nullptr && sequence.stop_checker->add(last);
  const bool is_stop_token = !params.ignore_eos && std::ranges::find(params.stop_token_ids, last) != params.stop_token_ids.end();
  if (is_stop_token || (has_stop_text && may_stop)) return FinishReason::kStop;
  if (sequence.num_generated() >= params.max_new_tokens) return FinishReason::kMaxNewTokens;
  if (sequence.num_tokens() >= options_.max_model_len) return FinishReason::kMaxModelLen;
  return std::nullopt;
}

Completion Engine::Impl::to_completion(Sequence& sequence, FinishReason reason) const {
  Completion completion;
  completion.row_id = sequence.request.row_id;
  completion.sample = sequence.request.sample;
  completion.ids.assign(sequence.tokens.begin() + sequence.prompt_length(), sequence.tokens.end());
  completion.log_probs = std::move(sequence.log_probs);
  completion.finish_reason = reason;
  if (tokenizer_ != nullptr) {
    completion.text = tokenizer_->decode(completion.ids, {.skip_special_tokens = true});
    if (reason == FinishReason::kStop) {
      if (const auto stop = find_stop_text(completion.text, sequence.request.params->stop_texts)) completion.text.resize(*stop);
    }
  }
  return completion;
}

void Engine::Impl::count_step(const Lane& lane, std::span<const ScheduledChunk> chunks) {
  ++stats_.steps;
  for (const ScheduledChunk& chunk : chunks) {
    (chunk.sequence->has_generated() && chunk.num_tokens == 1 ? stats_.decode_tokens : stats_.prefill_tokens) += chunk.num_tokens;
  }
  stats_.slot_steps += max_lane_sequences_;
  stats_.idle_slot_steps += max_lane_sequences_ - lane.scheduler.num_running();
}

/// Rows of the rotary table that the step needs, rounded up so that the table grows seldom.
std::int64_t Engine::Impl::num_positions(std::span<const ScheduledChunk> chunks) const {
  std::int64_t needed = 0;
  for (const ScheduledChunk& chunk : chunks) needed = std::max(needed, chunk.sequence->num_computed + chunk.num_tokens);
  return std::min<std::int64_t>(options_.max_model_len, std::max<std::int64_t>(512, std::bit_ceil(static_cast<std::uint64_t>(needed))));
}

void Engine::Impl::launch(Lane& lane) {
  const std::vector<ScheduledChunk> chunks = lane.scheduler.schedule();
  count_step(lane, chunks);
  const bool is_recorded = graphs_ != nullptr && DecodeGraphs::are_decode_steps(chunks);
  nn::Pass pass{ctx_, runner_, nullptr, ranks_ != nullptr ? ranks_->tensor_parallel() : nullptr};
  nn::Activations state;
  Tensor logits;
  if (is_recorded) {
    logits = graphs_->logits(chunks);
    stats_.replayed_steps = graphs_->num_replays();
  } else {
    state = run_layers(lane, pass, chunks);
  }

  InFlight in_flight;
  std::vector<std::int32_t> logit_rows;
  std::int32_t end = 0;
  for (const ScheduledChunk& chunk : chunks) {
    end += static_cast<std::int32_t>(chunk.num_tokens);
    const bool draws = chunk.draws();
    lane.scheduler.computed(chunk);
    if (!draws) continue;
    in_flight.drawing.push_back(chunk.sequence);
    logit_rows.push_back(end - 1);
    if (chunk.sequence->has_generated()) continue;
    for (const PromptTakeover& takeover : lane.scheduler.take_over(*chunk.sequence)) {
      if (takeover.copy_to >= 0) lane.cache.copy_block(ctx_, takeover.copy_from, takeover.copy_to);
      in_flight.drawing.push_back(takeover.sequence);
      logit_rows.push_back(end - 1);
    }
  }
  if (!in_flight.drawing.empty()) {
    if (!is_recorded && model_.has_head()) {
      const auto num_rows = static_cast<std::int64_t>(logit_rows.size());
      logits = model_.logits(pass, state, ops::to_device(ctx_, Tensor::host_from<std::int32_t>(logit_rows, {num_rows}, DType::kI32)));
    }
    draw(in_flight, std::move(logits));
  }
  lane.in_flight = std::move(in_flight);
}

nn::Activations Engine::Impl::run_layers(Lane& lane, nn::Pass& pass, std::span<const ScheduledChunk> chunks) {
  const models::TokenBatch batch = build_batch(ctx_, chunks, lane.cache, options_.block_size, num_positions(chunks),
                                               *options_.attend_in_batch ? FreshAttention::kInBatch : FreshAttention::kThroughCache);
  nn::Activations state;
  if (!model_.has_embedding())
    state = ranks_->receive_state(ctx_, batch.input_ids.dim(0), model_.config().hidden_size, runner_.activation_dtype());
  state = model_.decode(pass, batch, state);
  if (!model_.has_head()) {
    lane.state_send.wait();
    lane.state_send = ranks_->send_state(ctx_, state);
  }
  return state;
}

void Engine::Impl::draw(InFlight& batch, Tensor logits) {
  const auto num_rows = static_cast<std::int64_t>(batch.drawing.size());
  batch.message = Tensor::host({2 * num_rows + 1}, DType::kI32);
  const auto values = batch.message.host_span<std::int32_t>();
  if (model_.has_head() && (ranks_ == nullptr || ranks_->draws())) {
    const DrawnTokens drawn = draw_tokens(ctx_, logits, batch.drawing, options_.seed);
    std::ranges::copy(drawn.ids, values.begin());
    std::ranges::transform(drawn.log_probs, values.begin() + num_rows, [](float x) { return std::bit_cast<std::int32_t>(x); });
    values.back() = ranks_ != nullptr && options_.wants_to_stop && options_.wants_to_stop() ? 1 : 0;
  }
  // All ranks start the transfer now and look at it when they come back to the lane: none holds up what is on its way to another.
  if (ranks_ != nullptr) batch.draws = ranks_->share_draws(ctx_, batch.message);
}

void Engine::Impl::collect(Lane& lane, Finished& finished) {
  InFlight batch = std::move(*lane.in_flight);
  lane.in_flight.reset();
  if (batch.drawing.empty()) return;
  batch.draws.wait();
  const auto values = batch.message.host_span<std::int32_t>();
  if (values.back() != 0) stop_agreed_ = true;
  for (std::size_t i = 0; i < batch.drawing.size(); ++i) {
    Sequence& sequence = *batch.drawing[i];
    sequence.tokens.push_back(values[i]);
    sequence.log_probs.push_back(std::bit_cast<float>(values[batch.drawing.size() + i]));
    if (sequence.request.on_token) sequence.request.on_token(values[i]);
    if (const std::optional<FinishReason> reason = finish_reason(sequence)) {
      const std::unique_ptr<Sequence> ended = lane.scheduler.finish(sequence);
      --lane.num_unfinished;
      finished.emplace(ended->arrival, to_completion(*ended, *reason));
    }
  }
}

void Engine::Impl::update_stats() {
  stats_.running = stats_.waiting = stats_.used_blocks = stats_.preemptions = stats_.cached_prompt_tokens = 0;
  for (const auto& lane : lanes_) {
    stats_.running += lane->scheduler.num_running();
    stats_.waiting += lane->scheduler.num_waiting();
    stats_.used_blocks += lane->blocks.num_blocks() - lane->blocks.num_free();
    stats_.preemptions += lane->scheduler.preemptions();
    stats_.cached_prompt_tokens += lane->scheduler.cached_prompt_tokens();
  }
}

std::map<std::uint64_t, Completion> Engine::Impl::step() {
  Finished finished;
  Lane& lane = next_lane();
  if (lane.in_flight) collect(lane, finished);
  if (lane.scheduler.has_unfinished()) launch(lane);
  if (lanes_.size() == 1 && lane.in_flight) collect(lane, finished);
  update_stats();
  return finished;
}

Engine::Engine(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const text::Tokenizer* tokenizer,
               EngineOptions options)
    : impl_(std::make_unique<Impl>(ctx, model, runner, tokenizer, std::move(options))) {}
Engine::~Engine() = default;

void Engine::add(Request request) { impl_->add(std::move(request)); }
bool Engine::has_unfinished() const { return impl_->has_unfinished(); }
void Engine::weights_changed() { impl_->weights_changed(); }
const EngineStats& Engine::stats() const { return impl_->stats(); }
bool Engine::stop_agreed() const { return impl_->stop_agreed(); }

std::vector<Completion> Engine::step() {
  std::vector<Completion> completions;
  for (auto& [arrival, completion] : impl_->step()) completions.push_back(std::move(completion));
  return completions;
}

std::vector<Completion> Engine::generate(std::span<const Request> requests) {
  R1_ASSERT(!has_unfinished(), "generate() while other completions are in flight");
  std::vector<Completion> completions(requests.size());
  std::map<std::uint64_t, std::size_t> index_of;
  for (std::size_t i = 0; i < requests.size(); ++i) index_of[impl_->add(requests[i])] = i;
  while (impl_->has_unfinished()) {
    for (auto& [arrival, completion] : impl_->step()) completions[index_of.at(arrival)] = std::move(completion);
  }
  return completions;
}

}  // namespace r1::engine

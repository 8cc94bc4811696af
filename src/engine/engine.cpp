#include "engine/engine.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "base/strings.h"
#include "engine/batch_builder.h"
#include "engine/sampler.h"
#include "ops/copy.h"

namespace r1::engine {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

EngineOptions with_defaults(EngineOptions options, const models::CausalLM& model) {
  const std::int64_t trained = model.config().max_position_embeddings;
  if (options.max_model_len == 0) options.max_model_len = trained;
  R1_ASSERT(options.max_model_len > 0 && options.max_num_sequences > 0 && options.max_batch_tokens > 0, "engine options out of range");
  return options;
}

std::int64_t num_cache_blocks(const EngineOptions& options, const models::CausalLM& model) {
  const std::int64_t block_bytes = kv_block_bytes(model, options.block_size);
  const std::int64_t blocks_each = ceil_div(options.max_model_len, options.block_size);
  std::int64_t bytes = options.kv_cache_bytes;
  if (bytes == 0)
    bytes = std::min(options.max_num_sequences * blocks_each * block_bytes, available_host_bytes() / 2 / options.ranks_on_host);
  const std::int64_t num_blocks = bytes / block_bytes;
  if (num_blocks < blocks_each) {
    fail(ErrorKind::kMemory,
         "the KV cache of {} cannot hold one sequence of {} tokens, which takes {}: raise --kv-cache-memory or lower --max-model-len",
         format_bytes(static_cast<double>(bytes)), options.max_model_len, format_bytes(static_cast<double>(blocks_each * block_bytes)));
  }
  // A slot is an i32; more than what all sequences together can fill is of no use.
  const std::int64_t useful = std::min<std::int64_t>(options.max_num_sequences * blocks_each, INT32_MAX / options.block_size);
  return std::min(num_blocks, useful);
}

}  // namespace

class Engine::Impl {
 public:
  Impl(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const text::Tokenizer* tokenizer, EngineOptions options)
      : ctx_(ctx),
        model_(model),
        runner_(runner),
        tokenizer_(tokenizer),
        options_(with_defaults(options, model)),
        blocks_(num_cache_blocks(options_, model), options_.block_size, options_.prefix_cache),
        cache_(ctx, model, blocks_.num_blocks(), options_.block_size),
        scheduler_(blocks_, options_.max_num_sequences, options_.max_batch_tokens) {
    stats_.num_blocks = blocks_.num_blocks();
  }

  std::uint64_t add(Request request);
  bool has_unfinished() const { return scheduler_.has_unfinished(); }
  std::map<std::uint64_t, Completion> step();

  void weights_changed() {
    R1_ASSERT(!has_unfinished(), "the model's values change while completions are unfinished");
    blocks_.forget_all();
  }

  const EngineStats& stats() const { return stats_; }

 private:
  /// The finish reason when the sequence ends with its last token.
  std::optional<FinishReason> finish_reason(Sequence& sequence) const;
  Completion to_completion(Sequence& sequence, FinishReason reason) const;
  void count_step(std::span<const ScheduledChunk> chunks);
  std::int64_t num_positions(std::span<const ScheduledChunk> chunks) const;

  const ExecContext& ctx_;
  models::CausalLM& model_;
  nn::UnitRunner& runner_;
  const text::Tokenizer* tokenizer_;
  EngineOptions options_;
  BlockAllocator blocks_;
  KvCache cache_;
  Scheduler scheduler_;
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
  scheduler_.add(std::move(sequence));
  return arrivals_ - 1;
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

void Engine::Impl::count_step(std::span<const ScheduledChunk> chunks) {
  ++stats_.steps;
  for (const ScheduledChunk& chunk : chunks) {
    (chunk.sequence->has_generated() && chunk.num_tokens == 1 ? stats_.decode_tokens : stats_.prefill_tokens) += chunk.num_tokens;
  }
  stats_.slot_steps += options_.max_num_sequences;
  stats_.idle_slot_steps += options_.max_num_sequences - scheduler_.num_running();
}

/// Rows of the rotary table that the step needs, rounded up so that the table grows seldom.
std::int64_t Engine::Impl::num_positions(std::span<const ScheduledChunk> chunks) const {
  std::int64_t needed = 0;
  for (const ScheduledChunk& chunk : chunks) needed = std::max(needed, chunk.sequence->num_computed + chunk.num_tokens);
  return std::min<std::int64_t>(options_.max_model_len, std::max<std::int64_t>(512, std::bit_ceil(static_cast<std::uint64_t>(needed))));
}

std::map<std::uint64_t, Completion> Engine::Impl::step() {
  const std::vector<ScheduledChunk> chunks = scheduler_.schedule();
  count_step(chunks);
  const models::TokenBatch batch = build_batch(ctx_, chunks, cache_, options_.block_size, num_positions(chunks));
  nn::Pass pass{ctx_, runner_, nullptr};
  const nn::Activations state = model_.decode(pass, batch);

  std::vector<Sequence*> drawing;
  std::vector<std::int32_t> logit_rows;
  std::int32_t end = 0;
  for (const ScheduledChunk& chunk : chunks) {
    end += static_cast<std::int32_t>(chunk.num_tokens);
    const bool draws = chunk.draws();
    scheduler_.computed(chunk);
    if (!draws) continue;
    drawing.push_back(chunk.sequence);
    logit_rows.push_back(end - 1);
    if (chunk.sequence->has_generated()) continue;
    for (const PromptTakeover& takeover : scheduler_.take_over(*chunk.sequence)) {
      if (takeover.copy_to >= 0) cache_.copy_block(ctx_, takeover.copy_from, takeover.copy_to);
      drawing.push_back(takeover.sequence);
      logit_rows.push_back(end - 1);
    }
  }
  std::map<std::uint64_t, Completion> finished;
  if (!drawing.empty()) {
    const auto num_rows = static_cast<std::int64_t>(logit_rows.size());
    Tensor logits = model_.logits(pass, state, ops::to_device(ctx_, Tensor::host_from<std::int32_t>(logit_rows, {num_rows}, DType::kI32)));
    const DrawnTokens drawn = draw_tokens(ctx_, logits, drawing, options_.seed);
    for (std::size_t i = 0; i < drawing.size(); ++i) {
      Sequence& sequence = *drawing[i];
      sequence.tokens.push_back(drawn.ids[i]);
      sequence.log_probs.push_back(drawn.log_probs[i]);
      if (sequence.request.on_token) sequence.request.on_token(drawn.ids[i]);
      if (const std::optional<FinishReason> reason = finish_reason(sequence)) {
        const std::unique_ptr<Sequence> ended = scheduler_.finish(sequence);
        finished.emplace(ended->arrival, to_completion(*ended, *reason));
      }
    }
  }
  stats_.running = scheduler_.num_running();
  stats_.waiting = scheduler_.num_waiting();
  stats_.used_blocks = blocks_.num_blocks() - blocks_.num_free();
  stats_.preemptions = scheduler_.preemptions();
  stats_.cached_prompt_tokens = scheduler_.cached_prompt_tokens();
  return finished;
}

Engine::Engine(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const text::Tokenizer* tokenizer,
               EngineOptions options)
    : impl_(std::make_unique<Impl>(ctx, model, runner, tokenizer, options)) {}
Engine::~Engine() = default;

void Engine::add(Request request) { impl_->add(std::move(request)); }
bool Engine::has_unfinished() const { return impl_->has_unfinished(); }
void Engine::weights_changed() { impl_->weights_changed(); }
const EngineStats& Engine::stats() const { return impl_->stats(); }

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

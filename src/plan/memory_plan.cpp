#include "plan/memory_plan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "comm/planned_communicator.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "models/registry.h"
#include "ops/copy.h"
#include "ops/cuda_logits.h"
#include "ops/planned_cuda.h"
#include "plan/recorder.h"

namespace r1::plan {
namespace {

constexpr int kBlockSize = 32;  // EngineOptions::block_size
constexpr std::size_t kPage = 4096;

double bytes(std::int64_t value) { return static_cast<double>(value); }

std::int64_t sum(std::span<const std::int64_t> values) { return std::accumulate(values.begin(), values.end(), std::int64_t{0}); }

/// A process with nothing in it yet.
struct DryProcess {
  DryProcess(std::int64_t tokens, const EngineShape& engine, int num_threads, Device device) {
    // The tables that kernels read: i64 per token of a batch, i32 per block of a sequence.
    const std::int64_t tables = std::max(8 * (tokens + 1), 4 * engine.num_sequences * (engine.max_model_len / kBlockSize + 2));
    auto memory = std::make_unique<Recorder>(std::max(2 * kPage, 2 * static_cast<std::size_t>(tables)));
    recorder = memory.get();
    const bool on_cuda = device.kind == DeviceKind::kCuda;
    if (on_cuda) cuda_ops.emplace();
    ctx = make_unbacked_context(std::move(memory), num_threads, on_cuda ? Backend::kCuda : Backend::kCpu);
    recorder->attach(ctx->allocator());
  }
  double allocated() const { return bytes(recorder->in_use()); }

  std::optional<ops::PlannedCudaOps> cuda_ops;
  std::unique_ptr<ExecContext> ctx;
  Recorder* recorder = nullptr;  // the context's
};

/// The batch of the lengths; its last positions predict something. (Ignored ones between the others would have them copied
/// together, a row of hidden_size beside each row of logits.)
struct Batch {
  models::TokenBatch tokens;
  Tensor labels;
};

Batch make_batch(const ExecContext& ctx, std::span<const std::int64_t> lengths, std::int64_t labelled, std::int64_t vocab_size) {
  std::vector<std::int32_t> positions;
  for (const std::int64_t length : lengths) {
    for (std::int64_t t = 0; t < length; ++t) positions.push_back(static_cast<std::int32_t>(t));
  }
  const std::vector<std::int32_t> ids(positions.size(), 0);
  const auto num_tokens = static_cast<std::int64_t>(ids.size());
  std::vector<std::int32_t> labels = ids;
  if (labelled >= 0) std::fill_n(labels.begin(), std::max<std::int64_t>(0, num_tokens - labelled), ops::kIgnoreIndex);
  return {models::make_token_batch(ctx, ids, positions, lengths, vocab_size),
          ops::to_device(ctx, Tensor::host_from<std::int32_t>(labels, {num_tokens}, DType::kI32))};
}

/// Of all layers, for one sequence of full length and for all in flight.
void add_cache_sizes(const EngineShape& shape, const models::CausalLM& model, DType dtype, MemoryPlan& plan) {
  const std::int64_t blocks = (shape.max_model_len + kBlockSize - 1) / kBlockSize;
  plan.kv_cache_one_sequence = bytes(blocks * engine::kv_block_bytes(model, kBlockSize, dtype));
  plan.kv_cache_wanted = plan.kv_cache_one_sequence * shape.num_sequences;
}

/// As engine.cpp chooses it, with the planned device's memory in the place of this machine's.
std::int64_t cache_bytes(const EngineShape& shape, const MemoryPlan& plan, double allocated) {
  if (shape.kv_cache_bytes > 0) return shape.kv_cache_bytes;
  double chosen = plan.kv_cache_wanted;
  if (shape.device_memory > 0) chosen = std::min(chosen, std::max(0.0, bytes(shape.device_memory) - allocated) / 2);
  return static_cast<std::int64_t>(std::max(chosen, plan.kv_cache_one_sequence));
}

std::unique_ptr<engine::Engine> make_engine(const DryProcess& process, models::CausalLM& model, nn::UnitRunner& runner,
                                            const EngineShape& shape, MemoryPlan& plan) {
  add_cache_sizes(shape, model, runner.activation_dtype(), plan);
  engine::EngineOptions options;
  options.max_model_len = shape.max_model_len;
  options.max_num_sequences = shape.num_sequences;
  options.kv_cache_bytes = cache_bytes(shape, plan, process.allocated());
  const double before = process.allocated();
  auto made = std::make_unique<engine::Engine>(*process.ctx, model, runner, nullptr, options);
  plan.kv_cache = process.allocated() - before;
  return made;
}

/// The largest pass of an engine: a full chunk of prefill at whose end every sequence draws.
void run_engine(engine::Engine& engine, const EngineShape& shape) {
  const auto length = static_cast<std::size_t>(std::clamp<std::int64_t>(shape.prompt_length, 1, shape.max_model_len - 1));
  const auto prompt = std::make_shared<const std::vector<std::int32_t>>(length, 0);
  auto params = std::make_shared<engine::SamplingParams>();
  params->max_new_tokens = 2;
  for (int i = 0; i < shape.num_sequences; ++i) engine.add({0, static_cast<std::uint32_t>(i), prompt, params, {}});
  while (engine.has_unfinished()) engine.step();
}

/// Host blocks stay with the process: one of each size that a parameter has, and what the norm's sums take.
double host_bytes(const nn::ParameterSet& parameters, int num_ranks) {
  std::map<std::int64_t, double> sizes;
  for (int i = 0; i < parameters.size(); ++i) {
    const std::int64_t elements = parameters.at(i).num_elements();
    sizes[elements] = 4 * bytes(elements);
  }
  double total = 0;
  for (const auto& [elements, size] : sizes) total += size;
  const double sums = bytes(parameters.num_elements()) / 1024 * sizeof(double);
  return total + 3 * sums + (num_ranks > 1 ? sums : 0);
}

/// The head's largest piece of logits: ops/loss.h, workspace_bytes.
double logits_chunk(const models::ModelConfig& model, std::int64_t tokens, Device device) {
  constexpr double kWorkspace = 64 << 20;
  const double row = 4 * bytes(model.vocab_size);
  if (device.kind == DeviceKind::kCuda) return row * bytes(ops::cuda_rows_of_logits(tokens, model.vocab_size, 0));
  return std::max(row, std::min(kWorkspace, row * bytes(tokens)));
}

/// Of one pass.
std::int64_t most_tokens(const TrainingShape& shape) {
  std::int64_t tokens = std::max(sum(shape.sequence_lengths), sum(shape.evaluation_lengths));
  for (const std::vector<std::int64_t>& lengths : shape.other_micro_batches) tokens = std::max(tokens, sum(lengths));
  return tokens;
}

/// A step's micro-batches and what they move, counted apart because only the last one closes the sums.
struct Traffic {
  double gradients = 0, values = 0;
};

class DryTraining {
 public:
  explicit DryTraining(const TrainingShape& shape)
      : shape_(shape),
        process_(most_tokens(shape), shape.is_grpo && shape.generates ? shape.rollout : EngineShape{}, shape.num_threads, shape.device),
        communicator_(comm::make_planned_communicator(0, shape.num_ranks)),
        model_(models::make_model(shape.model)) {
    nn::ParameterSet& parameters = model_->parameters();
    plan_.num_parameters = bytes(parameters.num_elements());
    store_ = parallel::make_parameter_store(*process_.ctx, parameters, *communicator_, shape.store);
    process_.recorder->watch(store_.get());
    const parallel::StoreMemory memory = store_->memory();
    rounding_ = process_.allocated() - bytes(memory.values + memory.optimizer_state);
    const int head_unit = static_cast<int>(parameters.units().size()) - 1;
    hooks_ = std::make_unique<RecordedHooks>(*store_, *process_.recorder, head_unit);
    runner_ = std::make_unique<nn::UnitRunner>(parameters, *hooks_);
    runner_->set_recompute(shape.recompute);
    if (shape.has_reference) make_reference();
    if (!shape.is_grpo || !shape.generates) return;
    if (shape.rollout_tensor_parallel_size > 1) make_rollout_share();
    engine_ = make_engine(process_, *model_, *runner_, shape.rollout, plan_);
  }

  MemoryPlan run() {
    // The second step finds the sums of the first one in place.
    for (int step = 0; step < 2; ++step) {
      if (engine_) rollout();
      train_step();
    }
    for (const std::vector<std::int64_t>& lengths : shape_.other_micro_batches) {
      store_->begin_step(shape_.num_ranks);
      process_.recorder->communicate([&] { store_->begin_micro_batch(0); });
      run_micro_batch(lengths, shape_.labelled_tokens);
      process_.recorder->communicate([&] { store_->for_each_shard([](parallel::Shard&) {}); });
    }
    if (!shape_.evaluation_lengths.empty()) evaluate();
    return summary();
  }

 private:
  void make_reference() {
    const double before = process_.allocated();
    reference_ = models::make_model(shape_.model);
    reference_store_ = std::make_unique<parallel::InferenceStore>(*process_.ctx, reference_->parameters(), shape_.reference_storage,
                                                                  shape_.reference_dtype);
    reference_runner_ = std::make_unique<nn::UnitRunner>(reference_->parameters(), *reference_store_);
    plan_.reference = process_.allocated() - before;
  }

  void make_rollout_share() {
    const double before = process_.allocated();
    share_ = models::make_model(shape_.model, {0, shape_.rollout_tensor_parallel_size});
    const bool in_bf16 = shape_.store.working_dtype == DType::kBF16;
    share_store_ = std::make_unique<parallel::InferenceStore>(
        *process_.ctx, share_->parameters(), in_bf16 ? parallel::WeightStorage::kBF16 : parallel::WeightStorage::kF32, DType::kF32);
    plan_.rollout_share = process_.allocated() - before;
  }

  /// Weights on their way into the rollout's share: a unit at a time.
  void fill_rollout_share() {
    for (int unit = 0; unit < static_cast<int>(model_->parameters().units().size()); ++unit) {
      store_->acquire(unit);
      process_.recorder->look();
      store_->release(unit);
    }
  }

  void evaluate() {
    process_.recorder->begin_phase("evaluation");
    nn::Pass pass{*process_.ctx, *runner_, nullptr};
    const Batch batch = make_batch(*process_.ctx, shape_.evaluation_lengths, -1, shape_.model.vocab_size);
    const nn::Activations state = model_->decode(pass, batch.tokens);
    process_.recorder->begin_head();
    model_->cross_entropy(pass, state, batch.labels, 1.0F);
    process_.recorder->end_head_forward();
    process_.recorder->release_head();
  }

  void rollout() {
    process_.recorder->begin_phase("rollout");
    const double before = sent();
    // A pass of the whole model on what the rank's share of all sequences takes is that of a share on all of them.
    process_.recorder->communicate([&] { share_ ? fill_rollout_share() : store_->materialize(); });
    const double after = sent();
    engine_->weights_changed();
    run_engine(*engine_, shape_.rollout);
    if (!share_) process_.recorder->communicate([&] { store_->release_materialized(); });
    plan_.rollout_traffic = after - before;
  }

  void train_step() {
    // Two stand for all of them: the first one starts the sums, every later one adds to them.
    const std::int64_t simulated = std::min<std::int64_t>(shape_.micro_batches_per_rank, 2);
    const double repeats = bytes(shape_.micro_batches_per_rank - simulated);
    plan_.gradient_traffic = plan_.value_traffic = 0;
    process_.recorder->communicate([&] { store_->begin_step(simulated * shape_.num_ranks); });
    for (std::int64_t micro_batch = 0; micro_batch < simulated; ++micro_batch) {
      const Traffic before = traffic();
      process_.recorder->communicate([&] { store_->begin_micro_batch(micro_batch * shape_.num_ranks); });
      run_micro_batch(shape_.sequence_lengths, shape_.labelled_tokens);
      const double count = micro_batch == 0 ? 1 + repeats : 1;
      plan_.gradient_traffic += count * (traffic().gradients - before.gradients);
      plan_.value_traffic += count * (traffic().values - before.values);
    }
    const Traffic before = traffic();
    process_.recorder->begin_phase("optimizer");
    process_.recorder->communicate([&] { store_->for_each_shard([](parallel::Shard&) {}); });
    { const Tensor sums_of_norm = process_.ctx->empty({model_->parameters().num_elements() / 1024 / shape_.num_ranks + 1}, DType::kF64); }
    process_.recorder->communicate([&] { store_->publish_updated(parallel::Updated::kValuesAndWorking); });
    process_.recorder->look();
    plan_.gradient_traffic += traffic().gradients - before.gradients;
    plan_.value_traffic += traffic().values - before.values;
  }

  void run_micro_batch(std::span<const std::int64_t> lengths, std::int64_t labelled) {
    const ExecContext& ctx = *process_.ctx;
    Recorder& recorder = *process_.recorder;
    nn::Tape tape(ctx);
    nn::Pass pass{ctx, *runner_, &tape};
    {
      recorder.begin_phase("forward");
      const Batch batch = make_batch(ctx, lengths, labelled, shape_.model.vocab_size);
      if (reference_) {
        nn::Pass reference_pass{ctx, *reference_runner_, nullptr};
        recorder.begin_phase("reference");
        reference_->log_probs(reference_pass, reference_->decode(reference_pass, batch.tokens), batch.labels, 1.0F);
        recorder.begin_phase("forward");
      }
      const nn::Activations state = model_->decode(pass, batch.tokens);
      recorder.begin_head();
      if (shape_.is_grpo) {
        const nn::SelectedLogProbs selected = model_->log_probs(pass, state, batch.labels, 1.0F);
        recorder.end_head_forward();
        tape.set_gradient(selected.log_probs.slot, ctx.empty(batch.labels.shape()));
      } else {
        losses_ = model_->cross_entropy(pass, state, batch.labels, 1.0F);
        recorder.end_head_forward();
      }
    }
    recorder.begin_phase("backward");
    tape.backward();
    recorder.look();
  }

  bool is_replicated() const { return shape_.store.sharding == parallel::Sharding::kReplicated; }
  double sent() const { return bytes(communicator_->counters().total().bytes_sent); }
  Traffic traffic() const {
    const comm::CommCounters counters = communicator_->counters();
    Traffic traffic;
    traffic.values = bytes(counters.of(comm::CollectiveKind::kAllGather).bytes_sent);
    traffic.gradients = bytes(counters.total().bytes_sent) - traffic.values;
    if (is_replicated()) traffic = {traffic.gradients + traffic.values, 0};  // the gathers are of sums
    return traffic;
  }

  MemoryPlan summary() {
    const PeakMoment& peak = process_.recorder->peak();
    const AllocatorStats stats = process_.ctx->allocator().stats();
    const parallel::StoreMemory memory = store_->memory();
    plan_.weights = bytes(memory.values) + rounding_;
    plan_.optimizer = bytes(memory.optimizer_state);
    plan_.gradients = bytes(peak.gradients);
    plan_.communication = bytes(peak.communication);
    plan_.head = bytes(peak.head);
    plan_.allocated_peak = bytes(peak.bytes);
    plan_.activations = plan_.allocated_peak - plan_.weights - plan_.optimizer - plan_.gradients - plan_.communication - plan_.head -
                        plan_.reference - plan_.rollout_share - plan_.kv_cache;
    plan_.reuse = bytes(stats.bytes_reserved) - plan_.allocated_peak;
    if (shape_.device.kind == DeviceKind::kCpu) plan_.host = host_bytes(model_->parameters(), shape_.num_ranks);
    plan_.logits_chunk =
        logits_chunk(shape_.model, shape_.labelled_tokens >= 0 ? shape_.labelled_tokens : sum(shape_.sequence_lengths), shape_.device);
    plan_.peak_phase = peak.phase;
    return plan_;
  }

  const TrainingShape& shape_;
  DryProcess process_;
  std::unique_ptr<comm::Communicator> communicator_;
  std::unique_ptr<models::CausalLM> model_, reference_, share_;
  std::unique_ptr<parallel::ParameterStore> store_;
  std::unique_ptr<parallel::InferenceStore> reference_store_, share_store_;
  std::unique_ptr<RecordedHooks> hooks_;
  std::unique_ptr<nn::UnitRunner> runner_, reference_runner_;
  std::unique_ptr<engine::Engine> engine_;
  nn::TokenLoss losses_;
  double rounding_ = 0;
  MemoryPlan plan_;
};

/// Bytes of a parameter on a rank of a tensor-parallel group. Key and value heads are copied where there are fewer than ranks.
double weight_bytes(const nn::Parameter& parameter, const InferenceShape& shape, DType dtype) {
  const double rows = bytes(parameter.shape[0]);
  const double row_bytes =
      bytes(parameter.num_elements()) / rows * static_cast<double>(size_of(dtype)) + (parallel::has_row_scales(dtype) ? sizeof(float) : 0);
  if (parameter.tp_axis == nn::TpAxis::kReplicated) return rows * row_bytes;
  const bool is_key_or_value = parameter.name.find(".k_proj.") != std::string::npos || parameter.name.find(".v_proj.") != std::string::npos;
  const double parts = is_key_or_value ? std::min(shape.tensor_parallel_size, shape.model.num_key_value_heads) : shape.tensor_parallel_size;
  return rows / parts * row_bytes;
}

/// Consecutive units in `stages` parts so that the largest part is as small as it can be; that part's bytes.
double largest_stage(const std::vector<double>& units, int stages) {
  const auto parts_needed = [&](double limit) {
    int parts = 1;
    double filled = 0;
    for (const double unit : units) {
      if (filled + unit > limit) {
        ++parts;
        filled = 0;
      }
      filled += unit;
    }
    return parts;
  };
  double low = *std::ranges::max_element(units), high = std::accumulate(units.begin(), units.end(), 0.0);
  for (int i = 0; i < 60 && low < high; ++i) {
    const double middle = (low + high) / 2;
    (parts_needed(middle) <= stages ? high : low) = middle;
  }
  return high;
}

}  // namespace

MemoryPlan plan_training(const TrainingShape& shape) {
  R1_ASSERT(!shape.sequence_lengths.empty() && shape.micro_batches_per_rank >= 1, "a plan of training needs a micro-batch");
  return DryTraining(shape).run();
}

MemoryPlan plan_inference(const InferenceShape& shape) {
  const int stages = shape.pipeline_parallel_size;
  if (stages > shape.model.num_hidden_layers)
    fail(ErrorKind::kUsage, "{} pipeline stages for {} layers: expected at most one stage a layer", stages, shape.model.num_hidden_layers);
  MemoryPlan plan;
  DryProcess process(1, shape.engine, shape.num_threads, shape.device);  // first: the model's weights live in its allocator
  const auto whole = models::make_model(shape.model);
  plan.num_parameters = bytes(whole->parameters().num_elements());
  std::vector<double> units(whole->parameters().units().size(), 0);
  whole->parameters().for_each([&](nn::Parameter& parameter) {
    units[static_cast<std::size_t>(parameter.unit)] +=
        weight_bytes(parameter, shape, parallel::inference_dtype(parameter, shape.storage, shape.stored_dtype));
  });
  parallel::InferenceStore store(*process.ctx, whole->parameters(), shape.storage, shape.stored_dtype);
  add_cache_sizes(shape.engine, *whole, store.activation_dtype(), plan);
  const double weights = largest_stage(units, stages);
  const double share = 1.0 / (stages * std::min(shape.tensor_parallel_size, shape.model.num_key_value_heads));
  plan.kv_cache_one_sequence *= share;
  plan.kv_cache_wanted *= share;

  // The pass: on one rank as it is; a rank of a group holds full rows of the activations too, and no more than one rank would.
  nn::UnitRunner runner(whole->parameters(), store);
  process.recorder->begin_phase("prefill");
  const double of_weights = process.allocated();
  // The whole model's cache, of as many blocks as the rank's part has.
  MemoryPlan whole_cache;
  EngineShape engine_shape = shape.engine;
  engine_shape.kv_cache_bytes = static_cast<std::int64_t>(bytes(cache_bytes(shape.engine, plan, weights)) / share) + 1;
  const auto engine = make_engine(process, *whole, runner, engine_shape, whole_cache);
  run_engine(*engine, engine_shape);
  const PeakMoment& peak = process.recorder->peak();
  const bool is_alone = stages * shape.tensor_parallel_size == 1;
  plan.weights = is_alone ? of_weights : weights;
  plan.kv_cache = whole_cache.kv_cache * share;
  plan.activations = bytes(peak.bytes) - of_weights - whole_cache.kv_cache;
  plan.allocated_peak = plan.weights + plan.kv_cache + plan.activations;
  plan.reuse = bytes(process.ctx->allocator().stats().bytes_reserved) - bytes(peak.bytes);
  if (shape.device.kind == DeviceKind::kCpu) plan.host = host_bytes(whole->parameters(), 1);
  plan.logits_chunk = 4 * bytes(shape.model.vocab_size) * shape.engine.num_sequences;
  plan.peak_phase = peak.phase;
  return plan;
}

}  // namespace r1::plan

#include "train/training_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/inference_model.h"
#include "data/sampler.h"
#include "engine/kv_cache.h"
#include "plan/advice.h"
#include "tensor/page_limit.h"
#include "train/training_setup.h"

namespace r1::train {
namespace {

constexpr std::size_t kOtherSizes = 6;
/// What the MPI library and its buffers add to a process (measured: docs/plans.md).
constexpr double kMpiBytes = 48e6;

struct Layout {
  int nodes = 1, ranks_per_node = 1;
};

Layout layout_of(const config::CommonConfig& config, int ranks_on_host) {
  if (config.planning() && (config.nodes || config.ntasks_per_node)) return {config.nodes.value_or(1), config.ntasks_per_node.value_or(1)};
  return {std::max(1, config.world_size / std::max(1, ranks_on_host)), std::min(config.world_size, ranks_on_host)};
}

std::string name_of(const config::TrainerConfig& config, int num_ranks) {
  if (num_ranks == 1) return "one rank has everything";
  switch (config.accelerate.sharding_strategy) {
    case config::ShardingStrategy::kZero2:
      return "ZeRO-2";
    case config::ShardingStrategy::kZero3:
      return "ZeRO-3";
    default:
      return "plain data parallel";
  }
}

const char* about_recompute(nn::RecomputeGranularity recompute) {
  switch (recompute) {
    case nn::RecomputeGranularity::kNone:
      return "";
    case nn::RecomputeGranularity::kSelective:
      return ", norms and activations recomputed";
    case nn::RecomputeGranularity::kFull:
      return ", recomputed layer by layer";
  }
  return "";
}

/// What both tasks have in common.
template <typename Config>
plan::TrainingShape common_shape(const Config& config, const PlanInputs& inputs) {
  plan::TrainingShape shape;
  shape.model = inputs.model;
  shape.store = store_options(config, inputs.device);
  shape.num_ranks = config.num_trainers;
  shape.num_threads = std::max(1, config.num_threads);
  shape.device = inputs.device;
  shape.recompute = recompute_granularity(config);
  return shape;
}

template <typename Config>
plan::JobPlan common_plan(const Config& config, const PlanInputs& inputs, const plan::TrainingShape& shape) {
  plan::JobPlan plan;
  const Layout layout = layout_of(config, inputs.ranks_on_host);
  plan.model = fmt::format("{}: {}", inputs.model_folder, inputs.model.model_type);
  plan.nodes = layout.nodes;
  plan.device = inputs.device;
  plan.compute_dtype = shape.store.working_dtype;
  plan.ranks_per_node = layout.ranks_per_node;
  plan.layout = name_of(config, config.num_trainers);
  plan.process = plan::process_bytes(inputs.device) + (config.world_size > 1 && inputs.device.kind == DeviceKind::kCpu ? kMpiBytes : 0);
  plan.steps = inputs.max_steps;
  plan.recompute_factor = shape.recompute == nn::RecomputeGranularity::kFull ? 4.0 / 3 : 1;
  plan.memory = plan::plan_training(shape);
  plan::set_device_memory(config, plan);
  if (!plan.fits()) {
    const plan::TrainingLayout limits{config.per_device_train_batch_size, layout.nodes, layout.ranks_per_node, *plan.device_memory,
                                      plan.process};
    const auto advice = plan::smallest_change(shape, limits);
    plan.advice = advice ? fmt::format("{}: {} a rank", advice->change, format_bytes(advice->needed))
                         : "nothing up to 64 times the nodes: shorter rows, a smaller model or larger devices";
  }
  const TrainerOptions options = trainer_options(config, inputs.max_steps, inputs.steps_per_epoch);
  const OutputBytes output = output_bytes(config, options, static_cast<std::uint64_t>(plan.memory.num_parameters), inputs.save_dtype);
  plan.model_bytes = output.model;
  plan.checkpoint_bytes = output.checkpoint;
  plan.num_checkpoints = config.save_total_limit || options.save_steps == 0
                             ? output.num_checkpoints
                             : static_cast<std::uint64_t>(inputs.max_steps / options.save_steps);
  plan.output_dir = config.output_dir;
  plan.free_disk = free_disk_bytes(config.output_dir);
  return plan;
}

std::int64_t tokens_in(std::span<const std::int64_t> lengths) { return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}); }

/// A few micro-batches of sizes between the smallest and the largest.
std::vector<std::vector<std::int64_t>> spread(const std::map<std::int64_t, std::vector<std::int64_t>>& by_tokens) {
  std::vector<std::vector<std::int64_t>> some;
  if (by_tokens.size() < 2) return some;
  const std::size_t count = std::min(kOtherSizes, by_tokens.size() - 1);
  for (std::size_t i = 0; i < count; ++i)
    some.push_back(std::next(by_tokens.begin(), static_cast<std::ptrdiff_t>(i * (by_tokens.size() - 1) / count))->second);
  return some;
}

double training_flops(const models::ModelConfig& model, std::span<const std::int64_t> lengths) {
  double flops = 0;
  for (const std::int64_t length : lengths) flops += static_cast<double>(length) * model.train_flops_per_token(static_cast<double>(length));
  return flops;
}

}  // namespace

MicroBatchShapes micro_batch_shapes(const config::SftConfig& config, const TrainingRows& rows, bool is_whole, std::int64_t max_steps) {
  const auto batch_size = static_cast<std::size_t>(config.per_device_train_batch_size);
  const auto num_rows = static_cast<std::size_t>(rows.num_rows());
  std::vector<std::int64_t> tokens(num_rows);
  for (std::size_t i = 0; i < num_rows; ++i) tokens[i] = tokens_in(rows.piece_lengths(static_cast<std::int64_t>(i)));

  std::vector<std::int64_t> largest;  // rows
  std::map<std::int64_t, std::vector<std::int64_t>> rows_by_tokens;
  const auto consider = [&](std::vector<std::int64_t> batch) {
    std::int64_t sum = 0;
    for (const std::int64_t row : batch) sum += tokens[static_cast<std::size_t>(row)];
    if (rows_by_tokens.empty() || sum > rows_by_tokens.rbegin()->first) largest = batch;
    rows_by_tokens.emplace(sum, std::move(batch));
  };
  if (is_whole) {
    const data::Sampler sampler(rows.num_rows(), static_cast<std::uint64_t>(config.data_seed.value_or(config.seed)), /*shuffle=*/true);
    const std::int64_t per_step = std::int64_t{config.per_device_train_batch_size} * config.gradient_accumulation_steps * config.world_size;
    const std::int64_t steps_per_epoch = (rows.num_rows() + per_step - 1) / per_step;
    for (std::int64_t step = 0; step < max_steps; ++step) {
      const std::int64_t begin = step % steps_per_epoch * per_step, end = std::min(begin + per_step, rows.num_rows());
      for (std::int64_t at = begin; at < end; at += static_cast<std::int64_t>(batch_size)) {
        std::vector<std::int64_t> batch;
        for (std::int64_t i = at; i < std::min(end, at + static_cast<std::int64_t>(batch_size)); ++i)
          batch.push_back(sampler.item(step / steps_per_epoch, i));
        consider(std::move(batch));
      }
    }
  } else {
    std::vector<std::int64_t> order(num_rows);
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::ranges::stable_sort(
        order, [&](std::int64_t a, std::int64_t b) { return tokens[static_cast<std::size_t>(a)] > tokens[static_cast<std::size_t>(b)]; });
    for (std::size_t first = 0; first < num_rows; first += batch_size) {
      std::vector<std::int64_t> batch;
      for (std::size_t i = 0; i < batch_size; ++i) batch.push_back(order[(first + i) % num_rows]);
      consider(std::move(batch));
    }
  }

  MicroBatchShapes shapes;
  MicroBatch packed;
  for (const std::int64_t row : largest) rows.append_to(packed, row);
  shapes.largest = packed.sequence_lengths;
  shapes.labelled_tokens = packed.num_labelled_tokens();
  std::map<std::int64_t, std::vector<std::int64_t>> lengths_by_tokens;
  for (const auto& [sum, batch] : rows_by_tokens) {
    std::vector<std::int64_t>& lengths = lengths_by_tokens[sum];
    for (const std::int64_t row : batch) {
      const std::vector<std::int64_t> pieces = rows.piece_lengths(row);
      lengths.insert(lengths.end(), pieces.begin(), pieces.end());
    }
  }
  shapes.others = spread(lengths_by_tokens);
  return shapes;
}

plan::JobPlan plan_sft(const config::SftConfig& config, const PlanInputs& inputs, const MicroBatchShapes& micro_batches,
                       const MicroBatchShapes* evaluation) {
  plan::TrainingShape shape = common_shape(config, inputs);
  shape.sequence_lengths = micro_batches.largest;
  shape.labelled_tokens = micro_batches.labelled_tokens;
  shape.other_micro_batches = micro_batches.others;
  shape.micro_batches_per_rank = config.gradient_accumulation_steps;
  if (evaluation != nullptr) shape.evaluation_lengths = evaluation->largest;
  plan::JobPlan plan = common_plan(config, inputs, shape);
  plan.program = "r1_train sft";
  plan.batch = fmt::format("{} rows of {} tokens in all{}", config.per_device_train_batch_size, tokens_in(micro_batches.largest),
                           about_recompute(shape.recompute));
  return plan;
}

namespace {

/// Ranks that hold weights and a cache alone. of_a_rank: completions of a step.
void add_generators(const config::GrpoConfig& config, const PlanInputs& inputs, const plan::EngineShape& rollout, std::int64_t of_a_rank,
                    plan::JobPlan& plan) {
  plan::InferenceShape shape;
  shape.model = inputs.model;
  shape.storage = computes_in_bf16(config, inputs.device) ? parallel::WeightStorage::kBF16 : parallel::WeightStorage::kF32;
  shape.num_threads = std::max(1, config.num_threads);
  shape.device = inputs.device;
  shape.engine = rollout;
  const auto with_parts = [&](int parts) {
    shape.tensor_parallel_size = parts;
    shape.engine.num_sequences = static_cast<int>(std::min<std::int64_t>(256, of_a_rank * parts));
    return plan::plan_inference(shape);
  };
  plan.num_generators = config.num_generators;
  plan.generator = with_parts(config.rollout_tensor_parallel_size);
  plan.layout = fmt::format(
      "{} trainer{} ({}) and {} generator{}{}", config.num_trainers, config.num_trainers == 1 ? "" : "s", plan.layout,
      config.num_generators, config.num_generators == 1 ? "" : "s",
      config.rollout_tensor_parallel_size > 1 ? fmt::format(" ({} share the weights)", config.rollout_tensor_parallel_size) : "");
  // Each trainer sends what it answers for, once.
  plan.memory.rollout_traffic =
      static_cast<double>(size_of(store_options(config, inputs.device).working_dtype)) * plan.memory.num_parameters / config.num_trainers;
  if (plan.fits() || plan.needed() > *plan.device_memory) return;
  plan.advice = "more generators with a larger --rollout_tensor_parallel_size, or a smaller model";
  for (int parts = 2 * config.rollout_tensor_parallel_size; parts <= config.num_generators; parts *= 2) {
    if (config.num_generators % parts != 0 || parts > inputs.model.num_attention_heads) continue;
    if (const double needed = with_parts(parts).needed() + plan.process; needed <= *plan.device_memory) {
      plan.advice = fmt::format("--rollout_tensor_parallel_size {}: {} a generator", parts, format_bytes(needed));
      return;
    }
  }
}

}  // namespace

plan::JobPlan plan_grpo(const config::GrpoConfig& config, const PlanInputs& inputs, std::int64_t longest_prompt) {
  plan::TrainingShape shape = common_shape(config, inputs);
  const std::int64_t completions = config.groups_per_step() * config.num_generations;
  const std::int64_t longest = std::min(inputs.model.max_position_embeddings, longest_prompt + config.max_completion_length);
  const std::int64_t trained = longest - 1;  // the last token is a label alone
  shape.is_grpo = true;
  shape.has_reference = config.beta > 0;
  shape.reference_storage = reference_storage(config, inputs.device);
  if (shape.reference_storage == parallel::WeightStorage::kStored)
    shape.reference_dtype = checkpoint::stored_dtype(inputs.model_folder, inputs.model.torch_dtype);
  shape.sequence_lengths.assign(static_cast<std::size_t>(config.per_device_train_batch_size), trained);
  shape.labelled_tokens = std::int64_t{config.per_device_train_batch_size} * (longest - longest_prompt);
  const std::int64_t micro_batches = (completions + config.per_device_train_batch_size - 1) / config.per_device_train_batch_size;
  shape.micro_batches_per_rank = std::max<std::int64_t>(1, (micro_batches + config.num_trainers - 1) / config.num_trainers);

  constexpr std::int64_t kMaxInFlight = 256;  // RolloutOptions::max_num_sequences
  const std::int64_t of_a_rank = (completions + config.num_trainers - 1) / config.num_trainers;
  const std::int64_t num_generating = config.num_generators > 0 ? config.num_generators : config.num_trainers;
  const std::int64_t generated = (completions + num_generating - 1) / num_generating;  // by a rank
  shape.generates = config.num_generators == 0;
  shape.rollout_tensor_parallel_size = config.rollout_tensor_parallel_size;
  plan::EngineShape& rollout = shape.rollout;
  // Ranks that share the weights hold a part of each of their sequences.
  const std::int64_t sharing = config.rollout_tensor_parallel_size;
  rollout.num_sequences = static_cast<int>((std::min(kMaxInFlight, generated * sharing) + sharing - 1) / sharing);
  rollout.prompt_length = longest_prompt;
  rollout.max_model_len = longest;
  rollout.kv_cache_bytes = config.kv_cache_memory ? config.kv_cache_memory->bytes : 0;
  if (config.device_memory) {
    rollout.device_memory = config.device_memory->bytes;
  } else if (!config.nodes && !config.ntasks_per_node && inputs.device.kind == DeviceKind::kCpu) {
    rollout.device_memory = engine::available_host_bytes() / std::max(1, inputs.ranks_on_host);
  }

  plan::JobPlan plan = common_plan(config, inputs, shape);
  plan.program = "r1_train grpo";
  if (config.num_generators > 0) add_generators(config, inputs, rollout, generated, plan);
  plan.batch = fmt::format("{} completions of at most {} tokens with their prompt{}", config.per_device_train_batch_size, longest,
                           about_recompute(shape.recompute));
  // All at full length: more than will be needed.
  const double per_completion = training_flops(inputs.model, std::vector<std::int64_t>{trained});
  const double passes = config.beta > 0 ? 1 + 1.0 / 3 / plan.recompute_factor : 1;  // the reference's forward pass is never recomputed
  const auto of_rank = static_cast<double>(of_a_rank);
  plan.step_flops = of_rank * per_completion * passes;
  plan.tokens_per_step = static_cast<double>(completions * trained);
  const double new_tokens = static_cast<double>(longest - longest_prompt);
  const auto generated_here = static_cast<double>(generated);
  const double cache = config.num_generators > 0 ? plan.generator.kv_cache_one_sequence * config.rollout_tensor_parallel_size
                                                 : plan.memory.kv_cache_one_sequence;
  plan.generated_tokens = generated_here * new_tokens;
  plan.generation_flops = generated_here * per_completion / 3;
  const double turns = std::ceil(generated_here / rollout.num_sequences);
  const double kv_token = cache / static_cast<double>(longest);
  plan.generation_bytes = turns * new_tokens * 4 * plan.memory.num_parameters / config.rollout_tensor_parallel_size +
                          generated_here * kv_token * new_tokens * (static_cast<double>(longest_prompt) + new_tokens / 2);
  // Every rollout serves num_iterations steps.
  for (double* of_rollout : {&plan.generated_tokens, &plan.generation_flops, &plan.generation_bytes, &plan.memory.rollout_traffic})
    *of_rollout /= config.num_iterations;
  return plan;
}

SftData longest_possible_rows(const config::SftConfig& config, const models::ModelConfig& model, std::int64_t num_documents) {
  class Rows : public TrainingRows {
   public:
    Rows(std::int64_t num_rows, std::int64_t length) : num_rows_(num_rows), length_(length) {}
    std::int64_t num_rows() const override { return num_rows_; }
    void append_to(MicroBatch& batch, std::int64_t) const override {
      const std::vector<std::int32_t> ids(static_cast<std::size_t>(length_), 0);
      batch.add_row(ids, ids, std::span(&length_, 1));
    }
    std::vector<std::int64_t> piece_lengths(std::int64_t) const override { return {length_}; }

   private:
    std::int64_t num_rows_, length_;
  };
  const std::int64_t length = config.max_length.value_or(model.max_position_embeddings);
  log::notice("{}: neither a tokenizer nor weights: the plan takes every row as {} tokens and checks no row", config.model_name_or_path,
              length);
  SftData data;
  data.summary.row_kind = "unread";
  data.summary.num_documents = data.summary.num_rows = num_documents;
  data.summary.num_tokens = num_documents * length;
  data.summary.num_targets = num_documents * (length - 1);
  data.rows = std::make_shared<Rows>(num_documents, length);
  return data;
}

void keep_within_memory(const plan::JobPlan& plan, int ranks_on_host) {
  plan::require_memory(plan, ranks_on_host);
  // Blocks kept for reuse are given back before the machine has no page left: its kernel would end the process instead.
  set_page_limit(static_cast<std::int64_t>(plan::machine_bytes() / ranks_on_host - plan.process));
}

}  // namespace r1::train

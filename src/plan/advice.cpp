#include "plan/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <vector>

#include "base/strings.h"

namespace r1::plan {
namespace {

constexpr int kMostNodes = 64;  // times those of the job

struct Candidate {
  nn::RecomputeGranularity recompute = nn::RecomputeGranularity::kNone;  // the shape's, where that is more
  int stages = 0;                                                        // of ZeRO, more
  int halvings = 0;                                                      // of the micro-batch
  int node_doublings = 0;
  int rollout_steps = 0;  // GRPO: kRolloutSteps
  int cost() const { return static_cast<int>(recompute) + 3 * stages + 4 * halvings + rollout_steps + 100 * node_doublings; }
};

/// What a rollout can do without, in this order: each step is slower and takes less.
struct RolloutStep {
  int cache_halvings;
  int tensor_parallel_size;
};
constexpr RolloutStep kRolloutSteps[] = {{0, 1}, {1, 1}, {2, 1}, {0, 2}, {2, 2}, {2, 4}, {2, 8}};
constexpr int kMostRolloutSteps = std::size(kRolloutSteps) - 1;

/// Of the candidate's rollout. Half, a quarter, … of what the job's plan gives it, in whole MB, but room for one sequence.
std::int64_t cache_after(const MemoryPlan& plan, const RolloutStep& step) {
  constexpr double kMegabyte = 1e6;
  const double wanted = std::max(plan.kv_cache / (1 << step.cache_halvings), plan.kv_cache_one_sequence + kMegabyte);
  return static_cast<std::int64_t>(std::ceil(wanted / kMegabyte) * kMegabyte);
}

/// Of the tokens of a micro-batch of `rows`, those of the rows that are left.
std::int64_t share_of_rows(std::int64_t tokens, int rows, int halvings) {
  const int left = std::max(1, rows >> halvings);
  return (tokens * left + rows - 1) / rows;
}

/// The first rows of the micro-batch, half of its tokens for each halving.
std::vector<std::int64_t> halved(const std::vector<std::int64_t>& lengths, int rows, int halvings) {
  const std::int64_t wanted = share_of_rows(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}), rows, halvings);
  std::vector<std::int64_t> result;
  for (std::int64_t taken = 0; const std::int64_t length : lengths) {
    if (taken >= wanted) break;
    result.push_back(std::min(length, wanted - taken));
    taken += result.back();
  }
  return result;
}

parallel::Sharding sharding_after(parallel::Sharding sharding, int stages) {
  return static_cast<parallel::Sharding>(std::min(static_cast<int>(sharding) + stages, static_cast<int>(parallel::Sharding::kZero3)));
}

TrainingShape changed(TrainingShape shape, const TrainingLayout& layout, const MemoryPlan& plan, const Candidate& candidate) {
  shape.recompute = std::max(shape.recompute, candidate.recompute);
  shape.store.sharding = sharding_after(shape.store.sharding, candidate.stages);
  shape.sequence_lengths = halved(shape.sequence_lengths, layout.rows, candidate.halvings);
  for (std::vector<std::int64_t>& lengths : shape.other_micro_batches) lengths = halved(lengths, layout.rows, candidate.halvings);
  if (shape.labelled_tokens > 0) shape.labelled_tokens = share_of_rows(shape.labelled_tokens, layout.rows, candidate.halvings);
  shape.micro_batches_per_rank = std::max<std::int64_t>(1, shape.micro_batches_per_rank << candidate.halvings >> candidate.node_doublings);
  shape.num_ranks <<= candidate.node_doublings;
  const RolloutStep& step = kRolloutSteps[candidate.rollout_steps];
  if (step.cache_halvings > 0) shape.rollout.kv_cache_bytes = cache_after(plan, step);
  shape.rollout_tensor_parallel_size = std::max(shape.rollout_tensor_parallel_size, step.tensor_parallel_size);
  return shape;
}

std::string words_of_recompute(nn::RecomputeGranularity now, nn::RecomputeGranularity then) {
  const std::string change = now == nn::RecomputeGranularity::kNone ? "--gradient_checkpointing true " : "";
  if (then == nn::RecomputeGranularity::kSelective) return change + "--recompute_granularity selective (hardly more computing)";
  return change + "--recompute_granularity full (a third more computing)";
}

std::string words(const TrainingShape& shape, const TrainingLayout& layout, const MemoryPlan& plan, const Candidate& candidate) {
  std::vector<std::string> changes;
  if (candidate.node_doublings > 0) changes.push_back(fmt::format("{} nodes", layout.nodes << candidate.node_doublings));
  if (candidate.recompute != nn::RecomputeGranularity::kNone) changes.push_back(words_of_recompute(shape.recompute, candidate.recompute));
  if (candidate.stages > 0) {
    const bool is_third = sharding_after(shape.store.sharding, candidate.stages) == parallel::Sharding::kZero3;
    changes.push_back(fmt::format("--accelerate_config {}", is_third ? "zero3" : "zero2"));
  }
  if (candidate.halvings > 0) {
    changes.push_back(
        fmt::format("--per_device_train_batch_size {} with --gradient_accumulation_steps {} (as many rows a step)",
                    std::max(1, layout.rows >> candidate.halvings),
                    std::max<std::int64_t>(1, shape.micro_batches_per_rank << candidate.halvings >> candidate.node_doublings)));
  }
  const RolloutStep& step = kRolloutSteps[candidate.rollout_steps];
  if (step.tensor_parallel_size > shape.rollout_tensor_parallel_size) {
    changes.push_back(fmt::format("--rollout_tensor_parallel_size {}", step.tensor_parallel_size));
  }
  if (step.cache_halvings > 0) changes.push_back(fmt::format("--kv_cache_memory {}MB", cache_after(plan, step) / 1'000'000));
  return join(changes, ", ");
}

/// Whether the ranks of a node can be divided like that, and it changes something.
bool is_possible(const RolloutStep& step, const TrainingShape& shape, const TrainingLayout& layout) {
  return layout.ranks_per_node % step.tensor_parallel_size == 0 &&
         (step.tensor_parallel_size == 1 || step.tensor_parallel_size > shape.rollout_tensor_parallel_size);
}

int num_halvings(int rows) {
  int count = 0;
  while ((rows >> count) > 1) ++count;
  return count;
}

}  // namespace

std::optional<Advice> smallest_change(const TrainingShape& shape, const TrainingLayout& layout) {
  const double room = layout.device_memory - layout.process;
  const MemoryPlan plan = plan_training(shape);
  const auto needed = [&](const Candidate& candidate) { return plan_training(changed(shape, layout, plan, candidate)).needed(); };
  std::vector<int> rollout_steps{0};
  for (int step = 1; shape.is_grpo && shape.generates && step <= kMostRolloutSteps; ++step) {
    if (is_possible(kRolloutSteps[step], shape, layout)) rollout_steps.push_back(step);
  }
  const int most_halvings = num_halvings(layout.rows);
  for (int doublings = 0; (1 << doublings) <= kMostNodes; ++doublings) {
    const bool has_shards = (shape.num_ranks << doublings) > 1;
    const int most_stages = has_shards ? static_cast<int>(parallel::Sharding::kZero3) - static_cast<int>(shape.store.sharding) : 0;
    // Everything at once first: when that is not enough, nothing at this number of nodes is.
    if (needed({nn::RecomputeGranularity::kFull, most_stages, most_halvings, doublings, rollout_steps.back()}) > room) continue;
    std::vector<Candidate> candidates;
    for (const auto recompute : {nn::RecomputeGranularity::kNone, nn::RecomputeGranularity::kSelective, nn::RecomputeGranularity::kFull}) {
      if (recompute != nn::RecomputeGranularity::kNone && recompute <= shape.recompute) continue;
      for (int stages = 0; stages <= most_stages; ++stages) {
        for (int halvings = 0; halvings <= most_halvings; ++halvings) {
          for (const int step : rollout_steps) candidates.push_back({recompute, stages, halvings, doublings, step});
        }
      }
    }
    std::ranges::stable_sort(candidates, {}, &Candidate::cost);
    for (const Candidate& candidate : candidates) {
      if (candidate.cost() == 0) continue;
      const double bytes = needed(candidate);
      if (bytes <= room) return Advice{words(shape, layout, plan, candidate), bytes + layout.process};
    }
  }
  return std::nullopt;
}

std::optional<Advice> smallest_change(const InferenceShape& shape, double device_memory, double process) {
  using parallel::WeightStorage;
  const auto fits = [&](const InferenceShape& candidate, const std::string& change) -> std::optional<Advice> {
    const double bytes = plan_inference(candidate).needed() + process;
    return bytes <= device_memory ? std::optional<Advice>({change, bytes}) : std::nullopt;
  };
  std::vector<std::pair<WeightStorage, std::string>> storages{{shape.storage, ""}};
  if (shape.storage == WeightStorage::kF32 || (shape.storage == WeightStorage::kStored && shape.stored_dtype != DType::kBF16))
    storages.emplace_back(WeightStorage::kBF16, "--dtype bfloat16");
  const bool is_in_8_bits = shape.storage == WeightStorage::kInt8 || shape.storage == WeightStorage::kFp8;
  if (!is_in_8_bits && shape.device.kind == DeviceKind::kCpu) storages.emplace_back(WeightStorage::kInt8, "--dtype int8");
  if (!is_in_8_bits && shape.device.kind == DeviceKind::kCuda) storages.emplace_back(WeightStorage::kFp8, "--dtype float8_e4m3fn");
  InferenceShape candidate = shape;
  if (candidate.engine.kv_cache_bytes > 0) {
    candidate.engine.kv_cache_bytes = 0;
    if (auto advice = fits(candidate, "no --kv-cache-memory (the cache then takes what is free)")) return advice;
  }
  for (int pipeline = shape.pipeline_parallel_size; pipeline <= shape.model.num_hidden_layers; pipeline *= 2) {
    for (int tensor = shape.tensor_parallel_size; tensor <= std::max(shape.tensor_parallel_size, shape.model.num_attention_heads);
         tensor *= 2) {
      for (const auto& [storage, flag] : storages) {
        if (pipeline > shape.pipeline_parallel_size && tensor < 8) continue;  // stages only when a node's ranks are used up
        candidate.storage = storage;
        candidate.tensor_parallel_size = tensor;
        candidate.pipeline_parallel_size = pipeline;
        std::vector<std::string> changes;
        if (tensor > shape.tensor_parallel_size) changes.push_back(fmt::format("--tensor-parallel-size {}", tensor));
        if (pipeline > shape.pipeline_parallel_size) changes.push_back(fmt::format("--pipeline-parallel-size {}", pipeline));
        if (!flag.empty()) changes.push_back(flag);
        if (changes.empty()) continue;
        if (auto advice = fits(candidate, join(changes, ", "))) return advice;
      }
    }
  }
  return std::nullopt;
}

}  // namespace r1::plan

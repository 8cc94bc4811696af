#include "parallel/estimate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace r1::parallel {

StoreEstimate estimate_store(const nn::ParameterSet& parameters, const StoreOptions& options, int num_ranks,
                             std::int64_t micro_batches_per_rank) {
  StoreEstimate estimate;
  double total = 0, largest = 0, largest_pair = 0, at_turn = 0, before = 0;
  for (const nn::Unit& unit : parameters.units()) {
    const double bytes = 4 * static_cast<double>(unit.num_elements);
    total += bytes;
    largest = std::max(largest, bytes);
    largest_pair = std::max(largest_pair, before + bytes);
    at_turn = before + bytes;  // of the last two units in the end
    before = bytes;
  }
  const double share = 1.0 / num_ranks, others = 1 - share;
  const double accumulation = static_cast<double>(micro_batches_per_rank);
  const bool is_zero3 = options.sharding == Sharding::kZero3, is_replicated = options.sharding == Sharding::kReplicated;
  estimate.values = is_zero3 ? total * share : total;
  estimate.gradients = is_replicated ? total : total * share;
  if (options.optimizer_state == OptimizerState::kAdamW) estimate.optimizer_state = 2 * estimate.gradients;
  if (is_zero3) estimate.gathered = largest_pair;
  if (options.deterministic_reduction || num_ranks == 1) {
    estimate.scratch = num_ranks == 1 ? (micro_batches_per_rank > 1 ? largest : 0) : 4 * largest;
  } else {
    estimate.scratch = largest + (is_replicated ? 0 : total);  // this rank's own sum
  }
  const double gradients = options.deterministic_reduction ? accumulation * total : total;
  const double gathers = is_zero3 ? accumulation * (2 * total - at_turn) : total;
  estimate.traffic_per_step = num_ranks == 1 ? 0 : (gradients + gathers) * others;
  return estimate;
}

std::string describe(const StoreEstimate& estimate, const StoreOptions& options, int num_ranks) {
  const char* const names[] = {"plain data parallel", "ZeRO-2", "ZeRO-3"};
  std::string text = fmt::format("{}: weights {}, gradients {}, AdamW moments {} in fp32",
                                 format_bytes(estimate.values + estimate.gradients + estimate.optimizer_state),
                                 format_bytes(estimate.values), format_bytes(estimate.gradients), format_bytes(estimate.optimizer_state));
  if (estimate.gathered > 0) text += fmt::format("; {} for gathered units", format_bytes(estimate.gathered));
  if (estimate.scratch > 0) text += fmt::format("; {} for gradients under way", format_bytes(estimate.scratch));
  if (num_ranks == 1) return text;
  return fmt::format("on each of {} ranks ({}) {}; {} sent a step", num_ranks, names[static_cast<std::size_t>(options.sharding)], text,
                     format_bytes(estimate.traffic_per_step));
}

}  // namespace r1::parallel

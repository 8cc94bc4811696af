// What a store needs, by formulas from the declarations alone: what the tests hold it to.
#pragma once

#include <algorithm>

#include "parallel/parameter_store.h"

namespace r1::parallel {

/// Of one rank, in bytes; f32 everywhere.
struct StoreEstimate {
  double values = 0, gradients = 0, optimizer_state = 0;
  double gathered = 0;          // ZeRO-3: the largest two units that follow each other
  double scratch = 0;           // gradients of the micro-batches in flight: the largest unit, twice while it travels
  double traffic_per_step = 0;  // sent by this rank
  double total() const { return values + gradients + optimizer_state + gathered + scratch; }
};

/// Traffic (E = 4 bytes × parameters, a micro-batches a rank, all × (N - 1) / N): gradients a·E with the deterministic reduction,
/// else E; DDP and ZeRO-2 E more for the sums or the values; ZeRO-3 a·2E for its gathers, of which the last layer and the head,
/// which stay gathered at the turn to the backward pass, need one.
inline StoreEstimate estimate_store(const nn::ParameterSet& parameters, const StoreOptions& options, int num_ranks,
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
    estimate.scratch = is_replicated ? largest : 4 * largest;
  }
  const double gradients = options.deterministic_reduction || !is_replicated ? accumulation * total : total;
  const double gathers = is_zero3 ? accumulation * (2 * total - at_turn) : total;
  estimate.traffic_per_step = num_ranks == 1 ? 0 : (gradients + gathers) * others;
  return estimate;
}

}  // namespace r1::parallel

// What a store will need, from the declarations alone: for plans and pre-flight checks.
#pragma once

#include <string>

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
StoreEstimate estimate_store(const nn::ParameterSet& parameters, const StoreOptions& options, int num_ranks,
                             std::int64_t micro_batches_per_rank);

/// "ZeRO-2 on 4 ranks: 1.2 GB of state each (values …, gradients …, AdamW moments …), …": for plans and logs.
std::string describe(const StoreEstimate& estimate, const StoreOptions& options, int num_ranks);

}  // namespace r1::parallel

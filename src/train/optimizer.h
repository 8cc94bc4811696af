// One optimizer step over the shards that this rank owns.
#pragma once

#include <cstdint>

#include "parallel/parameter_store.h"

namespace r1::train {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};

/// Factor that brings a gradient of this norm to at most max_grad_norm: min(1, max / (norm + 1e-6)); 1 when max is 0.
double clip_factor(double gradient_norm, double max_grad_norm);

/// AdamW on every shard; decay only where the parameter's declaration says so. num_steps counts steps done, from 0.
void adamw_step(const ExecContext& ctx, parallel::ParameterStore& store, const AdamWOptions& options, double learning_rate,
                double gradient_scale, std::int64_t num_steps);

}  // namespace r1::train

#include "train/optimizer.h"

#include <algorithm>

#include "ops/adamw.h"

namespace r1::train {

double clip_factor(double gradient_norm, double max_grad_norm) {
  return max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (gradient_norm + 1e-6)) : 1.0;
}

void adamw_step(const ExecContext& ctx, parallel::ParameterStore& store, const AdamWOptions& options, double learning_rate,
                double gradient_scale, std::int64_t num_steps) {
  ops::AdamWStep step;
  step.learning_rate = learning_rate;
  step.beta1 = options.beta1;
  step.beta2 = options.beta2;
  step.epsilon = options.epsilon;
  step.gradient_scale = gradient_scale;
  step.step = num_steps + 1;
  store.for_each_shard([&](parallel::Shard& shard) {
    step.weight_decay = shard.parameter->weight_decay ? options.weight_decay : 0.0;
    ops::adamw(ctx, shard.value, shard.gradient, shard.exp_avg, shard.exp_avg_sq, step, shard.working.defined() ? &shard.working : nullptr);
  });
  store.publish_updated(parallel::Updated::kValuesAndWorking);
}

}  // namespace r1::train

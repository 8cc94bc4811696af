// The optimizer's update of one flat piece of parameters.
#pragma once

#include "ops/types.h"

namespace r1::ops {

struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9F, beta2 = 0.999F;
  float epsilon = 1e-8F;
  float weight_decay = 0;      // decoupled: parameter *= 1 - learning_rate * weight_decay
  std::int64_t step = 1;       // counts from 1: bias corrections 1 - beta^step, computed in double
  float gradient_scale = 1;    // gradient *= this first (clipping)
};

/// p *= 1 - lr * wd;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
/// p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon).
///
/// parameter, gradient, exp_avg, exp_avg_sq [n] f32 contiguous; bf16_copy [n] optional: the rounded working copy.
/// Rounds as torch.optim.AdamW (fp32, foreach off): see the fixtures. Source: Loshchilov & Hutter 2019, arXiv 1711.05101.
/// Runs on: reference, cpu, cuda.
void adamw(const ExecContext& ctx, Tensor& parameter, const Tensor& gradient, Tensor& exp_avg, Tensor& exp_avg_sq, const AdamWStep& step,
           Tensor* bf16_copy = nullptr);

}  // namespace r1::ops

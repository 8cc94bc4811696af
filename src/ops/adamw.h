// The optimizer's update of one flat piece of parameters.
#pragma once

#include <cmath>

#include "ops/types.h"

namespace r1::ops {

struct AdamWStep {
  // Doubles, as torch's scalars: each coefficient is computed in double and rounded once to the tensors' dtype.
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;    // decoupled: parameter *= 1 - learning_rate * weight_decay
  std::int64_t step = 1;      // counts from 1: bias corrections 1 - beta^step, computed in double
  double gradient_scale = 1;  // gradient *= this first (clipping)
};

/// The step's coefficients, each computed in double and rounded once to the tensors' type.
template <typename T>
struct AdamWCoefficients {
  explicit AdamWCoefficients(const AdamWStep& step)
      : gradient_scale(static_cast<T>(step.gradient_scale)),
        decay(static_cast<T>(1.0 - step.learning_rate * step.weight_decay)),
        one_minus_beta1(static_cast<T>(1.0 - step.beta1)),
        beta2(static_cast<T>(step.beta2)),
        one_minus_beta2(static_cast<T>(1.0 - step.beta2)),
        bias_correction2_sqrt(static_cast<T>(std::sqrt(1.0 - power(step.beta2, step.step)))),
        epsilon(static_cast<T>(step.epsilon)),
        step_size(static_cast<T>(step.learning_rate / (1.0 - power(step.beta1, step.step)))) {}
  T gradient_scale, decay, one_minus_beta1, beta2, one_minus_beta2, bias_correction2_sqrt, epsilon, step_size;

 private:
  static double power(double base, std::int64_t exponent) {  // by squaring: the same bits with every C library
    double result = 1;
    for (; exponent > 0; exponent /= 2, base *= base) {
      if (exponent % 2 == 1) result *= base;
    }
    return result;
  }
};

/// With the coefficients above, each operation rounded on its own but for the two fused multiply-adds (as torch's CPU code
/// does: the f32 vectors of the fixtures agree bit for bit):
///   g = gradient * gradient_scale;  m = fma(1 - beta1, g - m, m);  v = fma((1 - beta2) * g, g, v * beta2);
///   p = p * (1 - lr wd) - (lr / (1 - beta1^t) * m) / (sqrt(v) / sqrt(1 - beta2^t) + epsilon).
///
/// parameter, gradient, exp_avg, exp_avg_sq [n] f32 contiguous; bf16_copy [n] optional: the rounded working copy.
/// Within 1e-6 of torch.optim.AdamW (f32; f64 on reference: 1e-12). Equal bits on every backend. Source: Loshchilov & Hutter 2019, arXiv
/// 1711.05101. Runs on: reference, cpu, cuda.
void adamw(const ExecContext& ctx, Tensor& parameter, const Tensor& gradient, Tensor& exp_avg, Tensor& exp_avg_sq, const AdamWStep& step,
           Tensor* bf16_copy = nullptr);

}  // namespace r1::ops

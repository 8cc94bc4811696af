#include "ops/adamw.h"

#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

void adamw(const ExecContext& ctx, Tensor& parameter, const Tensor& gradient, Tensor& exp_avg, Tensor& exp_avg_sq, const AdamWStep& step,
           Tensor* bf16_copy) {
  const AdamWCoefficients<float> c(step);
  const Vec gradient_scale = broadcast(c.gradient_scale), decay = broadcast(c.decay), one_minus_beta1 = broadcast(c.one_minus_beta1);
  const Vec beta2 = broadcast(c.beta2), one_minus_beta2 = broadcast(c.one_minus_beta2), root = broadcast(c.bias_correction2_sqrt);
  const Vec epsilon = broadcast(c.epsilon), step_size = broadcast(c.step_size);
  ctx.threads().parallel_for(
      parameter.num_elements(),
      [&](std::int64_t begin, std::int64_t end, int) {
        float* parameters = raw<float>(parameter) + begin;
        const float* gradients = raw<float>(gradient) + begin;
        float* first_moments = raw<float>(exp_avg) + begin;
        float* second_moments = raw<float>(exp_avg_sq) + begin;
        for_each_vec(end - begin, [&](std::int64_t i, auto io) {
          const Vec g = mul(io.load(gradients + i), gradient_scale);
          Vec m = io.load(first_moments + i);
          m = fma(one_minus_beta1, sub(g, m), m);
          const Vec v = fma(mul(one_minus_beta2, g), g, mul(io.load(second_moments + i), beta2));
          const Vec denominator = add(div(sqrt(v), root), epsilon);
          const Vec p = sub(mul(io.load(parameters + i), decay), div(mul(step_size, m), denominator));
          io.store(first_moments + i, m);
          io.store(second_moments + i, v);
          io.store(parameters + i, p);
        });
        if (bf16_copy == nullptr) return;
        std::uint16_t* rounded = raw<std::uint16_t>(*bf16_copy) + begin;
        for (std::int64_t i = 0; i < end - begin; ++i) rounded[i] = f32_to_bf16(parameters[i]);
      },
      16384);
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

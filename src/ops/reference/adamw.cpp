#include "ops/adamw.h"

#include <cmath>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {

void adamw(const ExecContext&, Tensor& parameter, const Tensor& gradient, Tensor& exp_avg, Tensor& exp_avg_sq, const AdamWStep& step,
           Tensor* bf16_copy) {
  with_float_type(parameter, [&]<typename T>(T) {
    const AdamWCoefficients<T> c(step);
    for (std::int64_t i = 0; i < parameter.num_elements(); ++i) {
      const T g = raw<T>(gradient)[i] * c.gradient_scale;
      T& p = raw<T>(parameter)[i];
      T& m = raw<T>(exp_avg)[i];
      T& v = raw<T>(exp_avg_sq)[i];
      m = std::fma(c.one_minus_beta1, g - m, m);
      v = std::fma(c.one_minus_beta2 * g, g, v * c.beta2);
      const T denominator = std::sqrt(v) / c.bias_correction2_sqrt + c.epsilon;
      p = p * c.decay - c.step_size * m / denominator;
      if (bf16_copy != nullptr) raw<std::uint16_t>(*bf16_copy)[i] = f32_to_bf16(static_cast<float>(p));
    }
  });
}

}  // namespace r1::ops::reference

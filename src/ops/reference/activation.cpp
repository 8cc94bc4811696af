#include "ops/activation.h"

#include <cmath>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {

void swiglu(const ExecContext&, const Tensor& gate_up, Tensor& out) {
  with_float_type(gate_up, [&]<typename T>(T) {
    const std::int64_t intermediate_size = out.dim(1);
    for (std::int64_t t = 0; t < out.dim(0); ++t) {
      const T* gate = row<T>(gate_up, t);
      const T* up = gate + intermediate_size;
      T* result = row<T>(out, t);
      for (std::int64_t i = 0; i < intermediate_size; ++i) {
        const auto g = static_cast<double>(gate[i]);
        result[i] = static_cast<T>(g / (1.0 + std::exp(-g)) * static_cast<double>(up[i]));
      }
    }
  });
}

// With s = sigmoid(g): d silu(g) / dg = s * (1 + g * (1 - s)).
void swiglu_backward(const ExecContext&, const Tensor& grad_out, const Tensor& gate_up, Tensor& grad_gate_up) {
  with_float_type(gate_up, [&]<typename T>(T) {
    const std::int64_t intermediate_size = grad_out.dim(1);
    for (std::int64_t t = 0; t < grad_out.dim(0); ++t) {
      const T* gate = row<T>(gate_up, t);
      const T* grad = row<T>(grad_out, t);
      T* result = row<T>(grad_gate_up, t);
      for (std::int64_t i = 0; i < intermediate_size; ++i) {
        const auto g = static_cast<double>(gate[i]);
        const auto up = static_cast<double>(gate[i + intermediate_size]);
        const auto d = static_cast<double>(grad[i]);
        const double sigmoid = 1.0 / (1.0 + std::exp(-g));
        result[i] = static_cast<T>(d * up * sigmoid * (1.0 + g * (1.0 - sigmoid)));
        result[i + intermediate_size] = static_cast<T>(d * g * sigmoid);
      }
    }
  });
}

}  // namespace r1::ops::reference

#include "ops/linear.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

template <typename T>
double before(const T& element, Accumulate accumulate) {
  return accumulate == Accumulate::kYes ? static_cast<double>(element) : 0.0;
}

double widened(float value) { return double{value}; }
double widened(double value) { return value; }
double widened(std::uint16_t bf16) { return double{bf16_to_f32(bf16)}; }

template <typename T, typename WeightT>
void linear_typed(const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  for (std::int64_t m = 0; m < x.dim(0); ++m) {
    for (std::int64_t n = 0; n < weight.dim(0); ++n) {
      double sum = 0;
      for (std::int64_t k = 0; k < x.dim(1); ++k) sum += widened(row<T>(x, m)[k]) * widened(row<WeightT>(weight, n)[k]);
      if (bias != nullptr) sum += widened(raw<T>(*bias)[n]);
      row<T>(out, m)[n] = static_cast<T>(sum);
    }
  }
}

}  // namespace

void linear(const ExecContext&, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  with_float_type(x, [&]<typename T>(T) {
    if (weight.dtype() == DType::kBF16) {
      linear_typed<T, std::uint16_t>(x, weight, bias, out);
    } else {
      linear_typed<T, T>(x, weight, bias, out);
    }
  });
}

void linear_int8(const ExecContext&, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  with_float_type(x, [&]<typename T>(T) {
    for (std::int64_t m = 0; m < x.dim(0); ++m) {
      for (std::int64_t n = 0; n < weight.dim(0); ++n) {
        double sum = 0;
        for (std::int64_t k = 0; k < x.dim(1); ++k) sum += widened(row<T>(x, m)[k]) * static_cast<double>(row<std::int8_t>(weight, n)[k]);
        sum *= widened(raw<T>(scales)[n]);
        if (bias != nullptr) sum += widened(raw<T>(*bias)[n]);
        row<T>(out, m)[n] = static_cast<T>(sum);
      }
    }
  });
}

void linear_fp8(const ExecContext&, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  const std::int64_t K = x.dim(1);
  with_float_type(x, [&]<typename T>(T) {
    std::vector<double> rounded(static_cast<std::size_t>(K));
    for (std::int64_t m = 0; m < x.dim(0); ++m) {
      const T* input = row<T>(x, m);
      float largest = 0;
      for (std::int64_t k = 0; k < K; ++k) largest = std::max(largest, std::fabs(static_cast<float>(input[k])));
      const float x_scale = largest > 0 ? largest / kF8E4M3Max : 1.0F;
      for (std::int64_t k = 0; k < K; ++k)
        rounded[static_cast<std::size_t>(k)] = f8e4m3_to_f32(f32_to_f8e4m3(static_cast<float>(input[k]) / x_scale));
      for (std::int64_t n = 0; n < weight.dim(0); ++n) {
        double sum = 0;
        for (std::int64_t k = 0; k < K; ++k)
          sum += rounded[static_cast<std::size_t>(k)] * double{f8e4m3_to_f32(row<std::uint8_t>(weight, n)[k])};
        sum *= widened(raw<T>(scales)[n]) * double{x_scale};
        if (bias != nullptr) sum += widened(raw<T>(*bias)[n]);
        row<T>(out, m)[n] = static_cast<T>(sum);
      }
    }
  });
}

void linear_backward_input(const ExecContext&, const Tensor& grad_out, const Tensor& weight, Tensor& grad_x, Accumulate accumulate) {
  with_float_type(grad_out, [&]<typename T>(T) {
    for (std::int64_t m = 0; m < grad_x.dim(0); ++m) {
      for (std::int64_t k = 0; k < grad_x.dim(1); ++k) {
        double sum = before(row<T>(grad_x, m)[k], accumulate);
        for (std::int64_t n = 0; n < weight.dim(0); ++n) sum += widened(row<T>(grad_out, m)[n]) * widened(row<T>(weight, n)[k]);
        row<T>(grad_x, m)[k] = static_cast<T>(sum);
      }
    }
  });
}

void linear_backward_weight(const ExecContext&, const Tensor& grad_out, const Tensor& x, Tensor& grad_weight, Tensor* grad_bias,
                            Accumulate accumulate) {
  with_float_type(grad_out, [&]<typename T>(T) {
    for (std::int64_t n = 0; n < grad_weight.dim(0); ++n) {
      for (std::int64_t k = 0; k < grad_weight.dim(1); ++k) {
        double sum = before(row<T>(grad_weight, n)[k], accumulate);
        for (std::int64_t m = 0; m < x.dim(0); ++m) sum += widened(row<T>(grad_out, m)[n]) * widened(row<T>(x, m)[k]);
        row<T>(grad_weight, n)[k] = static_cast<T>(sum);
      }
      if (grad_bias == nullptr) continue;
      double sum = before(raw<T>(*grad_bias)[n], accumulate);
      for (std::int64_t m = 0; m < x.dim(0); ++m) sum += widened(row<T>(grad_out, m)[n]);
      raw<T>(*grad_bias)[n] = static_cast<T>(sum);
    }
  });
}

}  // namespace r1::ops::reference

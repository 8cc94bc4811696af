#include "ops/norm.h"

#include <cmath>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

template <typename T>
void normalise_row(const T* x, const T* weight, double eps, std::int64_t hidden_size, T* out, T* rstd) {
  double sum = 0;
  for (std::int64_t i = 0; i < hidden_size; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(hidden_size) + eps);
  for (std::int64_t i = 0; i < hidden_size; ++i) {
    out[i] = static_cast<T>(static_cast<double>(x[i]) * factor * static_cast<double>(weight[i]));
  }
  if (rstd != nullptr) *rstd = static_cast<T>(factor);
}

}  // namespace

void rms_norm(const ExecContext&, const Tensor& x, const Tensor& weight, float eps, Tensor& out, Tensor* rstd) {
  with_float_type(x, [&]<typename T>(T) {
    for (std::int64_t t = 0; t < x.dim(0); ++t) {
      normalise_row(row<T>(x, t), raw<T>(weight), double{eps}, x.dim(1), row<T>(out, t), rstd ? row<T>(*rstd, t) : nullptr);
    }
  });
}

void add_rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, Tensor& sum,
                  Tensor& out, Tensor* rstd) {
  with_float_type(x, [&]<typename T>(T) {
    for (std::int64_t t = 0; t < x.dim(0); ++t) {
      const T* left = row<T>(x, t);
      const T* right = row<T>(residual, t);
      T* total = row<T>(sum, t);
      for (std::int64_t i = 0; i < x.dim(1); ++i) total[i] = left[i] + right[i];
    }
  });
  rms_norm(ctx, sum, weight, eps, out, rstd);
}

// With n = x * rstd (the normalised row) and g = grad_out * weight:
// grad_x = rstd * (g - n * mean(g * n)), grad_weight = sum over rows of grad_out * n.
void rms_norm_backward(const ExecContext&, const Tensor& grad_out, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                       Tensor& grad_x, Accumulate accumulate, Tensor& grad_weight, Accumulate accumulate_weight) {
  with_float_type(x, [&]<typename T>(T) {
    const std::int64_t hidden_size = x.dim(1);
    const T* w = raw<T>(weight);
    std::vector<double> weight_sums(static_cast<std::size_t>(hidden_size), 0.0);
    for (std::int64_t t = 0; t < x.dim(0); ++t) {
      const T* input = row<T>(x, t);
      const T* grad = row<T>(grad_out, t);
      T* result = row<T>(grad_x, t);
      const auto factor = static_cast<double>(*row<T>(rstd, t));
      double dot = 0;
      for (std::int64_t i = 0; i < hidden_size; ++i) {
        const double normalised = static_cast<double>(input[i]) * factor;
        dot += static_cast<double>(grad[i]) * static_cast<double>(w[i]) * normalised;
        weight_sums[static_cast<std::size_t>(i)] += static_cast<double>(grad[i]) * normalised;
      }
      const double mean = dot / static_cast<double>(hidden_size);
      for (std::int64_t i = 0; i < hidden_size; ++i) {
        const double value =
            factor * (static_cast<double>(grad[i]) * static_cast<double>(w[i]) - static_cast<double>(input[i]) * factor * mean);
        result[i] = static_cast<T>(value + (accumulate == Accumulate::kYes ? static_cast<double>(result[i]) : 0.0));
      }
    }
    T* total = raw<T>(grad_weight);
    for (std::int64_t i = 0; i < hidden_size; ++i) {
      const double before = accumulate_weight == Accumulate::kYes ? static_cast<double>(total[i]) : 0.0;
      total[i] = static_cast<T>(before + weight_sums[static_cast<std::size_t>(i)]);
    }
  });
}

}  // namespace r1::ops::reference

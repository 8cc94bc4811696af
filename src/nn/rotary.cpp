#include "nn/rotary.h"

#include <algorithm>
#include <cmath>

#include "ops/copy.h"

namespace r1::nn {

void Rotary::reserve(const ExecContext& ctx, std::int64_t num_positions) {
  if (cos_.defined() && cos_.dim(0) >= num_positions) return;
  std::int64_t rows = cos_.defined() ? cos_.dim(0) : 256;
  while (rows < num_positions) rows *= 2;
  const auto half = static_cast<std::int64_t>(inv_freq_.size());
  Tensor cos_host = Tensor::host({rows, half}, DType::kF32), sin_host = Tensor::host({rows, half}, DType::kF32);
  auto cos_values = cos_host.host_span<float>(), sin_values = sin_host.host_span<float>();
  for (std::int64_t position = 0; position < rows; ++position) {
    for (std::int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * inv_freq_[static_cast<std::size_t>(i)];
      const auto at = static_cast<std::size_t>(position * half + i);
      cos_values[at] = static_cast<float>(std::cos(static_cast<double>(angle))) * attention_scaling_;
      sin_values[at] = static_cast<float>(std::sin(static_cast<double>(angle))) * attention_scaling_;
    }
  }
  cos_ = ops::to_device(ctx, cos_host);
  sin_ = ops::to_device(ctx, sin_host);
}

std::vector<float> default_inv_freq(double theta, int rotary_dim) {
  std::vector<float> inv_freq;
  for (int i = 0; i < rotary_dim; i += 2) {
    inv_freq.push_back(static_cast<float>(1.0 / std::pow(theta, static_cast<double>(i) / rotary_dim)));
  }
  return inv_freq;
}

}  // namespace r1::nn

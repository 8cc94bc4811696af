// Rounding on the way from files to a device.
#pragma once

#include <algorithm>

#include "tensor/tensor.h"

namespace r1::parallel {

/// The same values in bf16 (round to nearest even), on the host.
inline Tensor host_bf16(const Tensor& host_f32) {
  Tensor result = Tensor::host(host_f32.shape(), DType::kBF16);
  std::ranges::transform(host_f32.host_span<float>(), result.host_span<std::uint16_t>().begin(), f32_to_bf16);
  return result;
}

}  // namespace r1::parallel

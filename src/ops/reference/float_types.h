// The reference ops are written once for f32 and f64 elements; sums are double in both.
#pragma once

#include "tensor/raw_access.h"

namespace r1::ops::reference {

/// Calls body(T{}) with T = double for f64 tensors, float otherwise (the public op has checked the dtype).
template <typename Body>
void with_float_type(const Tensor& tensor, Body&& body) {
  if (tensor.dtype() == DType::kF64) {
    body(double{});
  } else {
    body(float{});
  }
}

/// First element of row `index` of a tensor whose rows may have a stride.
template <typename T>
T* row(const Tensor& tensor, std::int64_t index) {
  return raw<T>(tensor) + index * tensor.row_stride();
}

}  // namespace r1::ops::reference

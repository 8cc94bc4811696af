// The bytes behind a tensor of any device. Only code under ops/<backend>/ and ops/copy.cpp may include this file
// (tools/check_layers.py holds it to that): everything else works on tensors through ops, in stream order.
#pragma once

#include "tensor/tensor.h"

namespace r1 {

struct RawAccess {
  static std::byte* data(const Tensor& tensor) { return tensor.data_; }
};

/// First element; rows are tensor.row_stride() elements apart. T must have the size of the dtype.
template <typename T>
T* raw(const Tensor& tensor) {
  R1_ASSERT(sizeof(T) == size_of(tensor.dtype()), "raw() with an element type of another size");
  return reinterpret_cast<T*>(RawAccess::data(tensor));
}

}  // namespace r1

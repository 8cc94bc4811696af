// From tensors to what kernels take: pointers, strides, storage types and the width of accesses.
#pragma once

#include <algorithm>
#include <type_traits>

#include "ops/cuda/device.cuh"
#include "ops/cuda/launch.h"
#include "tensor/raw_access.h"

namespace r1::ops::kernels {

/// First element, for a kernel. T has the size of the dtype.
template <typename T>
T* device_pointer(const Tensor& tensor) {
  T* pointer = raw<T>(tensor);
  const std::int64_t rows = tensor.shape().rank() == 0 ? 1 : tensor.dim(0);
  if (tensor.num_elements() > 0) {
    const std::int64_t last_row = (rows - 1) * (tensor.shape().rank() == 0 ? 0 : tensor.row_stride());
    note_device_range(pointer, static_cast<std::size_t>(last_row + tensor.num_elements() / rows) * sizeof(T));
  }
  return pointer;
}

/// Whether the first element lies at a multiple of 16 bytes: a packed parameter may begin anywhere.
inline bool is_at_16_bytes(const Tensor& tensor) { return reinterpret_cast<std::uintptr_t>(RawAccess::data(tensor)) % 16 == 0; }

/// The tensor as rows of dense elements; a scalar is one row of one element.
template <typename T>
struct Rows {
  Rows() = default;
  explicit Rows(const Tensor& tensor)
      : data(device_pointer<T>(tensor)),
        count(tensor.shape().rank() == 0 ? 1 : tensor.dim(0)),
        length(count == 0 ? 0 : tensor.num_elements() / count),
        stride(tensor.shape().rank() == 0 ? 1 : tensor.row_stride()) {}
  T* data = nullptr;
  index_t count = 0, length = 0, stride = 0;

  bool has_gaps() const { return count > 1 && stride != length; }
  /// Every row begins at a multiple of 16 bytes: for kernels that take the rest of a row one by one. True for an absent tensor.
  bool is_aligned() const {
    constexpr index_t width = 16 / static_cast<index_t>(sizeof(T));
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && (stride % width == 0 || count <= 1);
  }
  /// Every row begins at a multiple of 16 bytes and consists of whole 16-byte pieces. True for an absent tensor.
  bool is_vectorisable() const { return is_aligned() && length % (16 / static_cast<index_t>(sizeof(T))) == 0; }
};

/// Tensors of one shape as one row each when none has gaps: a flat buffer is no column of single elements.
template <typename... T>
void join_rows(Rows<T>&... tensors) {
  if ((tensors.has_gaps() || ...)) return;
  const auto join = [](auto& rows) {
    rows.length *= rows.count;
    rows.stride = rows.length;
    rows.count = 1;
  };
  (join(tensors), ...);
}

/// body(T{}) with the storage type of the tensor. Throws Error(kDType).
template <typename Body>
void with_storage(const char* op, const Tensor& tensor, Body&& body) {
  if (tensor.dtype() == DType::kF32) return body(float{});
  if (tensor.dtype() == DType::kBF16) return body(bf16{});
  fail(ErrorKind::kDType, "{}: float32 or bfloat16 expected on CUDA, found {}", op, dtype_name(tensor.dtype()));
}

/// body(width) as a compile-time constant: 16 bytes of T when all rows allow it, else single elements.
template <typename T, typename Body>
void with_width(bool is_vectorisable, Body&& body) {
  if (is_vectorisable) return body(std::integral_constant<int, 16 / static_cast<int>(sizeof(T))>{});
  body(std::integral_constant<int, 1>{});
}

inline unsigned blocks_for(index_t work, index_t per_block) { return static_cast<unsigned>((work + per_block - 1) / per_block); }

/// Threads for a row of `steps` accesses: whole warps, at most `limit`.
inline unsigned threads_for(index_t steps, unsigned limit = 256) {
  return static_cast<unsigned>(std::clamp<index_t>((steps + kWarp - 1) / kWarp * kWarp, kWarp, limit));
}

}  // namespace r1::ops::kernels

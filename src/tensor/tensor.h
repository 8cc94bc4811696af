// A typed view on shared storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "tensor/allocator.h"
#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace r1 {

/// One block of an allocator; goes back to it with the last tensor that shares it.
class Storage {
 public:
  Storage(CachingAllocator& allocator, std::size_t bytes) : allocator_(&allocator), block_(allocator.allocate(bytes)) {}
  ~Storage() { allocator_->release(block_); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(block_.memory); }
  std::size_t num_bytes() const { return block_.bytes; }
  CachingAllocator& allocator() const { return *allocator_; }

 private:
  CachingAllocator* allocator_;
  CachingAllocator::Block block_;
};

/// Row-major view: all dimensions but the first are dense; the first ("rows") may have a stride. Copies share the bytes.
/// The elements of a host tensor are read through host<T>(); those of other devices by ops alone (tensor/raw_access.h).
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised elements.
  Tensor(CachingAllocator& allocator, Shape shape, DType dtype);
  static Tensor host(Shape shape, DType dtype) { return Tensor(host_allocator(), shape, dtype); }
  template <typename T>
  static Tensor host_from(std::span<const T> values, Shape shape, DType dtype);

  bool defined() const { return storage_ != nullptr; }
  explicit operator bool() const { return defined(); }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int axis) const { return shape_[axis]; }
  std::int64_t num_elements() const { return shape_.num_elements(); }
  std::size_t num_bytes() const { return static_cast<std::size_t>(num_elements()) * size_of(dtype_); }
  Device device() const { return storage_ ? storage_->allocator().device() : kHostDevice; }
  CachingAllocator& allocator() const { return storage_->allocator(); }
  /// Elements from one row to the next.
  std::int64_t row_stride() const { return row_stride_; }
  bool is_contiguous() const;

  /// Another shape on the same elements; needs a contiguous tensor and the same number of elements.
  Tensor view(Shape shape) const;
  /// The same bytes as elements of another dtype of the same size.
  Tensor as(DType dtype) const;
  /// Rows [begin, end) of the first dimension.
  Tensor rows(std::int64_t begin, std::int64_t end) const;
  /// Columns [begin, end) of a 2-D tensor, as a view whose rows have a stride.
  Tensor cols(std::int64_t begin, std::int64_t end) const;
  /// `count` elements from `offset` of a contiguous tensor, as a tensor of the given shape.
  Tensor slice(std::int64_t offset, Shape shape) const;
  /// A larger view that begins at this one's first element: neighbours in one flat buffer seen as one matrix. The storage
  /// must be large enough; this tensor must be contiguous.
  Tensor extended(Shape shape) const;
  bool shares_storage_with(const Tensor& other) const { return storage_ == other.storage_; }
  /// Whether another Tensor object refers to the same storage.
  bool is_shared() const { return storage_.use_count() > 1; }
  /// Identity of the storage, for counting bytes once.
  const void* storage_id() const { return storage_.get(); }

  /// Elements of a contiguous host tensor.
  template <typename T>
  std::span<T> host_span() const {
    R1_ASSERT(device().kind == DeviceKind::kHost && is_contiguous(), "host_span() of a tensor that is not in host memory");
    R1_ASSERT(sizeof(T) == size_of(dtype_), "host_span() with an element type of another size");
    return {reinterpret_cast<T*>(data_), static_cast<std::size_t>(num_elements())};
  }

 private:
  friend struct RawAccess;
  std::shared_ptr<Storage> storage_;
  std::byte* data_ = nullptr;
  Shape shape_;
  std::int64_t row_stride_ = 0;
  DType dtype_ = DType::kF32;
};

template <typename T>
Tensor Tensor::host_from(std::span<const T> values, Shape shape, DType dtype) {
  Tensor tensor = host(shape, dtype);
  auto out = tensor.host_span<T>();
  R1_ASSERT(out.size() == values.size(), "host_from() with another number of values than elements");
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = values[i];
  return tensor;
}

}  // namespace r1

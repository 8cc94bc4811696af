#include "tensor/tensor.h"

namespace r1 {
namespace {

std::int64_t dense_row_stride(const Shape& shape) {
  std::int64_t stride = 1;
  for (int axis = 1; axis < shape.rank(); ++axis) stride *= shape[axis];
  return stride;
}

}  // namespace

Tensor::Tensor(CachingAllocator& allocator, Shape shape, DType dtype)
    : storage_(std::make_shared<Storage>(allocator, static_cast<std::size_t>(shape.num_elements()) * size_of(dtype))),
      data_(storage_->data()),
      shape_(shape),
      row_stride_(dense_row_stride(shape)),
      dtype_(dtype) {}

bool Tensor::is_contiguous() const { return shape_.rank() == 0 || shape_[0] <= 1 || row_stride_ == dense_row_stride(shape_); }

Tensor Tensor::view(Shape shape) const {
  R1_ASSERT(is_contiguous(), "view() of a tensor with strided rows");
  if (shape.num_elements() != num_elements()) {
    fail(ErrorKind::kShape, "cannot view {} as {}", shape_.to_string(), shape.to_string());
  }
  Tensor result = *this;
  result.shape_ = shape;
  result.row_stride_ = dense_row_stride(shape);
  return result;
}

Tensor Tensor::as(DType dtype) const {
  R1_ASSERT(size_of(dtype) == size_of(dtype_), "as() with elements of another size");
  Tensor result = *this;
  result.dtype_ = dtype;
  return result;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  if (shape_.rank() == 0 || begin < 0 || begin > end || end > shape_[0]) {
    fail(ErrorKind::kShape, "rows [{}, {}) of a tensor {}", begin, end, shape_.to_string());
  }
  std::vector<std::int64_t> dims(shape_.dims().begin(), shape_.dims().end());
  dims[0] = end - begin;
  Tensor result = *this;
  result.shape_ = Shape(std::span<const std::int64_t>(dims));
  result.data_ = data_ + static_cast<std::size_t>(begin * row_stride_) * size_of(dtype_);
  return result;
}

Tensor Tensor::cols(std::int64_t begin, std::int64_t end) const {
  if (shape_.rank() != 2 || begin < 0 || begin > end || end > shape_[1]) {
    fail(ErrorKind::kShape, "columns [{}, {}) of a tensor {}", begin, end, shape_.to_string());
  }
  Tensor result = *this;
  result.shape_ = Shape{shape_[0], end - begin};
  result.data_ = data_ + static_cast<std::size_t>(begin) * size_of(dtype_);
  return result;
}

Tensor Tensor::slice(std::int64_t offset, Shape shape) const {
  R1_ASSERT(is_contiguous(), "slice() of a tensor with strided rows");
  if (offset < 0 || offset + shape.num_elements() > num_elements()) {
    fail(ErrorKind::kShape, "slice of {} elements at {} of a tensor {}", shape.num_elements(), offset, shape_.to_string());
  }
  Tensor result = *this;
  result.shape_ = shape;
  result.row_stride_ = dense_row_stride(shape);
  result.data_ = data_ + static_cast<std::size_t>(offset) * size_of(dtype_);
  return result;
}

Tensor Tensor::extended(Shape shape) const {
  R1_ASSERT(is_contiguous(), "extended() of a tensor with strided rows");
  const std::size_t needed = static_cast<std::size_t>(shape.num_elements()) * size_of(dtype_);
  R1_ASSERT(static_cast<std::size_t>(data_ - storage_->data()) + needed <= storage_->num_bytes(), "extended() beyond the storage");
  Tensor result = *this;
  result.shape_ = shape;
  result.row_stride_ = dense_row_stride(shape);
  return result;
}

}  // namespace r1

#include "ops/checks.h"

namespace r1::ops {

void require_float(const ExecContext& ctx, const char* op, const char* argument, const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) return;
  if (tensor.dtype() == DType::kF64 && ctx.backend() == Backend::kReference) return;
  fail(ErrorKind::kDType, "{}: {} must be float32, found {}", op, argument, dtype_name(tensor.dtype()));
}

void require_activation(const ExecContext& ctx, const char* op, const char* argument, const Tensor& tensor) {
  if (tensor.dtype() == DType::kBF16 && ctx.backend() == Backend::kCuda) return;
  require_float(ctx, op, argument, tensor);
}

void require_full_precision(const char* op, const char* argument, const Tensor& tensor, const Tensor& like) {
  require_dtype(op, argument, tensor, like.dtype() == DType::kBF16 ? DType::kF32 : like.dtype());
}

void require_float_like(const char* op, const char* argument, const Tensor& tensor, const Tensor& like) {
  require_dtype(op, argument, tensor, like.dtype());
}

void require_dtype(const char* op, const char* argument, const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return;
  fail(ErrorKind::kDType, "{}: {} must be {}, found {}", op, argument, dtype_name(dtype), dtype_name(tensor.dtype()));
}

void require_shape(const char* op, const char* argument, const Tensor& tensor, const Shape& shape) {
  if (tensor.shape() == shape) return;
  fail(ErrorKind::kShape, "{}: {} must have shape {}, found {}", op, argument, shape.to_string(), tensor.shape().to_string());
}

void require_rank(const char* op, const char* argument, const Tensor& tensor, int rank) {
  if (tensor.shape().rank() == rank) return;
  fail(ErrorKind::kShape, "{}: {} must have {} dimensions, found shape {}", op, argument, rank, tensor.shape().to_string());
}

void require_contiguous(const char* op, const char* argument, const Tensor& tensor) {
  if (tensor.is_contiguous()) return;
  fail(ErrorKind::kShape, "{}: {} must be contiguous, found rows {} elements apart for shape {}", op, argument, tensor.row_stride(),
       tensor.shape().to_string());
}

void require_attention_heads(const char* op, const AttentionHeads& heads) {
  if (heads.num_key_value_heads > 0 && heads.num_attention_heads > 0 && heads.head_dim > 0 &&
      heads.num_attention_heads % heads.num_key_value_heads == 0) {
    return;
  }
  fail(ErrorKind::kShape, "{}: num_attention_heads ({}) must be a positive multiple of num_key_value_heads ({}), head_dim ({}) positive",
       op, heads.num_attention_heads, heads.num_key_value_heads, heads.head_dim);
}

}  // namespace r1::ops

// The argument checks of ops/<op>.cpp: each names the op, the argument, what was expected and what was found.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// Throws Error(kDType) unless the tensor is f32. The reference backend computes in f64 too when every floating-point
/// argument is f64 (the gradient tests take central differences of it): `like` is then the argument that sets the dtype.
void require_float(const ExecContext& ctx, const char* op, const char* argument, const Tensor& tensor);
/// The same for what a model computes with: bf16 too, on the backend that computes in it (cuda).
void require_activation(const ExecContext& ctx, const char* op, const char* argument, const Tensor& tensor);
/// What is kept in full beside bf16 activations (sums of a row, gradients of parameters): f32; the dtype of `like` otherwise.
void require_full_precision(const char* op, const char* argument, const Tensor& tensor, const Tensor& like);
void require_float_like(const char* op, const char* argument, const Tensor& tensor, const Tensor& like);
/// Throws Error(kDType).
void require_dtype(const char* op, const char* argument, const Tensor& tensor, DType dtype);
/// Throws Error(kShape).
void require_shape(const char* op, const char* argument, const Tensor& tensor, const Shape& shape);
void require_rank(const char* op, const char* argument, const Tensor& tensor, int rank);
/// Throws Error(kShape) when rows have a stride.
void require_contiguous(const char* op, const char* argument, const Tensor& tensor);
/// Throws Error(kShape) unless the query heads are a positive multiple of the key/value heads.
void require_attention_heads(const char* op, const AttentionHeads& heads);

}  // namespace r1::ops

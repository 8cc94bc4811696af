// Element by element.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// Every element = value. Any dtype for value 0; f32 otherwise. Rows may have a stride.
void fill(const ExecContext& ctx, Tensor& x, float value);
/// out = a + b; f32, same shape; out may alias either. Rows may have a stride.
void add(const ExecContext& ctx, const Tensor& a, const Tensor& b, Tensor& out);
/// x = x * factor; f32.
void scale(const ExecContext& ctx, Tensor& x, float factor);
/// out = x on the same device; same shape and dtype; rows may have a stride.
void copy(const ExecContext& ctx, const Tensor& x, Tensor& out);

}  // namespace r1::ops

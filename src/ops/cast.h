// Conversion between storage dtypes.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// out = x in the dtype of out: f32 ↔ bf16, f32 ↔ f16 (round to nearest even), f8_e4m3 → f32. Same shape, contiguous.
void cast(const ExecContext& ctx, const Tensor& x, Tensor& out);

}  // namespace r1::ops

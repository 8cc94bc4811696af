// What surrounds a product of e4m3 matrices: activations are rounded on the way in, sums scaled on the way out.
#pragma once

#include "ops/types.h"

#if defined(R1_SIMT)
namespace r1::ops::simt_backend {
#else
namespace r1::ops::cuda {
#endif

/// rounded [M, K] f8_e4m3 = x / scale of its row, scales [M] f32 = max |x| / 448 of each row (1 for a row of zeros).
/// x [M, K] f32 or bf16, rows may have a stride.
void round_rows_to_f8(const ExecContext& ctx, const Tensor& x, const Tensor& rounded, const Tensor& scales);

/// out[m, n] = sums[m, n] * column_scales[n] * row_scales[m] (+ bias[n]).
/// sums [M, N] f32; row_scales [M], column_scales [N] f32; bias [N] f32 or bf16, optional; out [M, N] f32 or bf16, rows may have a stride
void scale_sums(const ExecContext& ctx, const Tensor& sums, const Tensor& row_scales, const Tensor& column_scales, const Tensor* bias,
                Tensor& out);
}

// Products of at most four rows by our own kernels: decode steps of few sequences.
#pragma once

#include "ops/types.h"

#if defined(R1_SIMT)
namespace r1::ops::simt_backend {
#else
namespace r1::ops::cuda {
#endif

inline constexpr std::int64_t kSmallProductRows = 4;

/// out = x · weight^T (+ bias), f32 sums. False, and nothing is done, for more rows or where rows are no whole 16-byte pieces.
///
/// x [M, K] and weight [N, K]: f32 and f32, bf16 and bf16, f32 and bf16; rows of x may have a stride; bias [N] f32 or bf16, optional;
/// out [M, N] f32 or bf16, rows may have a stride. A row of out has the same bits for every M that this serves.
bool small_product(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out);

/// As many as leave registers for a row of the gate and one of up.
inline constexpr std::int64_t kSmallProductSwigluRows = 2;

/// out = swiglu(x · weight^T) (ops/linear.h, linear_swiglu), dtype of x; dtypes as above. False, and nothing is done, for more rows or
/// where rows are no whole 16-byte pieces. The bits of small_product and then swiglu.
bool small_product_swiglu(const ExecContext& ctx, const Tensor& x, const Tensor& weight, Tensor& out);

/// small_product with e4m3 factors: rounded [M, K] and weight [N, K], scales [M] and [N] f32 (ops/linear.h, linear_fp8).
bool small_product_fp8(const ExecContext& ctx, const Tensor& rounded, const Tensor& row_scales, const Tensor& weight,
                       const Tensor& column_scales, const Tensor* bias, Tensor& out);
}

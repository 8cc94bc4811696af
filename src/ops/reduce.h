// Reductions whose order is fixed, so that sharded and replicated runs agree bit for bit.
#pragma once

#include "ops/types.h"

namespace r1::ops {

inline constexpr std::int64_t kReduceBlock = 1024;

/// sums[b] = sum in double of x[i]^2 over block b (elements [1024 b, 1024 (b + 1)), ascending order within the block).
///
/// x [n] f32 contiguous; sums [ceil(n / 1024)] f64. The caller adds the blocks in (parameter, block) order on the host.
/// Order of sums (cpu): 8 chains of double, chain j over the elements j, j + 8, …, added pairwise (4, 2, 1).
void sum_squares_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums);

/// The same for the plain sum of x (metrics over per-token values).
void sum_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums);

}  // namespace r1::ops

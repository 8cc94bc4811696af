// Root-mean-square normalisation, alone and fused with the addition of a residual.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// out = x / sqrt(mean(x^2) + eps) * weight over the last dimension.
///
/// x, out  [num_rows, hidden_size] f32; out may alias x; rows may have a stride
/// weight  [hidden_size]           f32
/// rstd    [num_rows]              f32, optional; saved for rms_norm_backward
/// Order of sums (cpu): 16 FMA chains, chain j over the elements j, j + 16, …, added pairwise (8, 4, 2, 1).
/// Source: Zhang & Sennrich 2019, arXiv 1910.07467. Runs on: reference, cpu, cuda.
void rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& weight, float eps, Tensor& out, Tensor* rstd = nullptr);

/// sum = x + residual, out = rms_norm(sum). sum may alias x or residual.
void add_rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, Tensor& sum,
                  Tensor& out, Tensor* rstd = nullptr);

/// grad_x (+)= d/dx, grad_weight (+)= d/dweight for the x (or sum) and rstd of the forward call.
///
/// grad_x may alias grad_out when accumulate is kNo. With kYes the value is added to grad_x: the residual stream's second
/// consumer. The sum of grad_weight runs over the rows in ascending order (cpu: one FMA chain per column, from +0 or, with
/// accumulate_weight, from the stored value).
void rms_norm_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                       Tensor& grad_x, Accumulate accumulate, Tensor& grad_weight, Accumulate accumulate_weight);

}  // namespace r1::ops

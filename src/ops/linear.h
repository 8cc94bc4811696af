// Matrix products with a weight in Hugging Face's layout [out_features, in_features].
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// out[m, n] = sum_k x[m, k] * weight[n, k] (+ bias[n]).
///
/// x       [M, K] f32, rows may have a stride
/// weight  [N, K] f32 (bf16 where the backend says so; each storage dtype is its own chain)
/// bias    [N]    f32, optional
/// out     [M, N] f32, rows may have a stride; must not alias x
/// Order of sums (cpu): one fp32 FMA chain per element from +0 with k ascending, then one addition of the bias.
/// A row of out does not depend on the other rows of x. Throws Error(kShape), Error(kDType).
/// Runs on: reference, cpu, cuda.
void linear(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out);

/// out[m, n] = scales[n] * sum_k x[m, k] * weight[n, k] (+ bias[n]): a weight stored in 8 bits with one scale per output row.
///
/// x [M, K] f32, rows may have a stride; weight [N, K] i8; scales [N] f32; bias [N] f32, optional; out [M, N] f32
/// Order of sums (cpu): one fp32 FMA chain per element from +0 with k ascending on the unscaled weights, then one multiplication by the
/// scale and one addition of the bias. Runs on: reference, cpu.
void linear_int8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out);

/// out[m, n] = x_scale[m] * scales[n] * sum_k q[m, k] * weight[n, k] (+ bias[n]): both factors in 8 bits, as matrix units multiply them.
///
/// x       [M, K] f32, rows may have a stride; q = x / x_scale rounded to e4m3 (nearest even), x_scale[m] = max_k |x[m, k]| / 448, or 1 for
///         a row of zeros
/// weight  [N, K] f8_e4m3; scales [N] f32; bias [N] f32, optional; out [M, N] f32, rows may have a stride
/// Order of sums (cpu): one fp32 FMA chain per element from +0 with k ascending on the unscaled values, then one multiplication by
/// scales[n], one by x_scale[m], and one addition of the bias. A row of out does not depend on the other rows of x.
/// cuda: x, bias and out bf16 too; N and K multiples of 16, compute capability 8.9 or higher, else Error(kUsage).
/// Source: Micikevicius et al. 2022, arXiv 2209.05433. Runs on: reference, cpu, cuda.
void linear_fp8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out);

/// out = swiglu(x · weight^T): the MLP's fused projection with its activation, for passes that keep nothing for a backward pass. The bits
/// of linear() into a tensor like out, then swiglu() (ops/activation.h).
///
/// x [M, K], weight [2 * intermediate_size, K]: gate rows, then up rows; dtypes as in linear(). out [M, intermediate_size], dtype of x.
/// Runs on: reference, cpu, cuda.
void linear_swiglu(const ExecContext& ctx, const Tensor& x, const Tensor& weight, Tensor& out);

/// grad_x[m, k] (+)= sum_n grad_out[m, n] * weight[n, k].
///
/// grad_out [M, N], weight [N, K], grad_x [M, K]; f32; rows of grad_out and grad_x may have a stride.
/// Order of sums (cpu): one FMA chain per element, n ascending; with Accumulate::kYes the chain starts from the stored value.
void linear_backward_input(const ExecContext& ctx, const Tensor& grad_out, const Tensor& weight, Tensor& grad_x, Accumulate accumulate);

/// grad_weight[n, k] (+)= sum_m grad_out[m, n] * x[m, k];  grad_bias[n] (+)= sum_m grad_out[m, n].
///
/// grad_out [M, N], x [M, K], grad_weight [N, K], grad_bias [N] (optional); f32; rows of grad_out and x may have a stride.
/// Order of sums (cpu): one FMA chain per element of grad_weight and one chain of additions per element of grad_bias,
/// m ascending; with Accumulate::kYes they start from the stored value.
void linear_backward_weight(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, Tensor& grad_weight, Tensor* grad_bias,
                            Accumulate accumulate);

}  // namespace r1::ops

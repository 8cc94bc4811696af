// What linear_backward_weight needs beside the matrix product.
#pragma once

#include "ops/types.h"

#if defined(R1_SIMT)
namespace r1::ops::simt_backend {
#else
namespace r1::ops::cuda {
#endif

/// grad_bias[n] (+)= sum over the rows of grad_out [M, N], in fixed order.
void bias_gradient(const ExecContext& ctx, const Tensor& grad_out, Tensor& grad_bias, Accumulate accumulate);
}

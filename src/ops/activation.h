// The gated activation of the MLP.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// out = silu(gate) * up, silu(g) = g / (1 + exp(-g)).
///
/// gate_up [num_tokens, 2 * intermediate_size] f32: gate columns, then up columns (the fused projection)
/// out     [num_tokens, intermediate_size]     f32
/// Runs on: reference, cpu, cuda.
void swiglu(const ExecContext& ctx, const Tensor& gate_up, Tensor& out);

/// grad_gate_up may alias gate_up.
void swiglu_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& gate_up, Tensor& grad_gate_up);

}  // namespace r1::ops

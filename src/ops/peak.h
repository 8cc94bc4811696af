// The arithmetic peak that throughput is compared with.
#pragma once

#include "tensor/exec_context.h"

namespace r1::ops {

/// Floating-point operations per second of independent fp32 FMA chains on all threads of the context and on the
/// instruction set of cpu_isa(), as measured here once per process (about 30 ms on the CPU backend). On CUDA those of a large matrix
/// product of two matrices of that dtype, f32 or bf16; the CPU computes in f32.
double peak_flops(const ExecContext& ctx, DType dtype = DType::kF32);

/// The same, measured now: best of a few short tries (about 4 ms).
double measure_peak_flops(const ExecContext& ctx, DType dtype = DType::kF32);

}  // namespace r1::ops

// Speed on the device: the ops beside its own copy and matrix product, then steps of a model of Qwen2.5-1.5B's shape.
#pragma once

#include "ops/dispatch.h"
#include "tools/gpu/programs.h"

namespace r1::gpu {

struct Ceilings {
  double copy_bytes_per_second = 0;  // read and written bytes together
  double matmul_flops = 0;           // bf16, 8192 x 8192 x 8192; 0 without cuBLASLt
};

/// quick: small sizes, for a try of the program.
Ceilings measure_ceilings(const ExecContext& device, bool quick, Report& report);
/// GB/s and TFLOP/s of each op of a training step with 4,096 tokens and of a decode step.
void measure_ops(const ExecContext& device, const Ceilings& ceilings, const std::vector<DType>& dtypes, bool quick, Report& report);
/// A training step (share of the matrix product's rate), decoding at batch 1, 32 and 256, a GRPO step; and the first two in PyTorch
/// where a python3 with torch and transformers is on the PATH.
void measure_programs(const Places& places, const Ceilings& ceilings, bool quick, Report& report);

}  // namespace r1::gpu

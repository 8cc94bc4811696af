// Speed on the device: the ops beside its own copy and matrix product, then steps of a model of Qwen2.5-1.5B's shape.
#pragma once

#include "ops/dispatch.h"
#include "tools/gpu/child.h"

namespace r1::gpu {

// Sections of the file; goals read them.
inline constexpr const char* kCeilingsSection = "ceilings of this device";
inline constexpr const char* kOpsSection = "ops of a training step and of a decode step";
inline constexpr const char* kStepsSection = "steps of a model with random weights";
inline constexpr const char* kPytorchSection = "the same steps in PyTorch";

struct Ceilings {
  double copy_bytes_per_second = 0;  // read and written bytes together: the faster of our kernel and of the driver's copy
  double matmul_flops = 0;           // bf16, 8192 x 8192 x 8192; 0 without cuBLASLt
};

/// In a child process, which goes on behind an item that ended the one before. quick: small sizes, for a try of the program.
/// The ceilings are items too; those of an earlier child are given.
void measure_on_device(const ExecContext& device, Ceilings ceilings, const std::vector<DType>& dtypes, bool quick, Report& report);
/// As far as the file has them.
Ceilings ceilings_of(const Json& report);

/// In processes of their own: training steps with full, selective and no recompute, decoding at batch 1, 32 and 256 in four modes, a GRPO
/// step.
void measure_programs(const Places& places, bool quick, Report& report);
/// Training and decoding in PyTorch and transformers, where a Python has them: $R1_PYTHON, or python3.
void measure_pytorch(const Places& places, bool quick, Report& report);

}  // namespace r1::gpu

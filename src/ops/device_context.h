// The context of a device chosen at run time.
#pragma once

#include <memory>
#include <string>

#include "tensor/exec_context.h"

namespace r1::ops {

/// For kCuda opens the module and the device and puts the module's ops behind Backend::kCuda. num_threads is of the host (tokenizing,
/// staging); 0 = all processors of this process. Throws Error(kUsage) when the device cannot be used.
std::unique_ptr<ExecContext> make_context(Device device, int num_threads);

/// Whether a token's values in passes without attention over others have the same bits in a batch of any size. The CPU's always have; on
/// CUDA it is a mode of the matrix products that costs speed (R1CudaModule::set_batch_invariant).
void set_batch_invariant(const ExecContext& ctx, bool on);

/// What was set last, on any device.
bool is_batch_invariant();

/// "NVIDIA H200 (CUDA device 0)", or "CPU, avx2, 4 threads".
std::string describe_device(const ExecContext& ctx);

}  // namespace r1::ops

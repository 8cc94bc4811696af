// The work of a child process: the parts of gpu_check that use the device themselves.
#pragma once

#include <string>
#include <vector>

#include "tools/gpu/machine.h"
#include "tools/gpu/options.h"

namespace r1::gpu {

inline constexpr const char* kParitySection = "parity with the CPU backend, and the same bits twice";

/// options.child: machine, parity or speed_ops. Tells its parent on standard output; the exit code is that of the process.
int run_child(const Options& options);

}  // namespace r1::gpu

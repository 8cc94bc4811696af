// The one place where a kernel is started: hides <<<>>>, so that the same host code runs on the emulation.
#pragma once

#include <cstddef>

#include "tensor/exec_context.h"

namespace r1::ops {

struct LaunchGrid {
  unsigned x = 1, y = 1, z = 1;
};

#if defined(R1_SIMT)

template <typename... Parameters, typename... Arguments>
void launch(const ExecContext&, const char* name, void (*kernel)(Parameters...), LaunchGrid grid, unsigned num_threads,
            std::size_t shared_bytes, Arguments... arguments) {
  simt::run_kernel(name, {{grid.x, grid.y, grid.z}, {num_threads, 1, 1}, shared_bytes},
                   [=] { kernel(static_cast<Parameters>(arguments)...); });  // by value: it may be kept and run later
}

/// Says that kernels may touch these bytes.
inline void note_device_range(const void* begin, std::size_t bytes) { simt::allow_global(begin, bytes); }

/// In stream order before the kernels that follow; `host` may change after the call.
inline void copy_to_device(const ExecContext&, void* device, const void* host, std::size_t bytes) { __builtin_memcpy(device, host, bytes); }

#else

}  // namespace r1::ops
#include <cuda_runtime.h>
namespace r1::ops {

/// The stream of the context's device. Defined by the CUDA module.
cudaStream_t stream_of(const ExecContext& ctx);
/// Whether launches are recorded, on a device (compute capability 9.0) that can bring a kernel to its processors while the one before still
/// runs: decode steps consist of some hundred kernels of a few microseconds. The kernel waits itself (device.cuh: begin_kernel).
/// R1_CUDA_EARLY_LAUNCH=0 turns it off.
bool launches_early(const ExecContext& ctx);
/// Throws Error(kInternal) with the kernel's name and CUDA's message unless the last launch was accepted.
void check_launch(const ExecContext& ctx, const char* name);
/// Through pinned memory of the module: `host` may change after the call.
void copy_to_device(const ExecContext& ctx, void* device, const void* host, std::size_t bytes);

#if defined(__CUDACC__)
template <typename... Parameters, typename... Arguments>
void launch(const ExecContext& ctx, const char* name, void (*kernel)(Parameters...), LaunchGrid grid, unsigned num_threads,
            std::size_t shared_bytes, Arguments... arguments) {
  // More than 48 KiB a block, the kernel's own variables included, have to be asked for.
  if (shared_bytes > (40U << 10)) {
    cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
  }
  if (launches_early(ctx)) {
    cudaFuncAttributes built{};
    // Code for earlier devices does not wait.
    if (cudaFuncGetAttributes(&built, reinterpret_cast<const void*>(kernel)) == cudaSuccess && built.ptxVersion >= 90) {
      cudaLaunchAttribute early{};
      early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      early.val.programmaticStreamSerializationAllowed = 1;
      cudaLaunchConfig_t config{};
      config.gridDim = dim3(grid.x, grid.y, grid.z);
      config.blockDim = dim3(num_threads);
      config.dynamicSmemBytes = shared_bytes;
      config.stream = stream_of(ctx);
      config.attrs = &early;
      config.numAttrs = 1;
      cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
      return check_launch(ctx, name);
    }
  }
  // clang-format off
  kernel<<<dim3(grid.x, grid.y, grid.z), num_threads, shared_bytes, stream_of(ctx)>>>(static_cast<Parameters>(arguments)...);
  // clang-format on
  check_launch(ctx, name);
}
#endif

inline void note_device_range(const void*, std::size_t) {}

#endif

}  // namespace r1::ops

// What the CUDA backend would take: for plans made where no GPU need be.
#pragma once

#include "ops/dispatch.h"

namespace r1::ops {

/// Every op takes the scratch memory that its implementation in ops/cuda takes, and computes nothing: for contexts on unbacked memory
/// (tensor/unbacked_memory.h). tests/plan holds it to the kernels' own host code on the emulation.
const OpTable& planned_cuda_table();

/// The table behind Backend::kCuda while this object lives; the one before comes back with its end. No op of a GPU may run meanwhile.
class PlannedCudaOps {
 public:
  PlannedCudaOps() : before_(set_cuda_table(&planned_cuda_table())) {}
  ~PlannedCudaOps() { set_cuda_table(before_); }
  PlannedCudaOps(const PlannedCudaOps&) = delete;
  PlannedCudaOps& operator=(const PlannedCudaOps&) = delete;

 private:
  const OpTable* before_;
};

}  // namespace r1::ops

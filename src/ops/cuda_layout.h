// What a program and libr1_cuda.so must have in common before ops may cross their border.
#pragma once

#include <cstdint>

#include "ops/dispatch.h"

namespace r1::ops {

/// A number made of the sizes of all types that an op takes or uses: differs when one side was built from other headers.
constexpr std::uint64_t cuda_layout() {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const std::uint64_t value :
       {sizeof(OpTable), sizeof(Tensor), alignof(Tensor), sizeof(Storage), sizeof(Shape), sizeof(DType), sizeof(ExecContext),
        sizeof(CachingAllocator), sizeof(ThreadPool), sizeof(AttentionHeads), sizeof(CrossEntropyGradients), sizeof(AdamWStep),
        sizeof(SamplingSettings), sizeof(Error), sizeof(std::string), sizeof(std::shared_ptr<Storage>), sizeof(std::mutex)}) {
    hash = (hash ^ value) * 0x100000001B3;
  }
  return hash;
}

}  // namespace r1::ops

#include "ops/cuda/attention_offsets.h"

#include "ops/cuda/attention_offsets_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

void attention_offsets(const ExecContext& ctx, const Tensor& cu_seqlens, std::span<const std::int64_t> token_strides, Tensor& offsets,
                       Tensor& lengths) {
  R1_ASSERT(token_strides.size() <= kMaxAttentionBuffers, "attention has at most nine buffers");
  TokenStrides strides{};
  strides.count = static_cast<int>(token_strides.size());
  for (std::size_t i = 0; i < token_strides.size(); ++i) strides.elements[i] = static_cast<int>(token_strides[i]);
  launch(ctx, "attention_offsets", attention_offsets_kernel, {blocks_for(cu_seqlens.dim(0), 256)}, 256, 0, device_pointer<int>(cu_seqlens),
         static_cast<int>(cu_seqlens.dim(0)) - 1, strides, device_pointer<int>(offsets), device_pointer<int>(lengths));
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

// What attention through cuDNN needs to know of a packed batch beside its tensors.
#pragma once

#include <span>

#include "ops/types.h"

#if defined(R1_SIMT)
namespace r1::ops::simt_backend {
#else
namespace r1::ops::cuda {
#endif

/// Without asking the device for a length: cu_seqlens [n + 1] i32 as in ops/attention.h, token_strides: elements from one token to the next
/// in up to 9 buffers. offsets [buffers, num_padded + 1] i32 gets where each sequence begins in each buffer, lengths [num_padded] i32 its
/// tokens; sequences n and later are empty. num_padded ≥ n.
void attention_offsets(const ExecContext& ctx, const Tensor& cu_seqlens, std::span<const std::int64_t> token_strides,
                       std::int64_t num_padded, Tensor& offsets, Tensor& lengths);
}

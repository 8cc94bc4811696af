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
/// in up to 9 buffers. offsets [buffers, n + 1] i32 gets where each sequence begins in each buffer and where the last one ends, lengths [n]
/// i32 its tokens.
void attention_offsets(const ExecContext& ctx, const Tensor& cu_seqlens, std::span<const std::int64_t> token_strides, Tensor& offsets,
                       Tensor& lengths);
}

// Paged attention in launches of a given number of tokens.
#pragma once

#include "ops/types.h"

#if defined(R1_SIMT)
namespace r1::ops::simt_backend {
#else
namespace r1::ops::cuda {
#endif

/// ops::paged_attention (ops/paged_attention.h), most_tokens at a time: what the splits of a launch leave for their merge is taken once.
/// The number changes no bit.
void paged_attention_in_launches(const ExecContext& ctx, const Tensor& q, const Tensor& key_cache, const Tensor& value_cache,
                                 const Tensor& cu_seqlens, const Tensor& context_lens, const Tensor& block_tables,
                                 const AttentionHeads& heads, Tensor& out, std::int64_t most_tokens);
}

// Causal self-attention over packed sequences, forward and backward, with grouped query heads.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// For each token t of the sequence s that holds it: out = softmax(scale * q_t · K) V over the tokens of s up to t.
///
/// q    [num_tokens, Hq * D]  f32, rows may have a stride (a view into the fused q, k, v projection)
/// k, v [num_tokens, Hkv * D] f32, rows may have a stride; query head h reads key/value head h / (Hq / Hkv)
/// cu_seqlens [num_sequences + 1] i32: first token of each sequence, ascending, last = num_tokens
/// out  [num_tokens, Hq * D]  f32
/// lse  [num_tokens, Hq]      f32, optional: log of the sum of exp(scores), saved for the backward pass
/// Order of sums (cpu): key blocks of 64 positions counted from the start of the sequence, one (max, sum, accumulator)
/// update per block; a score is one FMA chain over D; the accumulator takes the keys of a block in ascending order.
/// A row's result depends on its own sequence up to it alone: equal to paged_attention bit for bit.
/// Source: Dao et al. 2022, arXiv 2205.14135 (online softmax). Runs on: reference, cpu, cuda (cuDNN).
void attention(const ExecContext& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
               const AttentionHeads& heads, Tensor& out, Tensor* lse = nullptr);

/// Gradients of attention(); all overwrite. grad_q, grad_k, grad_v may have strided rows. Deterministic: each element of
/// grad_k, grad_v is summed over the query heads of its group and the queries in ascending order, whatever the threads.
void attention_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& out, const Tensor& lse, const Tensor& cu_seqlens, const AttentionHeads& heads, Tensor& grad_q,
                        Tensor& grad_k, Tensor& grad_v);

}  // namespace r1::ops

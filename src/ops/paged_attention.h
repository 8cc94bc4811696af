// Attention of the engine: keys and values live in blocks of a paged cache; prefill chunks and decode steps share a batch.
#pragma once

#include "ops/types.h"

namespace r1::ops {

// Layout of one layer's cache. A block holds block_size positions of one sequence; block_size is 16, 32 or 64, so that it
// divides the 64 positions of an attention step. Keys lie with the positions innermost: a score then needs no transposition.
//   key_cache   [num_blocks, Hkv, D, block_size]          f32
//   value_cache [num_blocks, Hkv, block_size, padded D]   f32, rows padded to a multiple of 16
// A slot is block * block_size + position within the block.

Shape key_cache_shape(std::int64_t num_blocks, const AttentionHeads& heads, int block_size);
Shape value_cache_shape(std::int64_t num_blocks, const AttentionHeads& heads, int block_size);

/// Puts the keys and values of each token into its slot.
///
/// k, v         [num_tokens, Hkv * D] f32, rows may have a stride
/// slot_mapping [num_tokens]          i32, -1 = the token is not stored
/// Throws Error(kShape), Error(kDType). Runs on: reference, cpu, cuda.
void write_kv_cache(const ExecContext& ctx, const Tensor& k, const Tensor& v, const Tensor& slot_mapping, const AttentionHeads& heads,
                    Tensor& key_cache, Tensor& value_cache);

/// Attends the last tokens of each sequence to all of its tokens in the cache, itself included (write_kv_cache comes first).
///
/// q            [num_tokens, Hq * D] f32, rows may have a stride; the sequences' new tokens one after another
/// cu_seqlens   [num_sequences + 1] i32: first new token of each sequence in q; a sequence may have none
/// context_lens [num_sequences]     i32: tokens of the sequence in the cache, the new ones included (they are its last)
/// block_tables [num_sequences, max_blocks] i32: block of positions [b * block_size, (b + 1) * block_size); -1 = unused
/// out          [num_tokens, Hq * D] f32
/// A row has the bits that attention() gives it in the whole sequence, whatever the chunks, the batch and the blocks.
/// Source: Kwon et al. 2023, arXiv 2309.06180. Runs on: reference, cpu, cuda.
void paged_attention(const ExecContext& ctx, const Tensor& q, const Tensor& key_cache, const Tensor& value_cache, const Tensor& cu_seqlens,
                     const Tensor& context_lens, const Tensor& block_tables, const AttentionHeads& heads, Tensor& out);

}  // namespace r1::ops

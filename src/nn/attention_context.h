// Where attention finds the keys of earlier tokens: inside the packed batch, or in a paged cache.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace r1::nn {

/// A batch's way into the paged cache of the engine; layouts and dtypes: ops/paged_attention.h.
struct PagedCache {
  struct Layer {
    Tensor keys, values;
  };
  std::vector<Layer> layers;  // one per decoder layer
  Tensor slot_mapping;        // [num_tokens] i32: where each token's key and value go
  Tensor context_lens;        // [num_sequences] i32, the batch's tokens included
  Tensor block_tables;        // [num_sequences, max_blocks] i32

  /// The last sequences of the batch when they begin in it, with all of their tokens so far: these attend to each other as in training,
  /// where every key is read once for many queries, instead of through the cache.
  struct Fresh {
    std::int64_t first_token = 0;  // of the batch; the sequences before it number cached_cu_seqlens - 1
    Tensor cu_seqlens;             // [num_fresh + 1] i32, from the first token on; undefined: there are none
    int longest_sequence = 0;      // tokens
    Tensor cached_cu_seqlens;      // [num_sequences - num_fresh + 1] i32
  };
  Fresh fresh;
};

/// Sequence borders of a batch whose tokens are packed into one axis. An argument of the forward pass, not a global.
struct AttentionContext {
  Tensor cu_seqlens;                        // [num_sequences + 1] i32 on the device: first token of each sequence, last = num_tokens
  std::shared_ptr<const PagedCache> cache;  // null in training: a sequence's tokens all stand in the batch
  int longest_sequence = 0;                 // tokens; 0: not known

  static AttentionContext varlen(Tensor cu_seqlens, int longest_sequence = 0) { return {std::move(cu_seqlens), nullptr, longest_sequence}; }
  /// Prefill chunks and decode steps: keys and values go into the cache first, then each token attends through its block table.
  static AttentionContext paged(Tensor cu_seqlens, std::shared_ptr<const PagedCache> cache) {
    return {std::move(cu_seqlens), std::move(cache), 0};
  }
};

}  // namespace r1::nn

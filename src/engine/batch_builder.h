// From scheduled chunks to the tensors of one forward pass.
#pragma once

#include <span>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/scheduler.h"

namespace r1::engine {

/// What a forward pass reads beside weights and cache, on the host; names and shapes: models::TokenBatch and nn::PagedCache.
struct BatchTables {
  std::vector<std::int32_t> input_ids, position_ids, slot_mapping;  // [num_tokens]
  std::vector<std::int32_t> cu_seqlens{0};                          // [num_chunks + 1]
  std::vector<std::int32_t> context_lens;                           // [num_chunks]
  std::vector<std::int32_t> block_tables;                           // [num_chunks, blocks_each], -1 behind a sequence's last block
  std::int64_t blocks_each = 0;
};

/// All chunks packed into one axis, in their order. blocks_each: at least as many columns of block_tables.
BatchTables batch_tables(std::span<const ScheduledChunk> chunks, int block_size, std::int64_t blocks_each = 0);

/// Whether sequences that begin in a batch attend within it (nn::PagedCache::Fresh) or through the cache.
enum class FreshAttention : std::uint8_t { kInBatch, kThroughCache };

/// num_positions: rows of the rotary table to reserve.
models::TokenBatch build_batch(const ExecContext& ctx, std::span<const ScheduledChunk> chunks, const KvCache& cache, int block_size,
                               std::int64_t num_positions, FreshAttention fresh);

}  // namespace r1::engine

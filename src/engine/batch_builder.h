// From scheduled chunks to the tensors of one forward pass.
#pragma once

#include <span>

#include "engine/kv_cache.h"
#include "engine/scheduler.h"

namespace r1::engine {

/// All chunks packed into one axis, in their order. num_positions: rows of the rotary table to reserve.
models::TokenBatch build_batch(const ExecContext& ctx, std::span<const ScheduledChunk> chunks, const KvCache& cache, int block_size,
                               std::int64_t num_positions);

}  // namespace r1::engine

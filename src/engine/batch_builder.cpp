#include "engine/batch_builder.h"

#include <algorithm>

#include "ops/copy.h"

namespace r1::engine {
namespace {

Tensor to_device_i32(const ExecContext& ctx, const std::vector<std::int32_t>& values) {
  return ops::to_device(ctx, Tensor::host_from<std::int32_t>(values, {static_cast<std::int64_t>(values.size())}, DType::kI32));
}

/// New sequences come last in a batch: the scheduler keeps the order of arrival.
nn::PagedCache::Fresh fresh_sequences(const ExecContext& ctx, std::span<const ScheduledChunk> chunks,
                                      const std::vector<std::int32_t>& cu_seqlens) {
  nn::PagedCache::Fresh fresh;
  std::size_t first = chunks.size();
  while (first > 0 && chunks[first - 1].sequence->num_computed == 0) --first;
  if (first == chunks.size()) return fresh;
  fresh.first_token = cu_seqlens[first];
  std::vector<std::int32_t> borders;
  for (std::size_t i = first; i < cu_seqlens.size(); ++i) borders.push_back(cu_seqlens[i] - cu_seqlens[first]);
  for (std::size_t i = first; i < chunks.size(); ++i)
    fresh.longest_sequence = std::max(fresh.longest_sequence, static_cast<int>(chunks[i].num_tokens));
  fresh.cu_seqlens = to_device_i32(ctx, borders);
  if (first > 0) {
    fresh.cached_cu_seqlens = to_device_i32(ctx, {cu_seqlens.begin(), cu_seqlens.begin() + static_cast<std::ptrdiff_t>(first) + 1});
  }
  return fresh;
}

}  // namespace

BatchTables batch_tables(std::span<const ScheduledChunk> chunks, int block_size, std::int64_t blocks_each) {
  BatchTables tables;
  tables.blocks_each = blocks_each;
  for (const ScheduledChunk& chunk : chunks) {
    const Sequence& sequence = *chunk.sequence;
    const std::int64_t end = sequence.num_computed + chunk.num_tokens;
    for (std::int64_t position = sequence.num_computed; position < end; ++position) {
      tables.input_ids.push_back(sequence.tokens[static_cast<std::size_t>(position)]);
      tables.position_ids.push_back(static_cast<std::int32_t>(position));
      const BlockId block = sequence.blocks[static_cast<std::size_t>(position / block_size)];
      tables.slot_mapping.push_back(static_cast<std::int32_t>(block * block_size + position % block_size));
    }
    tables.cu_seqlens.push_back(static_cast<std::int32_t>(tables.input_ids.size()));
    tables.context_lens.push_back(static_cast<std::int32_t>(end));
    tables.blocks_each = std::max(tables.blocks_each, static_cast<std::int64_t>(sequence.blocks.size()));
  }
  const auto columns = static_cast<std::size_t>(tables.blocks_each);
  tables.block_tables.assign(chunks.size() * columns, -1);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    std::ranges::copy(chunks[i].sequence->blocks, tables.block_tables.begin() + static_cast<std::ptrdiff_t>(i * columns));
  }
  return tables;
}

models::TokenBatch build_batch(const ExecContext& ctx, std::span<const ScheduledChunk> chunks, const KvCache& cache, int block_size,
                               std::int64_t num_positions, FreshAttention fresh) {
  const BatchTables tables = batch_tables(chunks, block_size);
  auto paged = std::make_shared<nn::PagedCache>();
  paged->layers = cache.layers();
  paged->slot_mapping = to_device_i32(ctx, tables.slot_mapping);
  paged->context_lens = to_device_i32(ctx, tables.context_lens);
  paged->block_tables = to_device_i32(ctx, tables.block_tables).view({static_cast<std::int64_t>(chunks.size()), tables.blocks_each});
  if (fresh == FreshAttention::kInBatch) paged->fresh = fresh_sequences(ctx, chunks, tables.cu_seqlens);
  return {to_device_i32(ctx, tables.input_ids), to_device_i32(ctx, tables.position_ids),
          nn::AttentionContext::paged(to_device_i32(ctx, tables.cu_seqlens), std::move(paged)), num_positions};
}

}  // namespace r1::engine

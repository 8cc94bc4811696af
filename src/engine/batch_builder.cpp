#include "engine/batch_builder.h"

#include <algorithm>

#include "ops/copy.h"

namespace r1::engine {
namespace {

Tensor to_device_i32(const ExecContext& ctx, const std::vector<std::int32_t>& values) {
  return ops::to_device(ctx, Tensor::host_from<std::int32_t>(values, {static_cast<std::int64_t>(values.size())}, DType::kI32));
}

}  // namespace

models::TokenBatch build_batch(const ExecContext& ctx, std::span<const ScheduledChunk> chunks, const KvCache& cache, int block_size,
                               std::int64_t num_positions) {
  std::vector<std::int32_t> input_ids, position_ids, slot_mapping, cu_seqlens{0}, context_lens;
  std::size_t max_blocks = 0;
  for (const ScheduledChunk& chunk : chunks) {
    const Sequence& sequence = *chunk.sequence;
    const std::int64_t end = sequence.num_computed + chunk.num_tokens;
    for (std::int64_t position = sequence.num_computed; position < end; ++position) {
      input_ids.push_back(sequence.tokens[static_cast<std::size_t>(position)]);
      position_ids.push_back(static_cast<std::int32_t>(position));
      const BlockId block = sequence.blocks[static_cast<std::size_t>(position / block_size)];
      slot_mapping.push_back(static_cast<std::int32_t>(block * block_size + position % block_size));
    }
    cu_seqlens.push_back(static_cast<std::int32_t>(input_ids.size()));
    context_lens.push_back(static_cast<std::int32_t>(end));
    max_blocks = std::max(max_blocks, sequence.blocks.size());
  }
  std::vector<std::int32_t> tables(chunks.size() * max_blocks, -1);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    std::ranges::copy(chunks[i].sequence->blocks, tables.begin() + static_cast<std::ptrdiff_t>(i * max_blocks));
  }

  auto paged = std::make_shared<nn::PagedCache>();
  paged->layers = cache.layers();
  paged->slot_mapping = to_device_i32(ctx, slot_mapping);
  paged->context_lens = to_device_i32(ctx, context_lens);
  paged->block_tables = to_device_i32(ctx, tables).view({static_cast<std::int64_t>(chunks.size()), static_cast<std::int64_t>(max_blocks)});
  return {to_device_i32(ctx, input_ids), to_device_i32(ctx, position_ids),
          nn::AttentionContext::paged(to_device_i32(ctx, cu_seqlens), std::move(paged)), num_positions};
}

}  // namespace r1::engine

// T tokens, Hq query heads, Hkv key/value heads, D head_dim, Dp = D rounded up to 16
#include "ops/attention.h"

#include "ops/cpu/attention_tasks.h"
#include "ops/cpu/kernels.h"

#include "ops/cpu/attention_rows.h"
#include "ops/cpu/block_copy.h"

namespace r1::ops::R1_CPU_NAMESPACE {
void attention(const ExecContext& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
               const AttentionHeads& heads, Tensor& out, Tensor* lse) {
  const std::int64_t D = heads.head_dim;
  const std::int64_t Dp = padded_head_dim(D);
  const int group = heads.num_attention_heads / heads.num_key_value_heads;
  const auto blocks = sequence_blocks(raw<std::int32_t>(cu_seqlens), cu_seqlens.dim(0) - 1);
  const auto num_blocks = static_cast<std::int64_t>(blocks.size());
  if (num_blocks == 0) return;

  // Keys and values of each (key/value head, block), used by all queries at and behind it.
  const std::int64_t block_size = kKeyBlock * (D + Dp);
  Tensor packed = ctx.empty({heads.num_key_value_heads * num_blocks * block_size});
  ctx.threads().parallel_for(heads.num_key_value_heads * num_blocks, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const SequenceBlock& block = blocks[static_cast<std::size_t>(i % num_blocks)];
      const std::int64_t column = i / num_blocks * D;
      float* keys = raw<float>(packed) + i * block_size;
      transpose_block(row(k, block.first_token) + column, k.row_stride(), block.num_tokens, D, keys, kKeyBlock, kKeyBlock);
      copy_block(row(v, block.first_token) + column, v.row_stride(), block.num_tokens, D, keys + kKeyBlock * D, Dp, kKeyBlock);
    }
  });

  // A task is one block of queries of one group of heads; its cost is the number of key blocks that it sees.
  const TaskSplit tasks(heads.num_key_value_heads * num_blocks, ctx.threads().num_threads(),
                        [&](std::int64_t i) { return blocks[static_cast<std::size_t>(i % num_blocks)].index_in_sequence + 1; });
  const std::int64_t scratch_size = attend_scratch(kKeyBlock, group, D);
  Tensor scratch = ctx.empty({ctx.threads().num_threads() * scratch_size});
  ctx.threads().run_on_all([&](std::int64_t thread, std::int64_t, int) {
    for (std::int64_t i = tasks.begin(thread); i < tasks.end(thread); ++i) {
      const SequenceBlock& block = blocks[static_cast<std::size_t>(i % num_blocks)];
      const std::int64_t kv_head = i / num_blocks;
      const float* sequence = raw<float>(packed) + (i - block.index_in_sequence) * block_size;
      const auto block_at = [&](std::int64_t b) {
        const float* keys = sequence + b * block_size;
        const float* values = keys + kKeyBlock * D;
        KeyBlock result;
        result.key_step = kKeyBlock;
        for (int c = 0; c < kKeyVectors; ++c) {
          result.keys[c] = keys + c * kLanes;
          result.values[c] = values + c * kLanes * Dp;
        }
        return result;
      };
      const std::int64_t head = kv_head * group;
      attend_tokens(row(q, block.first_token) + head * D, q.row_stride(), block.num_tokens, group, block.index_in_sequence * kKeyBlock, D,
                    heads.scale, block_at, raw<float>(scratch) + thread * scratch_size, row(out, block.first_token) + head * D,
                    out.row_stride(), lse != nullptr ? row(*lse, block.first_token) + head : nullptr, heads.num_attention_heads);
    }
  });
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

// Hq query heads, Hkv key/value heads, D head_dim, Dp = D rounded up to 16. Limited by the reading of the cache in decode
// (each key and value is read once for all query heads of its group), by arithmetic in prefill.
#include "ops/paged_attention.h"

#include "ops/cpu/attention_tasks.h"
#include "ops/cpu/kernels.h"

#include "ops/cpu/attention_rows.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

/// Up to 64 consecutive new tokens of one sequence.
struct Chunk {
  std::int64_t sequence, first_token, num_tokens, first_position;
};

std::vector<Chunk> chunks_of(const std::int32_t* cu_seqlens, const std::int32_t* context_lens, std::int64_t num_sequences) {
  std::vector<Chunk> chunks;
  for (std::int64_t s = 0; s < num_sequences; ++s) {
    const std::int64_t before = context_lens[s] - (cu_seqlens[s + 1] - cu_seqlens[s]);
    for (std::int64_t first = cu_seqlens[s]; first < cu_seqlens[s + 1]; first += kKeyBlock) {
      const std::int64_t count = std::min<std::int64_t>(kKeyBlock, cu_seqlens[s + 1] - first);
      chunks.push_back({s, first, count, before + first - cu_seqlens[s]});
    }
  }
  return chunks;
}

}  // namespace

void write_kv_cache(const ExecContext& ctx, const Tensor& k, const Tensor& v, const Tensor& slot_mapping, const AttentionHeads& heads,
                    Tensor& key_cache, Tensor& value_cache) {
  const std::int64_t D = heads.head_dim, Dp = value_cache.dim(3), Hkv = heads.num_key_value_heads, block_size = key_cache.dim(3);
  const std::int64_t num_slots = key_cache.dim(0) * block_size;
  const auto* slots = raw<std::int32_t>(slot_mapping);
  ctx.threads().parallel_for(
      k.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
          if (slots[t] < 0) continue;
          R1_ASSERT(slots[t] < num_slots, "a slot outside of the cache");
          const std::int64_t position = slots[t] % block_size;
          for (std::int64_t head = 0; head < Hkv; ++head) {
            const std::int64_t block = slots[t] / block_size * Hkv + head;
            const float* key = row(k, t) + head * D;
            const float* value = row(v, t) + head * D;
            float* keys = raw<float>(key_cache) + block * D * block_size + position;
            float* values = raw<float>(value_cache) + (block * block_size + position) * Dp;
            for (std::int64_t d = 0; d < D; ++d) keys[d * block_size] = key[d];
            for (std::int64_t d = 0; d < D; d += kLanes) store(values + d, load_first(value + d, D - d, zero()));
          }
        }
      },
      rows_worth_a_thread(2 * Hkv * D));
}

void paged_attention(const ExecContext& ctx, const Tensor& q, const Tensor& key_cache, const Tensor& value_cache, const Tensor& cu_seqlens,
                     const Tensor& context_lens, const Tensor& block_tables, const AttentionHeads& heads, Tensor& out) {
  const std::int64_t D = heads.head_dim, Dp = value_cache.dim(3), Hkv = heads.num_key_value_heads, block_size = key_cache.dim(3);
  const int group = heads.num_attention_heads / heads.num_key_value_heads;
  const auto* contexts = raw<std::int32_t>(context_lens);
  const auto chunks = chunks_of(raw<std::int32_t>(cu_seqlens), contexts, context_lens.dim(0));
  const auto num_chunks = static_cast<std::int64_t>(chunks.size());
  if (num_chunks == 0) return;

  // A task is one chunk and key/value head. The constant stands for the reading of the block, whoever uses it.
  const TaskSplit tasks(num_chunks * Hkv, ctx.threads().num_threads(), [&](std::int64_t i) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(i / Hkv)];
    return ((chunk.first_position + chunk.num_tokens) / kKeyBlock + 1) * (chunk.num_tokens * group + 4);
  });
  const std::int64_t scratch_size = attend_scratch(kKeyBlock, group, D);
  Tensor scratch = ctx.empty({ctx.threads().num_threads() * scratch_size});
  ctx.threads().run_on_all([&](std::int64_t thread, std::int64_t, int) {
    for (std::int64_t i = tasks.begin(thread); i < tasks.end(thread); ++i) {
      const Chunk& chunk = chunks[static_cast<std::size_t>(i / Hkv)];
      const std::int64_t kv_head = i % Hkv;
      const std::int32_t* table = raw<std::int32_t>(block_tables) + chunk.sequence * block_tables.row_stride();
      const auto block_at = [&](std::int64_t b) {
        KeyBlock result;
        result.key_step = block_size;
        for (int c = 0; c < kKeyVectors; ++c) {
          const std::int64_t position = b * kKeyBlock + c * kLanes;
          result.keys[c] = nullptr;  // nobody looks behind the last position
          result.values[c] = nullptr;
          if (position >= contexts[chunk.sequence]) continue;
          const std::int64_t block = table[position / block_size] * Hkv + kv_head;
          result.keys[c] = raw<float>(key_cache) + block * D * block_size + position % block_size;
          result.values[c] = raw<float>(value_cache) + (block * block_size + position % block_size) * Dp;
        }
        return result;
      };
      const std::int64_t column = kv_head * group * D;
      attend_tokens(row(q, chunk.first_token) + column, q.row_stride(), chunk.num_tokens, group, chunk.first_position, D, heads.scale,
                    block_at, raw<float>(scratch) + thread * scratch_size, row(out, chunk.first_token) + column, out.row_stride(), nullptr,
                    0);
    }
  });
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

#include "ops/paged_attention.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {
namespace {

std::int64_t padded_head_dim(const AttentionHeads& heads) { return (std::int64_t{heads.head_dim} + 15) / 16 * 16; }

void check_caches(const ExecContext& ctx, const char* op, const AttentionHeads& heads, const Tensor& key_cache, const Tensor& value_cache) {
  require_attention_heads(op, heads);
  require_activation(ctx, op, "key_cache", key_cache);
  require_rank(op, "key_cache", key_cache, 4);
  require_contiguous(op, "key_cache", key_cache);
  require_contiguous(op, "value_cache", value_cache);
  const auto block_size = static_cast<int>(key_cache.dim(3));
  if (block_size != 16 && block_size != 32 && block_size != 64) {
    fail(ErrorKind::kShape, "{}: the block size must be 16, 32 or 64 so that it divides the 64 positions of an attention step, found {}",
         op, block_size);
  }
  require_shape(op, "key_cache", key_cache, key_cache_shape(key_cache.dim(0), heads, block_size));
  require_float_like(op, "value_cache", value_cache, key_cache);
  require_shape(op, "value_cache", value_cache, value_cache_shape(key_cache.dim(0), heads, block_size));
}

}  // namespace

Shape key_cache_shape(std::int64_t num_blocks, const AttentionHeads& heads, int block_size) {
  return {num_blocks, heads.num_key_value_heads, heads.head_dim, block_size};
}

Shape value_cache_shape(std::int64_t num_blocks, const AttentionHeads& heads, int block_size) {
  return {num_blocks, heads.num_key_value_heads, block_size, padded_head_dim(heads)};
}

void write_kv_cache(const ExecContext& ctx, const Tensor& k, const Tensor& v, const Tensor& slot_mapping, const AttentionHeads& heads,
                    Tensor& key_cache, Tensor& value_cache) {
  const char* op = "write_kv_cache";
  check_caches(ctx, op, heads, key_cache, value_cache);
  require_dtype(op, "slot_mapping", slot_mapping, DType::kI32);
  require_rank(op, "slot_mapping", slot_mapping, 1);
  const Shape expected{slot_mapping.dim(0), std::int64_t{heads.num_key_value_heads} * heads.head_dim};
  for (const auto& [name, tensor] : {std::pair{"k", &k}, std::pair{"v", &v}}) {
    require_float_like(op, name, *tensor, key_cache);
    require_shape(op, name, *tensor, expected);
  }
  OpScope scope(ctx, op);
  op_table(ctx).write_kv_cache(ctx, k, v, slot_mapping, heads, key_cache, value_cache);
}

void paged_attention(const ExecContext& ctx, const Tensor& q, const Tensor& key_cache, const Tensor& value_cache, const Tensor& cu_seqlens,
                     const Tensor& context_lens, const Tensor& block_tables, const AttentionHeads& heads, Tensor& out) {
  const char* op = "paged_attention";
  check_caches(ctx, op, heads, key_cache, value_cache);
  require_float_like(op, "q", q, key_cache);
  require_rank(op, "q", q, 2);
  require_shape(op, "q", q, Shape{q.dim(0), std::int64_t{heads.num_attention_heads} * heads.head_dim});
  require_float_like(op, "out", out, q);
  require_shape(op, "out", out, q.shape());
  require_dtype(op, "context_lens", context_lens, DType::kI32);
  require_rank(op, "context_lens", context_lens, 1);
  require_dtype(op, "cu_seqlens", cu_seqlens, DType::kI32);
  require_shape(op, "cu_seqlens", cu_seqlens, Shape{context_lens.dim(0) + 1});
  require_dtype(op, "block_tables", block_tables, DType::kI32);
  require_rank(op, "block_tables", block_tables, 2);
  require_shape(op, "block_tables", block_tables, Shape{context_lens.dim(0), block_tables.dim(1)});
  OpScope scope(ctx, op);
  op_table(ctx).paged_attention(ctx, q, key_cache, value_cache, cu_seqlens, context_lens, block_tables, heads, out);
}

}  // namespace r1::ops

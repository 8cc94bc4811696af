#include "ops/paged_attention.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/paged_attention_kernels.cuh"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

/// Positions of a split: eight steps. With one sequence of 32,768 tokens 64 splits keep the device busy.
constexpr int kPositionsPerSplit = 512;
constexpr int kLargestHeadDim = 256;

}  // namespace

void write_kv_cache(const ExecContext& ctx, const Tensor& k, const Tensor& v, const Tensor& slot_mapping, const AttentionHeads& heads,
                    Tensor& key_cache, Tensor& value_cache) {
  if (k.dim(0) == 0) return;
  with_storage("write_kv_cache", k, [&]<typename T>(T) {
    const Rows<T> keys(k), values(v);
    const auto padded_dim = static_cast<int>(value_cache.dim(3)), block_size = static_cast<int>(key_cache.dim(3));
    with_width<T>(values.is_vectorisable() && heads.head_dim % kVectorWidth<T> == 0, [&](auto width) {
      launch(ctx, "write_kv_cache", write_kv_cache_kernel<T, width>, {static_cast<unsigned>(keys.count)}, 128, 0, keys.data, keys.stride,
             values.data, values.stride, device_pointer<int>(slot_mapping), heads.num_key_value_heads, heads.head_dim, padded_dim,
             block_size, device_pointer<T>(key_cache), device_pointer<T>(value_cache));
    });
  });
}

void paged_attention(const ExecContext& ctx, const Tensor& q, const Tensor& key_cache, const Tensor& value_cache, const Tensor& cu_seqlens,
                     const Tensor& context_lens, const Tensor& block_tables, const AttentionHeads& heads, Tensor& out) {
  const char* op = "paged_attention";
  if (heads.head_dim > kLargestHeadDim)
    fail(ErrorKind::kShape, "{}: head_dim is at most {} on CUDA, found {}", op, kLargestHeadDim, heads.head_dim);
  const std::int64_t num_tokens = q.dim(0);
  if (num_tokens == 0) return;
  PagedAttentionShape shape{};
  shape.num_sequences = static_cast<int>(context_lens.dim(0));
  shape.num_kv_heads = heads.num_key_value_heads;
  shape.group = heads.num_attention_heads / heads.num_key_value_heads;
  shape.head_dim = heads.head_dim;
  shape.padded_dim = static_cast<int>(value_cache.dim(3));
  shape.block_size = static_cast<int>(key_cache.dim(3));
  shape.positions_per_split = kPositionsPerSplit;
  // The longest context that the tables can hold: the lengths themselves are on the device.
  shape.num_splits =
      static_cast<int>(std::max<std::int64_t>(1, (block_tables.dim(1) * shape.block_size + kPositionsPerSplit - 1) / kPositionsPerSplit));
  shape.table_stride = block_tables.row_stride();
  shape.scale = heads.scale;
  const bool is_split = shape.num_splits > 1;
  const Tensor partial_out = is_split ? ctx.empty({num_tokens, heads.num_attention_heads, shape.num_splits, heads.head_dim}) : Tensor();
  const Tensor partial_stats = is_split ? ctx.empty({num_tokens, heads.num_attention_heads, shape.num_splits, 2}) : Tensor();
  with_storage(op, q, [&]<typename T>(T) {
    const Rows<T> queries(q), result(out);
    const auto run = [&](auto tile) {
      constexpr int kHeads = tile;
      int lanes_per_row = 1;
      while (lanes_per_row < shape.padded_dim / kVectorWidth<T>) lanes_per_row *= 2;
      const int slots = kAttentionThreads / std::max(lanes_per_row, kWarp);
      const auto shared_floats = static_cast<std::size_t>(std::max(kHeads * shape.head_dim, slots * kHeads * shape.padded_dim));
      const auto tiles = static_cast<unsigned>((shape.group + kHeads - 1) / kHeads);
      launch(
          ctx, op, paged_attention_kernel<T, kHeads>,
          {static_cast<unsigned>(num_tokens), static_cast<unsigned>(shape.num_kv_heads) * tiles, static_cast<unsigned>(shape.num_splits)},
          kAttentionThreads, shared_floats * sizeof(float), queries.data, queries.stride, device_pointer<T>(key_cache),
          device_pointer<T>(value_cache), device_pointer<int>(cu_seqlens), device_pointer<int>(context_lens),
          device_pointer<int>(block_tables), shape, result.data, result.stride, is_split ? device_pointer<float>(partial_out) : nullptr,
          is_split ? device_pointer<float>(partial_stats) : nullptr);
    };
    if (shape.group == 1) {
      run(std::integral_constant<int, 1>{});
    } else if (shape.group == 2) {
      run(std::integral_constant<int, 2>{});
    } else if (shape.group <= 4) {
      run(std::integral_constant<int, 4>{});
    } else {
      run(std::integral_constant<int, 8>{});
    }
    if (!is_split) return;
    // A head begins at a multiple of 16 bytes when the row does and head_dim is a multiple of the width.
    with_width<T>(result.is_vectorisable() && shape.head_dim % kVectorWidth<T> == 0, [&](auto width) {
      launch(ctx, op, merge_splits_kernel<T, width>, {static_cast<unsigned>(num_tokens), static_cast<unsigned>(heads.num_attention_heads)},
             threads_for(shape.head_dim / width, 128), 0, device_pointer<float>(partial_out), device_pointer<float>(partial_stats),
             shape.num_splits, shape.head_dim, result.data, result.stride);
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

#include "ops/paged_attention.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/paged_attention_kernels.cuh"
#include "ops/cuda/paged_launches.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

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
  const int num_splits = most_splits(static_cast<int>(block_tables.dim(1) * key_cache.dim(3)));
  paged_attention_in_launches(ctx, q, key_cache, value_cache, cu_seqlens, context_lens, block_tables, heads, out,
                              tokens_per_launch(heads.num_attention_heads, num_splits, heads.head_dim));
}

void paged_attention_in_launches(const ExecContext& ctx, const Tensor& q, const Tensor& key_cache, const Tensor& value_cache,
                                 const Tensor& cu_seqlens, const Tensor& context_lens, const Tensor& block_tables,
                                 const AttentionHeads& heads, Tensor& out, std::int64_t most_tokens) {
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
  // The longest context that the tables can hold: the lengths themselves are on the device.
  shape.num_splits = most_splits(static_cast<int>(block_tables.dim(1)) * shape.block_size);
  shape.table_stride = block_tables.row_stride();
  shape.scale = heads.scale;
  const bool is_split = shape.num_splits > 1;
  most_tokens = is_split ? std::min(most_tokens, num_tokens) : num_tokens;
  const Tensor partial_out = is_split ? ctx.empty({most_tokens, heads.num_attention_heads, shape.num_splits, heads.head_dim}) : Tensor();
  const Tensor partial_stats = is_split ? ctx.empty({most_tokens, heads.num_attention_heads, shape.num_splits, 2}) : Tensor();
  for (std::int64_t first = 0; first < num_tokens; first += most_tokens) {
    shape.first_token = first;
    const auto launched = static_cast<unsigned>(std::min(most_tokens, num_tokens - first));
    with_storage(op, q, [&]<typename T>(T) {
      const Rows<T> queries(q), result(out);
      const auto run = [&](auto tile) {
        constexpr int kHeads = tile;
        int lanes_per_row = 1;
        while (lanes_per_row < shape.padded_dim / kVectorWidth<T>) lanes_per_row *= 2;
        const int slots = kAttentionThreads / std::max(lanes_per_row, kWarp);
        const auto shared_floats = static_cast<std::size_t>(std::max(kHeads * shape.head_dim, slots * kHeads * shape.padded_dim));
        const auto tiles = static_cast<unsigned>((shape.group + kHeads - 1) / kHeads);
        launch(ctx, op, paged_attention_kernel<T, kHeads>,
               {launched, static_cast<unsigned>(shape.num_kv_heads) * tiles, static_cast<unsigned>(shape.num_splits)}, kAttentionThreads,
               shared_floats * sizeof(float), queries.data, queries.stride, device_pointer<T>(key_cache), device_pointer<T>(value_cache),
               device_pointer<int>(cu_seqlens), device_pointer<int>(context_lens), device_pointer<int>(block_tables), shape, result.data,
               result.stride, is_split ? device_pointer<float>(partial_out) : nullptr,
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
        launch(ctx, op, merge_splits_kernel<T, width>, {launched, static_cast<unsigned>(heads.num_attention_heads)},
               threads_for(shape.head_dim / width, 128), 0, device_pointer<float>(partial_out), device_pointer<float>(partial_stats),
               shape.num_splits, shape.head_dim, result.data + first * result.stride, result.stride);
      });
    });
  }
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

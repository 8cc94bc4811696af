// Attention of training (ops/attention.h), forward and backward, without a score matrix in memory. T tokens of packed sequences, Hq query
// heads, Hkv key/value heads, G = Hq / Hkv, D head_dim up to 256.
//
// Tiles are counted from the start of each sequence, so that a row does not depend on what it is packed with. A lane owns a key (or a
// query) while scores are made, and elements lane, lane + 32, … of D while rows are added up; sums run in ascending order of keys and
// queries, without atomics: results are the same in every run. Arithmetic is f32 on the ordinary units, not the tensor cores: bound by
// arithmetic and by shared memory.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

constexpr int kTrainingAttentionThreads = 128;
// Of an SM, by shared memory at D = 128: tells the compiler that it need not save registers below 128.
constexpr int kTrainingAttentionBlocks = 4;
constexpr int kTrainingAttentionWarps = kTrainingAttentionThreads / kWarp;
constexpr int kRowsPerWarp = 4;
constexpr int kTileRows = kTrainingAttentionWarps * kRowsPerWarp;  // of a block: queries, or keys in the second backward kernel

struct AttentionShape {
  int num_sequences, num_heads, num_kv_heads, head_dim;
  float scale;
  index_t q_stride, k_stride, v_stride, out_stride, grad_out_stride, grad_q_stride, grad_k_stride, grad_v_stride;
};

/// Rows of a block within its sequence.
struct Tile {
  index_t sequence_begin = 0;  // first token of the sequence
  int length = 0;              // of the sequence
  int first = 0;               // first row of the tile, counted from sequence_begin
};

/// The sequences' tiles one after another; false behind the last. The same for all threads of a block.
__device__ __forceinline__ bool find_tile(int number, const int* cu_seqlens, int num_sequences, Tile* tile) {
  for (int s = 0; s < num_sequences; ++s) {
    const int begin = load(cu_seqlens + s), length = load(cu_seqlens + s + 1) - begin;
    const int num_tiles = (length + kTileRows - 1) / kTileRows;
    if (number < num_tiles) {
      tile->sequence_begin = begin;
      tile->length = length;
      tile->first = number * kTileRows;
      return true;
    }
    number -= num_tiles;
  }
  return false;
}

/// num_rows rows of D elements into shared memory, `pitch` floats apart; rows behind num_valid become 0. 16 bytes at a time when every
/// row begins at a multiple of them and consists of whole pieces.
template <typename T>
__device__ __forceinline__ void load_rows(const T* from, index_t stride, int num_rows, int num_valid, int head_dim, SharedPointer<float> to,
                                          int pitch) {
  constexpr int kWidth = kVectorWidth<T>;
  if (reinterpret_cast<unsigned long long>(from) % 16 == 0 && stride % kWidth == 0 && head_dim % kWidth == 0) {
#pragma unroll 1
    for (int i = threadIdx.x * kWidth; i < num_rows * head_dim; i += kTrainingAttentionThreads * kWidth) {
      const int row = i / head_dim, d = i % head_dim;
      Floats<kWidth> values;
#pragma unroll
      for (int k = 0; k < kWidth; ++k) values.v[k] = 0.0f;
      if (row < num_valid) values = load_floats<kWidth>(from + row * stride + d);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) to[row * pitch + d + k] = values.v[k];
    }
    return;
  }
#pragma unroll 1
  for (int i = threadIdx.x; i < num_rows * head_dim; i += kTrainingAttentionThreads) {
    const int row = i / head_dim, d = i % head_dim;
    to[row * pitch + d] = row < num_valid ? to_float(load(from + row * stride + d)) : 0.0f;
  }
}

/// dots[r] = row r of the warp (in rows, D apart) · the lane's row of `columns` (D + 1 apart: no two lanes meet in a bank).
__device__ __forceinline__ void dot_rows(SharedPointer<float> rows, SharedPointer<float> columns, int head_dim,
                                         float (&dots)[kRowsPerWarp]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) dots[r] = 0.0f;
  for (int d = 0; d < head_dim; ++d) {
    const float column = columns[lane * (head_dim + 1) + d];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) dots[r] = __fmaf_rn(rows[(warp * kRowsPerWarp + r) * head_dim + d], column, dots[r]);
  }
}

/// totals[r] += sum over the lanes' factors * their rows (in columns, D + 1 apart), ascending.
template <int kPieces>
__device__ __forceinline__ void add_weighted_rows(const float (&factors)[kRowsPerWarp], SharedPointer<float> columns, int head_dim,
                                                  float (&totals)[kRowsPerWarp][kPieces]) {
  const int lane = threadIdx.x % kWarp;
  for (int c = 0; c < kWarp; ++c) {
    float values[kPieces];
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      const int d = lane + j * kWarp;
      values[j] = d < head_dim ? static_cast<float>(columns[c * (head_dim + 1) + d]) : 0.0f;
    }
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const float factor = __shfl_sync(kFullWarp, factors[r], c);
#pragma unroll
      for (int j = 0; j < kPieces; ++j) totals[r][j] = __fmaf_rn(factor, values[j], totals[r][j]);
    }
  }
}

template <int kPieces, typename T>
__device__ __forceinline__ void store_row(T* to, const float (&values)[kPieces], float factor, int head_dim) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int j = 0; j < kPieces; ++j) {
    const int d = lane + j * kWarp;
    if (d >= head_dim) continue;
    T result;
    from_float(values[j] * factor, result);
    store(to + d, result);
  }
}

/// Grid (tiles, Hq). Shared floats: 16 D + 2 * 32 (D + 1). kPieces * 32 >= D.
template <typename T, int kPieces>
__global__ void __launch_bounds__(kTrainingAttentionThreads, kTrainingAttentionBlocks)
    attention_kernel(const T* q, const T* k, const T* v, const int* cu_seqlens, AttentionShape shape, T* out, float* lse) {
  begin_kernel();
  R1_DYNAMIC_SHARED(float, shared);
  const int head = blockIdx.y, kv_head = head / (shape.num_heads / shape.num_kv_heads), D = shape.head_dim;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Tile tile;
  if (!find_tile(blockIdx.x, cu_seqlens, shape.num_sequences, &tile)) return;
  const SharedPointer<float> queries = shared, keys = queries + kTileRows * D, values = keys + kWarp * (D + 1);
  const index_t first_token = tile.sequence_begin + tile.first;
  const int num_rows = tile.length - tile.first < kTileRows ? tile.length - tile.first : kTileRows;
  load_rows(q + first_token * shape.q_stride + head * D, shape.q_stride, kTileRows, num_rows, D, queries, D);

  float totals[kRowsPerWarp][kPieces], maxima[kRowsPerWarp], sums[kRowsPerWarp];
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    maxima[r] = -INFINITY;
    sums[r] = 0.0f;
#pragma unroll
    for (int j = 0; j < kPieces; ++j) totals[r][j] = 0.0f;
  }
  const int end = tile.first + num_rows;  // keys behind the last query are not seen
  for (int first_key = 0; first_key < end; first_key += kWarp) {
    const int num_keys = end - first_key < kWarp ? end - first_key : kWarp;
    const index_t token = tile.sequence_begin + first_key;
    __syncthreads();  // the last step's keys and values have been read
    load_rows(k + token * shape.k_stride + kv_head * D, shape.k_stride, kWarp, num_keys, D, keys, D + 1);
    load_rows(v + token * shape.v_stride + kv_head * D, shape.v_stride, kWarp, num_keys, D, values, D + 1);
    __syncthreads();
    float factors[kRowsPerWarp];
    dot_rows(queries, keys, D, factors);
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const bool is_seen = first_key + lane <= tile.first + warp * kRowsPerWarp + r;
      const float score = is_seen ? factors[r] * shape.scale : -INFINITY;
      const float largest = fmaxf(maxima[r], warp_max(score));
      // A row that has seen no key of this step keeps its sums: expf(0) = 1.
      const float correction = largest > -INFINITY ? expf(maxima[r] - largest) : 1.0f;
      factors[r] = is_seen ? expf(score - largest) : 0.0f;
      sums[r] = sums[r] * correction + warp_sum(factors[r]);
      maxima[r] = largest;
#pragma unroll
      for (int j = 0; j < kPieces; ++j) totals[r][j] *= correction;
    }
    add_weighted_rows<kPieces>(factors, values, D, totals);
  }
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const int row = warp * kRowsPerWarp + r;
    if (row >= num_rows) continue;
    store_row<kPieces>(out + (first_token + row) * shape.out_stride + head * D, totals[r], 1.0f / sums[r], D);
    if (lse != nullptr && lane == 0) store(lse + (first_token + row) * shape.num_heads + head, maxima[r] + logf(sums[r]));
  }
}

/// deltas[t, h] = grad_out · out of the head. One warp a token and head; grid (T, Hq / 4 rounded up).
template <typename T>
__global__ void __launch_bounds__(kTrainingAttentionThreads, kTrainingAttentionBlocks)
    attention_deltas_kernel(const T* grad_out, const T* out, AttentionShape shape, float* deltas) {
  begin_kernel();
  const int lane = threadIdx.x % kWarp, head = static_cast<int>(blockIdx.y) * kTrainingAttentionWarps + threadIdx.x / kWarp;
  const index_t token = blockIdx.x;
  if (head >= shape.num_heads) return;
  float sum = 0;
  for (int d = lane; d < shape.head_dim; d += kWarp) {
    sum = __fmaf_rn(to_float(load(grad_out + token * shape.grad_out_stride + head * shape.head_dim + d)),
                    to_float(load(out + token * shape.out_stride + head * shape.head_dim + d)), sum);
  }
  sum = warp_sum(sum);
  if (lane == 0) store(deltas + token * shape.num_heads + head, sum);
}

/// Grid (tiles, Hq). Shared floats: 2 * 16 D + 2 * 32 (D + 1).
template <typename T, int kPieces>
__global__ void __launch_bounds__(kTrainingAttentionThreads, kTrainingAttentionBlocks)
    attention_grad_q_kernel(const T* grad_out, const T* q, const T* k, const T* v, const float* lse, const float* deltas,
                            const int* cu_seqlens, AttentionShape shape, T* grad_q) {
  begin_kernel();
  R1_DYNAMIC_SHARED(float, shared);
  const int head = blockIdx.y, kv_head = head / (shape.num_heads / shape.num_kv_heads), D = shape.head_dim;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Tile tile;
  if (!find_tile(blockIdx.x, cu_seqlens, shape.num_sequences, &tile)) return;
  const SharedPointer<float> queries = shared, grads = queries + kTileRows * D, keys = grads + kTileRows * D,
                             values = keys + kWarp * (D + 1);
  const index_t first_token = tile.sequence_begin + tile.first;
  const int num_rows = tile.length - tile.first < kTileRows ? tile.length - tile.first : kTileRows;
  load_rows(q + first_token * shape.q_stride + head * D, shape.q_stride, kTileRows, num_rows, D, queries, D);
  load_rows(grad_out + first_token * shape.grad_out_stride + head * D, shape.grad_out_stride, kTileRows, num_rows, D, grads, D);

  float totals[kRowsPerWarp][kPieces], row_lse[kRowsPerWarp], row_delta[kRowsPerWarp];
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const int row = warp * kRowsPerWarp + r;
    row_lse[r] = row < num_rows ? load(lse + (first_token + row) * shape.num_heads + head) : 0.0f;
    row_delta[r] = row < num_rows ? load(deltas + (first_token + row) * shape.num_heads + head) : 0.0f;
#pragma unroll
    for (int j = 0; j < kPieces; ++j) totals[r][j] = 0.0f;
  }
  const int end = tile.first + num_rows;
  for (int first_key = 0; first_key < end; first_key += kWarp) {
    const int num_keys = end - first_key < kWarp ? end - first_key : kWarp;
    const index_t token = tile.sequence_begin + first_key;
    __syncthreads();
    load_rows(k + token * shape.k_stride + kv_head * D, shape.k_stride, kWarp, num_keys, D, keys, D + 1);
    load_rows(v + token * shape.v_stride + kv_head * D, shape.v_stride, kWarp, num_keys, D, values, D + 1);
    __syncthreads();
    float factors[kRowsPerWarp], grad_probabilities[kRowsPerWarp];
    dot_rows(queries, keys, D, factors);
    dot_rows(grads, values, D, grad_probabilities);
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const int row = warp * kRowsPerWarp + r;
      const bool is_seen = row < num_rows && first_key + lane <= tile.first + row;
      const float probability = is_seen ? expf(factors[r] * shape.scale - row_lse[r]) : 0.0f;
      factors[r] = is_seen ? probability * (grad_probabilities[r] - row_delta[r]) : 0.0f;
    }
    add_weighted_rows<kPieces>(factors, keys, D, totals);
  }
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const int row = warp * kRowsPerWarp + r;
    if (row < num_rows) store_row<kPieces>(grad_q + (first_token + row) * shape.grad_q_stride + head * D, totals[r], shape.scale, D);
  }
}

/// Grid (tiles of keys, Hkv). Shared floats: as above, keys and queries with their parts exchanged.
template <typename T, int kPieces>
__global__ void __launch_bounds__(kTrainingAttentionThreads, kTrainingAttentionBlocks)
    attention_grad_kv_kernel(const T* grad_out, const T* q, const T* k, const T* v, const float* lse, const float* deltas,
                             const int* cu_seqlens, AttentionShape shape, T* grad_k, T* grad_v) {
  begin_kernel();
  R1_DYNAMIC_SHARED(float, shared);
  const int kv_head = blockIdx.y, group = shape.num_heads / shape.num_kv_heads, D = shape.head_dim;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Tile tile;
  if (!find_tile(blockIdx.x, cu_seqlens, shape.num_sequences, &tile)) return;
  const SharedPointer<float> keys = shared, values = keys + kTileRows * D, queries = values + kTileRows * D,
                             grads = queries + kWarp * (D + 1);
  const index_t first_token = tile.sequence_begin + tile.first;
  const int num_rows = tile.length - tile.first < kTileRows ? tile.length - tile.first : kTileRows;
  load_rows(k + first_token * shape.k_stride + kv_head * D, shape.k_stride, kTileRows, num_rows, D, keys, D);
  load_rows(v + first_token * shape.v_stride + kv_head * D, shape.v_stride, kTileRows, num_rows, D, values, D);

  float key_totals[kRowsPerWarp][kPieces], value_totals[kRowsPerWarp][kPieces];
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
#pragma unroll
    for (int j = 0; j < kPieces; ++j) key_totals[r][j] = value_totals[r][j] = 0.0f;
  }
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    // Queries before the tile's first key do not see it; steps begin at a multiple of 32 whatever the tile.
    for (int first_query = tile.first / kWarp * kWarp; first_query < tile.length; first_query += kWarp) {
      const int num_queries = tile.length - first_query < kWarp ? tile.length - first_query : kWarp;
      const index_t token = tile.sequence_begin + first_query;
      __syncthreads();
      load_rows(q + token * shape.q_stride + head * D, shape.q_stride, kWarp, num_queries, D, queries, D + 1);
      load_rows(grad_out + token * shape.grad_out_stride + head * D, shape.grad_out_stride, kWarp, num_queries, D, grads, D + 1);
      __syncthreads();
      const bool is_query = lane < num_queries;
      const float query_lse = is_query ? load(lse + (token + lane) * shape.num_heads + head) : 0.0f;
      const float query_delta = is_query ? load(deltas + (token + lane) * shape.num_heads + head) : 0.0f;
      float probabilities[kRowsPerWarp], factors[kRowsPerWarp];
      dot_rows(keys, queries, D, probabilities);
      dot_rows(values, grads, D, factors);
#pragma unroll
      for (int r = 0; r < kRowsPerWarp; ++r) {
        const int row = warp * kRowsPerWarp + r;
        const bool is_seen = is_query && row < num_rows && tile.first + row <= first_query + lane;
        probabilities[r] = is_seen ? expf(probabilities[r] * shape.scale - query_lse) : 0.0f;
        factors[r] = is_seen ? probabilities[r] * (factors[r] - query_delta) : 0.0f;
      }
      add_weighted_rows<kPieces>(probabilities, grads, D, value_totals);
      add_weighted_rows<kPieces>(factors, queries, D, key_totals);
    }
  }
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const int row = warp * kRowsPerWarp + r;
    if (row >= num_rows) continue;
    store_row<kPieces>(grad_k + (first_token + row) * shape.grad_k_stride + kv_head * D, key_totals[r], shape.scale, D);
    store_row<kPieces>(grad_v + (first_token + row) * shape.grad_v_stride + kv_head * D, value_totals[r], 1.0f, D);
  }
}

}  // namespace r1::ops::kernels

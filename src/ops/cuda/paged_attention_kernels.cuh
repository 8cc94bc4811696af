// The engine's attention over a paged cache (layout: ops/paged_attention.h). Hq query heads, Hkv key/value heads, G = Hq / Hkv,
// D head_dim, padded D its multiple of 16.
//
// One block of 128 threads for a query token, a tile of up to 8 query heads of one key/value head (they share its keys and values) and
// a split of the context. Positions go by in steps of 64. Keys: each thread multiplies 16 bytes of positions by its share of D, for all
// heads of the tile; values: 16 bytes of D by its share of the positions. Bound by bandwidth: every key and value of the context is
// read once for a key/value head and tile. The splits' length follows from the context: a row does not depend on the batch.
#pragma once

#include "ops/cuda/device.cuh"
#include "ops/cuda/paged_splits.h"

namespace r1::ops::kernels {

constexpr int kAttentionThreads = 128;
constexpr int kAttentionWarps = kAttentionThreads / kWarp;
constexpr int kStepPositions = 64;

/// One block a token: the key's elements one by one (positions lie innermost), the value's row in pieces.
template <typename T, int kWidth>
__global__ void __launch_bounds__(128)
    write_kv_cache_kernel(const T* k, index_t k_stride, const T* v, index_t v_stride, const int* slot_mapping, int num_kv_heads,
                          int head_dim, int padded_dim, int block_size, T* key_cache, T* value_cache) {
  begin_kernel();
  const index_t token = blockIdx.x;
  const int slot = load(slot_mapping + token);
  if (slot < 0) return;
  const index_t block = slot / block_size;
  const int position = slot % block_size;
  for (int i = threadIdx.x; i < num_kv_heads * head_dim; i += blockDim.x) {
    store(key_cache + (block * num_kv_heads * head_dim + i) * block_size + position, load(k + token * k_stride + i));
  }
  const int pieces = padded_dim / kWidth;
  for (int piece = threadIdx.x; piece < num_kv_heads * pieces; piece += blockDim.x) {
    const int head = piece / pieces, d = piece % pieces * kWidth;
    Floats<kWidth> values;
    if (d < head_dim) {  // whole pieces: kWidth divides head_dim
      values = load_floats<kWidth>(v + token * v_stride + head * head_dim + d);
    } else {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) values.v[j] = 0.0f;
    }
    store_floats(value_cache + ((block * num_kv_heads + head) * block_size + position) * padded_dim + d, values);
  }
}

struct PagedAttentionShape {
  int num_sequences, num_kv_heads, group, head_dim, padded_dim, block_size, num_splits;
  index_t table_stride, first_token;  // tokens from first_token on are this launch's
  float scale;
};

/// Length of a context up to and including the token, and its sequence.
__device__ __forceinline__ int context_of(index_t token, const int* cu_seqlens, const int* context_lens, int num_sequences, int* sequence) {
  int low = 0, high = num_sequences - 1;  // the last sequence that begins at or before the token holds it
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (load(cu_seqlens + middle) <= token) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  *sequence = low;
  return load(context_lens + low) - load(cu_seqlens + low + 1) + static_cast<int>(token) + 1;
}

/// With one split: out. With several: partial_out [T, Hq, splits, D] (not divided by the sum) and partial_stats [T, Hq, splits, 2]
/// (maximum, sum; sum 0 for a split behind the context), both of the launch's T tokens. Grid (T, Hkv * tiles, splits).
/// Dynamic shared memory: floats, the larger of kHeads * D (queries) and slots * kHeads * padded D (results), see the launch.
/// (The bound of six blocks keeps the compiler from spilling for the sake of more; 0 is none.)
template <typename T, int kHeads>
__global__ void __launch_bounds__(kAttentionThreads, kHeads == 1 && sizeof(T) == 4 ? 6 : 0)
    paged_attention_kernel(const T* q, index_t q_stride, const T* key_cache, const T* value_cache, const int* cu_seqlens,
                           const int* context_lens, const int* block_tables, PagedAttentionShape shape, T* out, index_t out_stride,
                           float* partial_out, float* partial_stats) {
  begin_kernel();
  constexpr int kWidth = kVectorWidth<T>;
  constexpr int kPositionPieces = kStepPositions / kWidth;         // threads along the positions
  constexpr int kKeyGroups = kAttentionThreads / kPositionPieces;  // threads along D
  constexpr int kHeadsPerWarp = (kHeads + kAttentionWarps - 1) / kAttentionWarps;
  R1_DYNAMIC_SHARED(float, queries);
  R1_SHARED(float, partial_scores, kAttentionWarps* kHeads* kStepPositions);
  R1_SHARED(float, probabilities, kHeads* kStepPositions);
  R1_SHARED(float, corrections, kHeads);
  R1_SHARED(float, sums, kHeads);

  const index_t launched = blockIdx.x, token = shape.first_token + launched;
  const int tiles = (shape.group + kHeads - 1) / kHeads;
  const int kv_head = blockIdx.y / tiles, first_in_group = blockIdx.y % tiles * kHeads;
  const int num_heads = shape.group - first_in_group < kHeads ? shape.group - first_in_group : kHeads;
  const int first_head = kv_head * shape.group + first_in_group, num_query_heads = shape.num_kv_heads * shape.group;
  const int split = blockIdx.z, thread = threadIdx.x, lane = thread % kWarp, warp = thread / kWarp;
  int sequence = 0;
  const int context = context_of(token, cu_seqlens, context_lens, shape.num_sequences, &sequence);
  const int length = positions_per_split(context), begin = split * length;
  const int end = begin + length < context ? begin + length : context;
  if (begin >= end) {  // the same for all threads of the block
    if (shape.num_splits > 1 && thread < num_heads) {
      store(partial_stats + ((launched * num_query_heads + first_head + thread) * shape.num_splits + split) * 2 + 1, 0.0f);
    }
    return;
  }
  const int* blocks = block_tables + sequence * shape.table_stride;
  for (int i = thread; i < kHeads * shape.head_dim; i += kAttentionThreads) {
    const int head = i / shape.head_dim;
    queries[i] = head < num_heads ? to_float(load(q + token * q_stride + static_cast<index_t>(first_head) * shape.head_dim + i)) : 0.0f;
  }

  // Threads along D for the values: a power of two, so that the lanes of a warp which share a piece can be added by shuffles.
  const int value_pieces = shape.padded_dim / kWidth;
  int lanes_per_row = 1;
  while (lanes_per_row < value_pieces) lanes_per_row *= 2;
  const int value_groups = kAttentionThreads / lanes_per_row, value_group = thread / lanes_per_row, value_piece = thread % lanes_per_row;
  float totals[kHeads][kWidth];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) totals[h][j] = 0.0f;
  }
  float maxima[kHeadsPerWarp], running_sums[kHeadsPerWarp];  // of the heads warp, warp + 4, …; equal in all lanes
#pragma unroll
  for (int n = 0; n < kHeadsPerWarp; ++n) {
    maxima[n] = -INFINITY;
    running_sums[n] = 0.0f;
  }
  __syncthreads();

  for (int step = begin; step < end; step += kStepPositions) {
    const int valid = end - step < kStepPositions ? end - step : kStepPositions;
    // Scores: this thread's positions and share of D.
    {
      const int piece = thread % kPositionPieces * kWidth;
      float scores[kHeads][kWidth];
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) scores[h][j] = 0.0f;
      }
      if (piece < valid) {
        const int position = step + piece;
        const index_t block = load(blocks + position / shape.block_size);
        const T* keys =
            key_cache + (block * shape.num_kv_heads + kv_head) * shape.head_dim * shape.block_size + position % shape.block_size;
        for (int d = thread / kPositionPieces; d < shape.head_dim; d += kKeyGroups) {
          const Floats<kWidth> key = load_floats<kWidth>(keys + static_cast<index_t>(d) * shape.block_size);
#pragma unroll
          for (int h = 0; h < kHeads; ++h) {
            const float query = queries[h * shape.head_dim + d];
#pragma unroll
            for (int j = 0; j < kWidth; ++j) scores[h][j] = __fmaf_rn(query, key.v[j], scores[h][j]);
          }
        }
      }
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
#pragma unroll
          for (int distance = kPositionPieces; distance < kWarp; distance *= 2) {
            scores[h][j] += __shfl_xor_sync(kFullWarp, scores[h][j], distance);
          }
          if (lane < kPositionPieces) partial_scores[(warp * kHeads + h) * kStepPositions + piece + j] = scores[h][j];
        }
      }
    }
    __syncthreads();
    // Probabilities relative to the largest score so far: a warp a head, two positions a lane.
#pragma unroll
    for (int n = 0; n < kHeadsPerWarp; ++n) {
      const int h = warp + n * kAttentionWarps;
      if (h >= kHeads) break;
      float scores[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int position = lane + half * kWarp;
        float score = partial_scores[h * kStepPositions + position];
        for (int w = 1; w < kAttentionWarps; ++w) score += partial_scores[(w * kHeads + h) * kStepPositions + position];
        scores[half] = position < valid ? score * shape.scale : -INFINITY;
      }
      const float largest = fmaxf(maxima[n], warp_max(fmaxf(scores[0], scores[1])));
      const float correction = expf(maxima[n] - largest);
      const float first = expf(scores[0] - largest), second = expf(scores[1] - largest);
      probabilities[h * kStepPositions + lane] = first;
      probabilities[h * kStepPositions + lane + kWarp] = second;
      if (lane == 0) corrections[h] = correction;
      running_sums[n] = running_sums[n] * correction + warp_sum(first + second);
      maxima[n] = largest;
    }
    __syncthreads();
    // Values. Positions behind the context are not read: the cache holds anything there.
    if (value_piece < value_pieces) {
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        const float correction = corrections[h];
#pragma unroll
        for (int j = 0; j < kWidth; ++j) totals[h][j] *= correction;
      }
      for (int at = value_group; at < valid; at += value_groups) {
        const int position = step + at;
        const index_t block = load(blocks + position / shape.block_size);
        const Floats<kWidth> value = load_floats<kWidth>(
            value_cache + ((block * shape.num_kv_heads + kv_head) * shape.block_size + position % shape.block_size) * shape.padded_dim +
            value_piece * kWidth);
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          const float p = probabilities[h * kStepPositions + at];
#pragma unroll
          for (int j = 0; j < kWidth; ++j) totals[h][j] = __fmaf_rn(p, value.v[j], totals[h][j]);
        }
      }
    }
  }

  // The groups' totals: within a warp by shuffles, then over at most four slots in shared memory, where the queries were.
  const SharedPointer<float> results = queries;
  const int slot_threads = lanes_per_row > kWarp ? lanes_per_row : kWarp, slots = kAttentionThreads / slot_threads;
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      for (int distance = lanes_per_row; distance < kWarp; distance *= 2)
        totals[h][j] += __shfl_xor_sync(kFullWarp, totals[h][j], distance);
      if (thread % slot_threads == value_piece && value_piece < value_pieces) {
        results[(thread / slot_threads * kHeads + h) * shape.padded_dim + value_piece * kWidth + j] = totals[h][j];
      }
    }
  }
#pragma unroll
  for (int n = 0; n < kHeadsPerWarp; ++n) {
    const int h = warp + n * kAttentionWarps;
    if (h >= num_heads || lane != 0) continue;
    sums[h] = running_sums[n];
    if (shape.num_splits == 1) continue;
    float* stats = partial_stats + ((launched * num_query_heads + first_head + h) * shape.num_splits + split) * 2;
    store(stats, maxima[n]);
    store(stats + 1, running_sums[n]);
  }
  __syncthreads();
  for (int i = thread; i < num_heads * shape.head_dim; i += kAttentionThreads) {
    const int h = i / shape.head_dim, d = i % shape.head_dim;
    float total = results[h * shape.padded_dim + d];
    for (int slot = 1; slot < slots; ++slot) total += results[(slot * kHeads + h) * shape.padded_dim + d];
    if (shape.num_splits > 1) {
      store(partial_out + ((launched * num_query_heads + first_head + h) * shape.num_splits + split) * shape.head_dim + d, total);
    } else {
      T result;
      from_float(total / sums[h], result);
      store(out + token * out_stride + static_cast<index_t>(first_head) * shape.head_dim + i, result);
    }
  }
}

/// out = the splits' results, weighted, in ascending order. One block a token and head, kWidth elements a thread: head_dim is a multiple.
template <typename T, int kWidth>
__global__ void __launch_bounds__(128)
    merge_splits_kernel(const float* partial_out, const float* partial_stats, int num_splits, int head_dim, T* out, index_t out_stride) {
  begin_kernel();
  const index_t token = blockIdx.x, head = blockIdx.y;
  const index_t first = (token * gridDim.y + head) * num_splits;
  float largest = -INFINITY;
  for (int split = 0; split < num_splits; ++split) {
    if (load(partial_stats + (first + split) * 2 + 1) > 0) largest = fmaxf(largest, load(partial_stats + (first + split) * 2));
  }
  for (int d = threadIdx.x * kWidth; d < head_dim; d += blockDim.x * kWidth) {
    Floats<kWidth> totals;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) totals.v[k] = 0.0f;
    float sum = 0;
    for (int split = 0; split < num_splits; ++split) {
      const float split_sum = load(partial_stats + (first + split) * 2 + 1);
      if (!(split_sum > 0)) continue;
      const float weight = expf(load(partial_stats + (first + split) * 2) - largest);
      const Floats<kWidth> parts = load_floats<kWidth>(partial_out + (first + split) * head_dim + d);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) totals.v[k] = __fmaf_rn(weight, parts.v[k], totals.v[k]);
      sum = __fmaf_rn(weight, split_sum, sum);
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) totals.v[k] = totals.v[k] / sum;
    store_floats(out + token * out_stride + head * head_dim + d, totals);
  }
}

}  // namespace r1::ops::kernels

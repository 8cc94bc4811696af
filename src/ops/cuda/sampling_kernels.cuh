// From logits to the next token. V vocab_size. One block of 512 threads a row; the scores stay in a workspace in cache.
// Bound by bandwidth and latency: 3 to 12 passes over a row, according to its filters.
//
// Sums of probabilities are integers: probabilities relative to the most likely id, in units of 2^-40. Their sum is exact in any
// order, so atomics on them are deterministic. An id below 2^-40 of the most likely one is never drawn.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

constexpr int kSamplingThreads = 512;
constexpr int kSamplingWarps = kSamplingThreads / kWarp;
constexpr int kSamplingTiles = 256;

using fixed_t = unsigned long long;

/// ops/sampling.h: SamplingSettings.
struct RowSettings {
  float temperature;
  int top_k;
  float top_p, min_p, repetition_penalty;
};

__device__ __forceinline__ fixed_t to_fixed(float probability) { return static_cast<fixed_t>(probability * 1099511627776.0f); }

/// Unsigned integers in the order of the floats.
__device__ __forceinline__ unsigned ordered_bits(float value) {
  const unsigned bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float from_ordered_bits(unsigned bits) {
  return __uint_as_float((bits & 0x80000000u) != 0 ? bits & 0x7FFFFFFFu : ~bits);
}

// Passes of the block over a row of `count` elements, a multiple of kWidth: 16 bytes at a time, or single elements for kWidth 1.

/// body(i, value) of each element.
template <int kWidth, typename T, typename Body>
__device__ __forceinline__ void read_row(const T* row, int count, Body&& body) {
  for (int i = threadIdx.x * kWidth; i < count; i += kSamplingThreads * kWidth) {
    const Floats<kWidth> values = load_floats<kWidth>(row + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) body(i + k, values.v[k]);
  }
}

/// out[i] = body(i, row[i]); out may be row.
template <int kWidth, typename T, typename Body>
__device__ __forceinline__ void transform_row(const T* row, float* out, int count, Body&& body) {
  for (int i = threadIdx.x * kWidth; i < count; i += kSamplingThreads * kWidth) {
    Floats<kWidth> values = load_floats<kWidth>(row + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) values.v[k] = body(i + k, values.v[k]);
    store_floats(out + i, values);
  }
}

/// out[i] = body(i).
template <int kWidth, typename Body>
__device__ __forceinline__ void write_row(float* out, int count, Body&& body) {
  for (int i = threadIdx.x * kWidth; i < count; i += kSamplingThreads * kWidth) {
    Floats<kWidth> values;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) values.v[k] = body(i + k);
    store_floats(out + i, values);
  }
}

/// The largest of (score, then the lowest id) over the block, as one integer.
__device__ __forceinline__ fixed_t block_best(fixed_t best) {
  R1_SHARED(fixed_t, warp_best, kSamplingWarps);
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const fixed_t other = __shfl_xor_sync(kFullWarp, best, distance);
    if (other > best) best = other;
  }
  if (threadIdx.x % kWarp == 0) warp_best[threadIdx.x / kWarp] = best;
  __syncthreads();
  for (int warp = 0; warp < kSamplingWarps; ++warp) {
    const fixed_t other = warp_best[warp];
    if (other > best) best = other;
  }
  __syncthreads();
  return best;
}

/// Selects by the bits of a key, eight at a time from the top: the largest key for which the weights of all keys not below it reach
/// `wanted`. An element has key(value) and weight(value); *above gets the weights of the larger keys. wanted is at least 1 and at most
/// the sum.
template <int kWidth, typename Key, typename Weight>
__device__ __forceinline__ unsigned radix_select(const float* row, int count, fixed_t wanted, Key&& key, Weight&& weight, fixed_t* above) {
  R1_SHARED(fixed_t, bins, 256);
  R1_SHARED(fixed_t, larger, 1);
  R1_SHARED(unsigned, prefix, 1);
  if (threadIdx.x == 0) {
    larger[0] = 0ull;
    prefix[0] = 0u;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (threadIdx.x < 256) bins[threadIdx.x] = 0ull;
    __syncthreads();
    const unsigned known = prefix[0];
    read_row<kWidth>(row, count, [&](int, float value) {
      const unsigned bits = key(value);
      if (shift < 24 && bits >> (shift + 8) != known >> (shift + 8)) return;
      const fixed_t w = weight(value);
      if (w != 0) atomicAdd(&bins[bits >> shift & 255u], w);
    });
    __syncthreads();
    if (threadIdx.x == 0) {
      fixed_t sum = larger[0];
      int bin = 255;
      for (; bin > 0; --bin) {
        const fixed_t here = bins[bin];
        if (sum + here >= wanted) break;
        sum += here;
      }
      larger[0] = sum;
      prefix[0] = known | static_cast<unsigned>(bin) << shift;
    }
    __syncthreads();
  }
  *above = larger[0];
  const unsigned result = prefix[0];
  __syncthreads();
  return result;
}

/// Id of the n-th (from 1) element for which is_member holds, in ascending order; count if there are fewer. One element a lane, so that
/// the votes of a warp are in the order of the ids.
template <typename IsMember>
__device__ __forceinline__ int nth_member(int count, fixed_t n, IsMember&& is_member) {
  R1_SHARED(int, warp_counts, kSamplingWarps);
  R1_SHARED(int, found, 1);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (threadIdx.x == 0) found[0] = count;
  fixed_t before = 0;
  for (int first = 0; first < count; first += kSamplingThreads) {
    const int i = first + threadIdx.x;
    const bool member = i < count && is_member(i);
    const unsigned votes = __ballot_sync(kFullWarp, member);
    if (lane == 0) warp_counts[warp] = __popc(votes);
    __syncthreads();
    fixed_t rank = before;
    for (int w = 0; w < warp; ++w) rank += warp_counts[w];
    fixed_t total = rank;
    for (int w = warp; w < kSamplingWarps; ++w) total += warp_counts[w];
    rank += __popc(votes & ((1u << lane) - 1u)) + 1;
    if (member && rank == n) found[0] = i;
    __syncthreads();
    before = total;
    if (before >= n) break;
  }
  const int result = found[0];
  __syncthreads();
  return result;
}

/// The sum over the row, and the first id whose cumulative sum exceeds floor(uniform * sum). Only the scan of the one tile that holds it
/// takes single elements.
template <int kWidth>
__device__ __forceinline__ int inverse_cumulative(const float* probabilities, int count, float uniform, fixed_t* sum) {
  R1_SHARED(fixed_t, tile_sums, kSamplingTiles);
  R1_SHARED(fixed_t, target_and_base, 3);
  R1_SHARED(int, chosen, 1);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  constexpr int kStep = kWarp * kWidth;
  const int tile_length = ((count + kSamplingTiles - 1) / kSamplingTiles + kStep - 1) / kStep * kStep;
  for (int tile = warp; tile < kSamplingTiles; tile += kSamplingWarps) {
    const int end = (tile + 1) * tile_length < count ? (tile + 1) * tile_length : count;
    fixed_t tile_sum = 0;
    for (int i = tile * tile_length + lane * kWidth; i < end; i += kStep) {
      const Floats<kWidth> values = load_floats<kWidth>(probabilities + i);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) tile_sum += to_fixed(values.v[k]);
    }
    tile_sum = warp_sum(tile_sum);
    if (lane == 0) tile_sums[tile] = tile_sum;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    fixed_t total = 0;
    for (int tile = 0; tile < kSamplingTiles; ++tile) total += tile_sums[tile];
    // uniform is a multiple of 2^-24: the product in two halves, rounded down once.
    const fixed_t steps = static_cast<fixed_t>(uniform * 16777216.0f);
    const fixed_t target = (total >> 24) * steps + (((total & 0xFFFFFFull) * steps) >> 24);
    fixed_t base = 0;
    int tile = 0;
    for (; tile < kSamplingTiles - 1; ++tile) {
      const fixed_t here = tile_sums[tile];
      if (base + here > target) break;
      base += here;
    }
    target_and_base[0] = target;
    target_and_base[1] = base;
    target_and_base[2] = total;
    chosen[0] = tile;
  }
  __syncthreads();
  *sum = target_and_base[2];
  const fixed_t target = target_and_base[0];
  const int tile = chosen[0];
  __syncthreads();
  if (warp == 0) {
    fixed_t base = target_and_base[1];
    for (int first = tile * tile_length;; first += kWarp) {
      const int i = first + lane;
      fixed_t inclusive = i < count ? to_fixed(load(probabilities + i)) : 0ull;
#pragma unroll
      for (unsigned distance = 1; distance < kWarp; distance *= 2) {
        const fixed_t before = __shfl_up_sync(kFullWarp, inclusive, distance);
        if (lane >= static_cast<int>(distance)) inclusive += before;
      }
      const unsigned over = __ballot_sync(kFullWarp, base + inclusive > target);
      if (over != 0) {
        if (lane == 0) chosen[0] = first + __ffs(over) - 1;
        break;
      }
      base += __shfl_sync(kFullWarp, inclusive, kWarp - 1);
    }
  }
  __syncthreads();
  return chosen[0];
}

/// scores [rows, V] and seen_bits [rows, ceil(V / 32)] are workspaces. Writes ids, or with probabilities the distribution itself.
/// A row whose highest logit is NaN or infinite gets id -1 (probabilities NaN): the host reports it when it reads the ids.
/// kWidth over 1: V is a multiple of it, and all rows begin at multiples of 16 bytes.
template <typename L, int kWidth>
__global__ void __launch_bounds__(kSamplingThreads)
    sample_kernel(const L* logits, index_t stride, int vocab_size, const RowSettings* settings, const int* seen_ids,
                  const int* seen_offsets, const float* uniforms, float* scores, unsigned* seen_bits, int* ids, float* probabilities) {
  begin_kernel();
  const index_t row = blockIdx.x;
  const int V = vocab_size, words = (V + 31) / 32;
  const float temperature = load(&settings[row].temperature), penalty = load(&settings[row].repetition_penalty);
  logits += row * stride;
  scores += row * V;
  seen_bits += row * words;
  if (probabilities != nullptr) probabilities += row * V;

  const bool is_penalised = penalty != 1.0f;
  if (is_penalised) {
    for (int w = threadIdx.x; w < words; w += kSamplingThreads) store(seen_bits + w, 0u);
    __syncthreads();
    for (int i = load(seen_offsets + row) + threadIdx.x; i < load(seen_offsets + row + 1); i += kSamplingThreads) {
      const int id = load(seen_ids + i);
      atomicOr(seen_bits + id / 32, 1u << id % 32);
    }
    __syncthreads();
  }
  fixed_t best = 0;
  transform_row<kWidth>(logits, scores, V, [&](int i, float score) {
    if (is_penalised && (load(seen_bits + i / 32) >> i % 32 & 1u) != 0) score = score < 0 ? score * penalty : __fdiv_rn(score, penalty);
    if (temperature > 0) score = __fdiv_rn(score, temperature);
    // NaN counts as more than +infinity, whatever its sign; -0 as +0.
    const unsigned bits = score != score ? 0xFFFFFFFFu : ordered_bits(score + 0.0f);
    const fixed_t candidate = static_cast<fixed_t>(bits) << 32 | (0xFFFFFFFFu - static_cast<unsigned>(i));
    if (candidate > best) best = candidate;
    return score;
  });
  best = block_best(best);
  const int greedy_id = static_cast<int>(0xFFFFFFFFu - static_cast<unsigned>(best & 0xFFFFFFFFull));
  const unsigned best_bits = static_cast<unsigned>(best >> 32);
  if (best_bits >= ordered_bits(INFINITY) || best_bits <= ordered_bits(-INFINITY)) {
    if (ids != nullptr && threadIdx.x == 0) store(ids + row, -1);
    if (probabilities != nullptr) write_row<kWidth>(probabilities, V, [](int) { return __uint_as_float(0x7FC00000u); });
    return;
  }
  if (temperature == 0) {
    if (ids != nullptr && threadIdx.x == 0) store(ids + row, greedy_id);
    if (probabilities != nullptr) write_row<kWidth>(probabilities, V, [&](int i) { return i == greedy_id ? 1.0f : 0.0f; });
    return;
  }

  const float largest = from_ordered_bits(best_bits);
  const int top_k = load(&settings[row].top_k);
  float lowest_kept = -INFINITY;
  if (top_k > 0 && top_k < V) {
    fixed_t above = 0;
    const auto key = [](float score) { return ordered_bits(score + 0.0f); };
    lowest_kept = from_ordered_bits(radix_select<kWidth>(
        scores, V, static_cast<fixed_t>(top_k), key, [](float) { return fixed_t{1}; }, &above));
  }
  __syncthreads();  // the scores have been read by others
  fixed_t sum = 0;
  transform_row<kWidth>(scores, scores, V, [&](int, float score) {
    const float p = score < lowest_kept ? 0.0f : expf(score - largest);
    sum += to_fixed(p);
    return p;
  });
  const float top_p = load(&settings[row].top_p), min_p = load(&settings[row].min_p);
  float threshold = 0;
  int last_tie = V;
  if (top_p < 1) {
    sum = block_sum(sum);
    // The smallest integer that is not below top_p * sum: an id stays while the sum before it is below.
    const double exact = static_cast<double>(top_p) * static_cast<double>(sum);
    fixed_t wanted = static_cast<fixed_t>(exact);
    if (static_cast<double>(wanted) < exact) ++wanted;
    if (wanted < 1) wanted = 1;
    if (wanted > sum) wanted = sum;
    fixed_t above = 0;
    const auto key = [](float p) { return __float_as_uint(p); };
    const auto weight = [](float p) { return to_fixed(p); };
    threshold = __uint_as_float(radix_select<kWidth>(scores, V, wanted, key, weight, &above));
    const fixed_t each = to_fixed(threshold);
    const fixed_t kept = (wanted - above + each - 1) / each;  // of the ids that are exactly as likely as the threshold
    last_tie = nth_member(V, kept, [&](int i) { return load(scores + i) == threshold; });
  }
  __syncthreads();
  transform_row<kWidth>(scores, scores, V, [&](int i, float p) {
    const bool is_dropped = p < threshold || (p == threshold && i > last_tie) || p < min_p;
    return is_dropped ? 0.0f : p;
  });
  __syncthreads();
  fixed_t total = 0;
  const int chosen = inverse_cumulative<kWidth>(scores, V, ids != nullptr ? load(uniforms + row) : 0.0f, &total);
  if (ids != nullptr && threadIdx.x == 0) store(ids + row, chosen);
  const double factor = 1.0 / (static_cast<double>(total) * 9.094947017729282e-13);  // 2^-40; a quotient an id would cost spills
  if (probabilities != nullptr)
    transform_row<kWidth>(scores, probabilities, V, [&](int, float p) { return static_cast<float>(p * factor); });
}

/// base/rng.h: token_uniform, the first word of Philox4x32-10 with key = seed and counter = (row id, sample, position).
[[maybe_unused]] static __global__ void __launch_bounds__(256)
    token_uniforms_kernel(fixed_t seed, const index_t* row_ids, const int* samples, const int* positions, float* uniforms, index_t count) {
  begin_kernel();
  const index_t row = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= count) return;
  const fixed_t row_id = static_cast<fixed_t>(load(row_ids + row));
  unsigned c0 = static_cast<unsigned>(row_id), c1 = static_cast<unsigned>(row_id >> 32);
  unsigned c2 = static_cast<unsigned>(load(samples + row)), c3 = static_cast<unsigned>(load(positions + row));
  unsigned k0 = static_cast<unsigned>(seed), k1 = static_cast<unsigned>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  store(uniforms + row, static_cast<float>(c0 >> 8) * 5.9604644775390625e-8f);  // 2^-24
}

}  // namespace r1::ops::kernels

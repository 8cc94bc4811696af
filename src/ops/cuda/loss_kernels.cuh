// Log-softmax over the vocabulary in chunks, and the gradient of the logits. T rows, C columns of a chunk, V vocab_size.
//
// The logits of a chunk come from a matrix product; a row's state goes from chunk to chunk, so [T, V] never exists.
// Bound by bandwidth: the chunk is read twice by the statistics (the second time from cache), read and written once by the gradient.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// What is known of a row's logits y = logit / temperature after some chunks.
struct RowState {
  double sum;       // of e^(y - largest)
  double weighted;  // of e^(y - largest) (y - largest)
  float largest;
  float id_logit;  // y of the row's id
  int best_id;     // of the largest, the lowest one
  int unused;
};

/// The whole state in two accesses of 16 bytes.
__device__ __forceinline__ RowState load_state(const RowState* state) {
  static_assert(sizeof(RowState) == 32);
  union {
    uint4 words[2];
    RowState state;
  } bits;
  bits.words[0] = load16(state);
  bits.words[1] = load16(reinterpret_cast<const uint4*>(state) + 1);
  return bits.state;
}

/// The larger value wins, then the lower id.
__device__ __forceinline__ bool is_better(float value, int id, float other_value, int other_id) {
  return value > other_value || (value == other_value && id < other_id);
}

/// One block a row: takes the chunk of ids [first_id, first_id + columns) into the state; first_id 0 begins it. Rows with a negative
/// id are left out. temperatures may be null: then temperature is every row's.
template <typename L, int kWidth>
__global__ void __launch_bounds__(256)
    log_softmax_stats_kernel(const L* logits, index_t stride, index_t columns, const int* ids, int first_id, float temperature,
                             const float* temperatures, RowState* states) {
  begin_kernel();
  R1_SHARED(float, warp_values, 8);
  R1_SHARED(int, warp_ids, 8);
  const index_t row = blockIdx.x;
  const int id = load(ids + row);
  if (id < 0) return;
  if (temperatures != nullptr) temperature = load(temperatures + row);
  logits += row * stride;

  float best = -INFINITY;
  int best_id = 0x7FFFFFFF;
  for (index_t i = threadIdx.x * kWidth; i < columns; i += static_cast<index_t>(blockDim.x) * kWidth) {
    const Floats<kWidth> values = load_floats<kWidth>(logits + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const int at = first_id + static_cast<int>(i) + k;
      if (is_better(values.v[k], at, best, best_id)) {
        best = values.v[k];
        best_id = at;
      }
    }
  }
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const float other = __shfl_xor_sync(kFullWarp, best, distance);
    const int other_id = __shfl_xor_sync(kFullWarp, best_id, distance);
    if (is_better(other, other_id, best, best_id)) {
      best = other;
      best_id = other_id;
    }
  }
  if (threadIdx.x % kWarp == 0) {
    warp_values[threadIdx.x / kWarp] = best;
    warp_ids[threadIdx.x / kWarp] = best_id;
  }
  __syncthreads();
  best = warp_values[0];
  best_id = warp_ids[0];
  for (int warp = 1; warp < static_cast<int>(blockDim.x) / kWarp; ++warp) {
    const float other = warp_values[warp];
    const int other_id = warp_ids[warp];
    if (is_better(other, other_id, best, best_id)) {
      best = other;
      best_id = other_id;
    }
  }

  // Rounding is monotonic: the largest logit stays the largest after the division.
  float largest = __fdiv_rn(best, temperature), before = -INFINITY;
  if (first_id > 0) before = load(&states[row].largest);
  const bool is_new_best = largest > before;
  if (!is_new_best) largest = before;
  const float shift = largest > -INFINITY ? largest : 0.0f;
  float sum = 0, weighted = 0;
  for (index_t i = threadIdx.x * kWidth; i < columns; i += static_cast<index_t>(blockDim.x) * kWidth) {
    const Floats<kWidth> values = load_floats<kWidth>(logits + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float distance = __fdiv_rn(values.v[k], temperature) - shift;
      const float e = expf(distance);
      sum += e;
      weighted = __fmaf_rn(e, fmaxf(distance, -200.0f), weighted);  // e = 0 there; -inf * 0 would be NaN
    }
  }
  sum = block_sum(sum);
  weighted = block_sum(weighted);
  __syncthreads();  // all threads have read the state of the earlier chunks
  if (threadIdx.x != 0) return;
  RowState state{sum, weighted, largest, 0.0f, best_id, 0};
  if (first_id > 0) {
    const double before_sum = load(&states[row].sum), before_weighted = load(&states[row].weighted);
    const float change = before > -INFINITY ? before - shift : -200.0f;
    const double factor = expf(change);
    state.sum += factor * before_sum;
    state.weighted += factor * (before_weighted + change * before_sum);
    state.id_logit = load(&states[row].id_logit);
    if (!is_new_best) state.best_id = load(&states[row].best_id);
  }
  if (id >= first_id && id - first_id < columns) state.id_logit = __fdiv_rn(to_float(load(logits + (id - first_id))), temperature);
  store(&states[row].sum, state.sum);
  store(&states[row].weighted, state.weighted);
  store(&states[row].largest, state.largest);
  store(&states[row].id_logit, state.id_logit);
  store(&states[row].best_id, state.best_id);
}

/// From the states to results; each pointer may be null. Rows with a negative id get 0. log_probs is multiplied by sign.
[[maybe_unused]] static __global__ void __launch_bounds__(256)
    log_softmax_results_kernel(const RowState* states, const int* ids, index_t num_rows, float sign, float* log_probs, float* is_correct,
                               float* entropy, float* lse) {
  begin_kernel();
  const index_t row = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= num_rows) return;
  const int id = load(ids + row);
  float log_prob = 0, correct = 0, uncertainty = 0, log_sum_exp = 0;
  if (id >= 0) {
    const RowState state = load_state(states + row);
    const double log_sum = log(state.sum), largest = state.largest;
    log_prob = static_cast<float>(state.id_logit - (largest + log_sum));
    correct = state.best_id == id ? 1.0f : 0.0f;
    uncertainty = static_cast<float>(log_sum - state.weighted / state.sum);
    log_sum_exp = static_cast<float>(largest + log_sum);
  }
  if (log_probs != nullptr) store(log_probs + row, id >= 0 ? sign * log_prob : 0.0f);
  if (is_correct != nullptr) store(is_correct + row, correct);
  if (entropy != nullptr) store(entropy + row, uncertainty);
  if (lse != nullptr) store(lse + row, log_sum_exp);
}

/// logit → (p - [is id]) * coefficient with p = e^(y - lse); 0 in rows with a negative id. The coefficient is `scale`, or with
/// grad_log_probs -grad_log_probs[row] / temperature. `gradients` has the logits' stride, and may be the logits themselves.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    logits_gradient_kernel(const float* logits, index_t stride, index_t num_rows, index_t columns, const int* ids, int first_id,
                           float temperature, const float* lse, float scale, const float* grad_log_probs, T* gradients) {
  begin_kernel();
  const index_t i = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (i >= columns) return;
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    const int id = load(ids + row);
    Floats<kWidth> values;
    if (id < 0) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) values.v[k] = 0.0f;
    } else {
      const float coefficient = grad_log_probs != nullptr ? -__fdiv_rn(load(grad_log_probs + row), temperature) : scale;
      const float shift = load(lse + row);
      values = load_floats<kWidth>(logits + row * stride + i);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const float p = expf(__fdiv_rn(values.v[k], temperature) - shift);
        values.v[k] = (first_id + static_cast<int>(i) + k == id ? p - 1.0f : p) * coefficient;
      }
    }
    store_floats(gradients + row * stride + i, values);
  }
}

}  // namespace r1::ops::kernels

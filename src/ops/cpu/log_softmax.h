// The one log-softmax behind linear_cross_entropy, selected_log_probs, log_probs_of_logits and the sampler.
//
// Order: blocks of 1,024 ids ascending. Per block: the largest scaled logit so far (exact in any order); then
// 16 chains of e^(y - largest) in f32, chain j over the ids j, j + 16, … of the block, added pairwise (8, 4, 2, 1);
// the block's sum is added in double to the sum so far, which is first multiplied by e^(change of the largest).
#pragma once

#include <cstdint>

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

inline constexpr std::int64_t kVocabularyBlock = 1024;

struct LogSoftmaxStats {
  float largest = 0;    // of the scaled logits y = logit / temperature
  double sum = 0;       // of e^(y - largest)
  double weighted = 0;  // of e^(y - largest) (y - largest), when asked for
  double lse() const { return static_cast<double>(largest) + log(sum); }
  float log_prob(float y) const { return static_cast<float>(static_cast<double>(y) - lse()); }
  float entropy() const { return static_cast<float>(log(sum) - weighted / sum); }
};

/// y of an element: the division is skipped for temperature 1 (it would change no bit).
template <bool kDivide>
R1_INLINE Vec scaled(Vec logits, Vec temperature) {
  return kDivide ? div(logits, temperature) : logits;
}

template <bool kDivide, bool kWeighted>
LogSoftmaxStats log_softmax_stats_of(const float* logits, std::int64_t V, float temperature) {
  const float lowest = -std::numeric_limits<float>::infinity();
  const Vec absent = broadcast(lowest), divisor = broadcast(temperature), weight_floor = broadcast(-200.0F);
  LogSoftmaxStats stats;
  stats.largest = lowest;
  for (std::int64_t first = 0; first < V; first += kVocabularyBlock) {
    const float* block = logits + first;
    const std::int64_t count = V - first < kVocabularyBlock ? V - first : kVocabularyBlock;
    Vec largest_lanes = absent;
    for (std::int64_t i = 0; i < count; i += kLanes) largest_lanes = max(load_first(block + i, count - i, absent), largest_lanes);
    float largest = reduce_max(largest_lanes);
    if (kDivide) largest /= temperature;  // rounding is monotonic: the largest stays the largest
    if (!(largest > stats.largest)) largest = stats.largest;
    if (first > 0 && largest > stats.largest) {
      const float change = stats.largest - largest;
      const double factor = static_cast<double>(exp(change));
      if (kWeighted && stats.sum > 0) stats.weighted = factor * (stats.weighted + static_cast<double>(change) * stats.sum);
      stats.sum *= factor;
    }
    stats.largest = largest;
    const Vec shift = broadcast(largest > lowest ? largest : 0.0F);  // all of them -inf so far: e^y = 0, not NaN
    Vec sums = zero(), weighted = zero();
    for (std::int64_t i = 0; i < count; i += kLanes) {
      const Vec distance = sub(scaled<kDivide>(load_first(block + i, count - i, absent), divisor), shift);
      const Vec e = exp(distance);
      sums = add(sums, e);
      if (kWeighted) weighted = fma(e, max(weight_floor, distance), weighted);  // e = 0 at the floor; -inf * 0 would be NaN
    }
    stats.sum += static_cast<double>(reduce_add(sums));
    if (kWeighted) stats.weighted += static_cast<double>(reduce_add(weighted));
  }
  return stats;
}

inline LogSoftmaxStats log_softmax_stats(const float* logits, std::int64_t V, float temperature, bool with_entropy) {
  if (temperature == 1.0F) {
    return with_entropy ? log_softmax_stats_of<false, true>(logits, V, temperature)
                        : log_softmax_stats_of<false, false>(logits, V, temperature);
  }
  return with_entropy ? log_softmax_stats_of<true, true>(logits, V, temperature)
                      : log_softmax_stats_of<true, false>(logits, V, temperature);
}

template <bool kDivide>
void cross_entropy_gradient_of(float* logits, std::int64_t V, float temperature, float lse, std::int64_t id, float coefficient) {
  const Vec divisor = broadcast(temperature), shift = broadcast(lse), factor = broadcast(coefficient);
  const float id_distance = (kDivide ? logits[id] / temperature : logits[id]) - lse;
  for (std::int64_t i = 0; i < V; i += kLanes) {
    const Vec distance = sub(scaled<kDivide>(load_first(logits + i, V - i, zero()), divisor), shift);
    store_first(logits + i, mul(exp(distance), factor), V - i);
  }
  logits[id] = (exp(id_distance) - 1.0F) * coefficient;
}

/// In place: logit → (p - [is id]) * coefficient with p = e^(y - lse): the gradient of -log p(id) times the coefficient.
inline void cross_entropy_gradient(float* logits, std::int64_t V, float temperature, float lse, std::int64_t id, float coefficient) {
  if (temperature == 1.0F) {
    cross_entropy_gradient_of<false>(logits, V, temperature, lse, id, coefficient);
  } else {
    cross_entropy_gradient_of<true>(logits, V, temperature, lse, id, coefficient);
  }
}

/// Whether `id` is the argmax of the logits, the largest of which is known (ties: the lowest id; NaN: no).
inline bool is_argmax(const float* logits, float largest, std::int64_t id) {
  if (!(logits[id] == largest)) return false;
  const float lowest = -std::numeric_limits<float>::infinity();
  const Vec all = broadcast(largest), absent = broadcast(lowest);
  for (std::int64_t i = 0; i < id && largest > lowest; i += kLanes) {
    if (equal_mask(load_first(logits + i, id - i, absent), all) != 0) return false;
  }
  return true;
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

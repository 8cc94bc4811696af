#include "ops/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

constexpr double kRemoved = -std::numeric_limits<double>::infinity();

std::vector<double> softmax(const std::vector<double>& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> p(scores.size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] = std::exp(scores[i] - largest);
  for (double& value : p) value /= sum;
  return p;
}

/// Ids from the most to the least likely; equal scores: the lowest id first.
std::vector<std::size_t> descending(const std::vector<double>& scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  return order;
}

/// The distribution of one row. The scores are kept in f32 where transformers keeps them so, since ties matter.
std::vector<double> distribution(const float* logits, std::size_t V, const SamplingSettings& settings, std::span<const std::int32_t> seen) {
  std::vector<float> penalised(logits, logits + V);
  for (const std::int32_t id : seen) {
    const float logit = logits[id];
    penalised[static_cast<std::size_t>(id)] = logit < 0 ? logit * settings.repetition_penalty : logit / settings.repetition_penalty;
  }
  std::vector<double> scores(penalised.begin(), penalised.end());
  if (settings.temperature == 0) {
    std::vector<double> choice(V, 0.0);
    choice[descending(scores).front()] = 1.0;
    return choice;
  }
  for (std::size_t i = 0; i < V; ++i) scores[i] = static_cast<double>(penalised[i] / settings.temperature);
  if (settings.top_k > 0 && static_cast<std::size_t>(settings.top_k) < V) {
    const double lowest_kept = scores[descending(scores)[static_cast<std::size_t>(settings.top_k) - 1]];
    for (double& score : scores) {
      if (score < lowest_kept) score = kRemoved;
    }
  }
  if (settings.top_p < 1) {
    const std::vector<double> p = softmax(scores);
    double before = 0;
    for (const std::size_t id : descending(scores)) {
      if (before >= static_cast<double>(settings.top_p)) scores[id] = kRemoved;
      before += p[id];
    }
  }
  if (settings.min_p > 0) {
    const std::vector<double> p = softmax(scores);
    const double largest = *std::max_element(p.begin(), p.end());
    for (std::size_t i = 0; i < V; ++i) {
      if (p[i] < static_cast<double>(settings.min_p) * largest) scores[i] = kRemoved;
    }
  }
  return softmax(scores);
}

std::vector<double> row_distribution(const Tensor& logits, std::int64_t r, std::span<const SamplingSettings> settings,
                                     const Tensor& seen_ids, const Tensor& seen_offsets) {
  const auto* offsets = raw<std::int32_t>(seen_offsets);
  const std::span seen(raw<std::int32_t>(seen_ids) + offsets[r], static_cast<std::size_t>(offsets[r + 1] - offsets[r]));
  return distribution(row<float>(logits, r), static_cast<std::size_t>(logits.dim(1)), settings[static_cast<std::size_t>(r)], seen);
}

}  // namespace

void sample(const ExecContext&, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
            const Tensor& seen_offsets, const Tensor& uniforms, Tensor& ids, Tensor* log_probs) {
  for (std::int64_t r = 0; r < logits.dim(0); ++r) {
    const std::vector<double> p = row_distribution(logits, r, settings, seen_ids, seen_offsets);
    const auto uniform = static_cast<double>(raw<float>(uniforms)[r]);
    std::size_t chosen = 0;
    double cumulative = 0;
    for (std::size_t i = 0; i < p.size() && cumulative <= uniform; ++i) {
      if (p[i] > 0) chosen = i;  // rounding may leave the sum under the uniform: then the last kept id
      cumulative += p[i];
    }
    raw<std::int32_t>(ids)[r] = static_cast<std::int32_t>(chosen);
    if (log_probs == nullptr) continue;
    const float temperature = settings[static_cast<std::size_t>(r)].temperature;
    const SamplingSettings plain{.temperature = temperature > 0 ? temperature : 1.0F};
    raw<float>(*log_probs)[r] = static_cast<float>(std::log(distribution(row<float>(logits, r), p.size(), plain, {})[chosen]));
  }
}

void sampling_probabilities(const ExecContext&, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
                            const Tensor& seen_offsets, Tensor& probabilities) {
  for (std::int64_t r = 0; r < logits.dim(0); ++r) {
    const std::vector<double> p = row_distribution(logits, r, settings, seen_ids, seen_offsets);
    std::transform(p.begin(), p.end(), row<float>(probabilities, r), [](double value) { return static_cast<float>(value); });
  }
}

}  // namespace r1::ops::reference

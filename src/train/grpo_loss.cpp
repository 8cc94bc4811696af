#include "train/grpo_loss.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace r1::train {
namespace {

/// -min(r A, clip(r) A) and its derivative by r; where both are equal each counts half, as in the reference's autograd.
struct Surrogate {
  double loss = 0, by_ratio = 0;
  bool clipped_low = false, clipped_high = false;
};

Surrogate surrogate(const GrpoLossOptions& options, double ratio, double advantage) {
  const bool is_capped = options.delta && ratio > *options.delta;
  const double first = is_capped ? *options.delta : ratio;
  const double low = 1 - options.epsilon_low, high = 1 + options.epsilon_high;
  const double second = std::clamp(ratio, low, high);
  const double first_by_ratio = is_capped ? 0 : advantage;
  const double second_by_ratio = ratio >= low && ratio <= high ? advantage : 0;
  const double a = first * advantage, b = second * advantage;
  Surrogate result;
  result.loss = -std::min(a, b);
  result.by_ratio = a < b ? -first_by_ratio : b < a ? -second_by_ratio : -0.5 * (first_by_ratio + second_by_ratio);
  result.clipped_low = ratio < low && advantage < 0;
  result.clipped_high = ratio > high && advantage > 0;
  return result;
}

/// What a token of this completion weighs in the step's loss.
double token_weight(const GrpoLossOptions& options, const GrpoNormalizer& normalizer, std::size_t num_tokens) {
  const auto completions = static_cast<double>(std::max<std::int64_t>(normalizer.num_completions, 1));
  switch (options.loss_type) {
    case config::LossType::kGrpo:
      return 1.0 / (completions * static_cast<double>(std::max<std::size_t>(num_tokens, 1)));
    case config::LossType::kBnpo:
      return 1.0 / static_cast<double>(std::max<std::int64_t>(normalizer.num_tokens, 1));
    case config::LossType::kDrGrpo:
      return 1.0 / (completions * static_cast<double>(options.max_completion_length));
  }
  return 0;
}

double log_ratio(const CompletionLogProbs& completion, std::size_t t) {
  return completion.old.empty() ? 0.0 : completion.current[t] - completion.old[t];
}

}  // namespace

GrpoSums grpo_loss(const GrpoLossOptions& options, const GrpoNormalizer& normalizer, const CompletionLogProbs& completion,
                   std::span<double> gradient) {
  const std::size_t count = completion.current.size();
  R1_ASSERT(gradient.size() == count && (completion.old.empty() || completion.old.size() == count), "one log-probability per token");
  std::ranges::fill(gradient, 0.0);
  GrpoSums sums;
  if (completion.is_masked || count == 0) return sums;
  sums.num_tokens = static_cast<std::int64_t>(count);
  const double weight = token_weight(options, normalizer, count);
  const bool by_sequence = options.level == config::ImportanceSamplingLevel::kSequence;

  double mean_log_ratio = 0;
  for (std::size_t t = 0; by_sequence && t < count; ++t) mean_log_ratio += log_ratio(completion, t);
  mean_log_ratio /= static_cast<double>(count);
  const double sequence_ratio = std::exp(mean_log_ratio);
  const Surrogate of_sequence = surrogate(options, sequence_ratio, completion.advantage);

  for (std::size_t t = 0; t < count; ++t) {
    const double ratio = by_sequence ? sequence_ratio : std::exp(log_ratio(completion, t));
    const Surrogate token = by_sequence ? of_sequence : surrogate(options, ratio, completion.advantage);
    double loss = token.loss;
    // By sequence: each of `count` tokens has this loss, and each log-prob moves the ratio by a count-th.
    double by_log_prob = token.by_ratio * ratio;
    if (options.beta > 0) {
      const double d = completion.reference[t] - completion.current[t];
      const double kl = std::exp(d) - d - 1;
      loss += options.beta * kl;
      by_log_prob += options.beta * (1 - std::exp(d));
      sums.kl += kl;
    }
    sums.loss += weight * loss;
    sums.clipped_low += token.clipped_low ? 1 : 0;
    sums.clipped_high += token.clipped_high ? 1 : 0;
    gradient[t] = weight * by_log_prob;
  }
  return sums;
}

}  // namespace r1::train

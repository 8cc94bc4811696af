// The GRPO objective on log-probabilities: loss and its gradient, in double.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "config/grpo_config.h"

namespace r1::train {

struct GrpoLossOptions {
  config::LossType loss_type = config::LossType::kBnpo;
  config::ImportanceSamplingLevel level = config::ImportanceSamplingLevel::kToken;
  double epsilon_low = 0.2, epsilon_high = 0.2;
  std::optional<double> delta;  // upper cap of the unclipped ratio
  double beta = 0;              // weight of the KL term; 0: reference log-probs are not read
  std::int64_t max_completion_length = 1;
};

/// What the whole step's loss is divided by (design: interfaces.md, "GRPO loss").
struct GrpoNormalizer {
  std::int64_t num_completions = 0;  // masked ones included
  std::int64_t num_tokens = 0;       // of those that count
};

/// One completion. All spans have one entry per token.
struct CompletionLogProbs {
  std::span<const double> current;    // under the model being trained
  std::span<const double> old;        // under the model that generated; empty: on-policy, the same as current
  std::span<const double> reference;  // read when beta > 0
  double advantage = 0;
  bool is_masked = false;  // truncated and mask_truncated_completions: its tokens do not count
};

/// Sums over tokens, to be added over completions.
struct GrpoSums {
  double loss = 0;  // already divided by the step's normalizer
  double kl = 0, clipped_low = 0, clipped_high = 0;
  std::int64_t num_tokens = 0;  // that count
};

/// Writes d loss / d current[t] into gradient and returns the completion's part of the sums.
///   loss_t = -min(r A, clip(r, 1 - epsilon_low, 1 + epsilon_high) A) + beta (exp(d) - d - 1),  r = exp(current - old), d = reference -
///   current
/// On the sequence level r is exp of the mean over the tokens of current - old (GSPO, Zheng et al. 2025, arXiv 2507.18071).
GrpoSums grpo_loss(const GrpoLossOptions& options, const GrpoNormalizer& normalizer, const CompletionLogProbs& completion,
                   std::span<double> gradient);

}  // namespace r1::train

// From rewards to advantages: how much better a completion is than the others of its group.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "config/grpo_config.h"

namespace r1::train {

struct Advantages {
  std::vector<double> values;                 // one per completion; 0 without a reward
  std::vector<double> group_mean, group_std;  // one per group, over the completions with a reward; sample deviation, 0 below two
  std::int64_t num_zero_std_groups = 0;       // no completion differs from another: nothing to learn
  std::int64_t num_unscored_groups = 0;       // no completion has a reward
};

/// rewards: groups of `group_size` one after another; nothing where no reward function gave a value. Group scaling divides by the
/// deviation + 1e-4, batch scaling by the deviation of all rewards of the step + 1e-4.
/// Source: Shao et al. 2024, arXiv 2402.03300, eq. 3; the constants are TRL's.
Advantages compute_advantages(std::span<const std::optional<double>> rewards, int group_size, config::ScaleRewards scale);

}  // namespace r1::train

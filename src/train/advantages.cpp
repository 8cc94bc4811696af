#include "train/advantages.h"

#include <cmath>

#include "base/error.h"

namespace r1::train {
namespace {

constexpr double kStdOffset = 1e-4;

struct Moments {
  double mean = 0, deviation = 0;
  std::int64_t count = 0;
};

Moments moments_of(std::span<const std::optional<double>> rewards) {
  Moments moments;
  for (const auto& reward : rewards) {
    if (!reward) continue;
    moments.mean += *reward;
    ++moments.count;
  }
  if (moments.count == 0) return moments;
  moments.mean /= static_cast<double>(moments.count);
  double squares = 0;
  for (const auto& reward : rewards) {
    if (reward) squares += (*reward - moments.mean) * (*reward - moments.mean);
  }
  if (moments.count > 1) moments.deviation = std::sqrt(squares / static_cast<double>(moments.count - 1));
  return moments;
}

/// Equal rewards may differ by a rounding in their mean.
bool is_zero(double deviation, double mean) { return deviation <= 1e-12 * (1 + std::fabs(mean)); }

}  // namespace

Advantages compute_advantages(std::span<const std::optional<double>> rewards, int group_size, config::ScaleRewards scale) {
  const auto size = static_cast<std::size_t>(group_size);
  R1_ASSERT(rewards.size() % size == 0, "rewards must be whole groups");
  Advantages result;
  result.values.resize(rewards.size(), 0.0);
  const Moments batch = moments_of(rewards);
  for (std::size_t begin = 0; begin < rewards.size(); begin += size) {
    const Moments group = moments_of(rewards.subspan(begin, size));
    result.group_mean.push_back(group.mean);
    result.group_std.push_back(group.deviation);
    if (group.count == 0) ++result.num_unscored_groups;
    if (is_zero(group.deviation, group.mean)) {
      ++result.num_zero_std_groups;
      continue;
    }
    double divisor = 1;
    if (scale == config::ScaleRewards::kGroup) divisor = group.deviation + kStdOffset;
    if (scale == config::ScaleRewards::kBatch) divisor = batch.deviation + kStdOffset;
    for (std::size_t i = begin; i < begin + size; ++i) {
      if (rewards[i]) result.values[i] = (*rewards[i] - group.mean) / divisor;
    }
  }
  return result;
}

}  // namespace r1::train

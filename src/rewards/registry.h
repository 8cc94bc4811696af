// The table of reward functions, and the weighted sum of several.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rewards/reward.h"

namespace r1::rewards {

/// A row of the table, for help texts and docs.
struct RewardEntry {
  const char* name;
  const char* alias;  // another accepted name, or null
  const char* columns;
  const char* defaults;
  const char* summary;
  std::unique_ptr<Reward> (*make)(const RewardOptions& options);
};
std::span<const RewardEntry> reward_table();
std::vector<std::string> reward_names();

/// Throws Error(kUsage) for an unknown name, with the nearest one, and for options that the function cannot work with.
std::unique_ptr<Reward> make_reward(std::string_view name, const RewardOptions& options);

/// What a step's completions earned.
struct RewardScores {
  std::vector<std::vector<RewardResult>> by_function;  // in the order of the functions, each one result per completion
  /// Weighted sums. A function without value for a completion adds nothing; nothing at all when no function has one.
  std::vector<std::optional<double>> total;
};

/// Several reward functions with their weights, as --reward_funcs and --reward_weights name them.
class WeightedRewards {
 public:
  /// weights may be empty (all 1). Throws Error(kUsage) when their number differs from that of the names.
  WeightedRewards(std::span<const std::string> names, std::span<const double> weights, const RewardOptions& options);

  const std::vector<std::unique_ptr<Reward>>& functions() const { return functions_; }
  const std::vector<double>& weights() const { return weights_; }
  /// Each once, in order of first need.
  std::vector<std::string> required_columns() const;
  /// The first thing that is wrong with a row, or nothing.
  std::optional<std::string> preflight(const Json& row) const;
  RewardScores score(std::span<const Completion> completions, ThreadPool* pool) const;

 private:
  std::vector<std::unique_ptr<Reward>> functions_;
  std::vector<double> weights_;
};

}  // namespace r1::rewards

// Where GRPO gained: the first reward by difficulty, in the first and in the last steps of a run.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "report/html_report.h"

namespace r1::train {

class RewardBreakdown {
 public:
  explicit RewardBreakdown(std::string reward_name) : reward_name_(std::move(reward_name)) {}

  /// One completion of a step: the difficulty of its problem and its reward by the first function.
  void add(std::int64_t step, const std::string& difficulty_name, std::int64_t difficulty, double reward);

  /// A row per difficulty: the mean reward over the first and the last fifth of the steps seen, with the number of completions. Nothing
  /// when nothing was added.
  std::optional<report::Table> table() const;

 private:
  struct Sum {
    double reward = 0;
    std::int64_t count = 0;
  };
  std::string reward_name_, difficulty_name_;
  std::map<std::int64_t, std::map<std::int64_t, Sum>> by_step_;  // step → difficulty → sum
};

}  // namespace r1::train

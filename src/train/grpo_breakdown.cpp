#include "train/grpo_breakdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace r1::train {

void RewardBreakdown::add(std::int64_t step, const std::string& difficulty_name, std::int64_t difficulty, double reward) {
  difficulty_name_ = difficulty_name;
  Sum& sum = by_step_[step][difficulty];
  sum.reward += reward;
  ++sum.count;
}

std::optional<report::Table> RewardBreakdown::table() const {
  if (by_step_.empty()) return std::nullopt;
  const auto num_steps = static_cast<std::int64_t>(by_step_.size()), fifth = std::max<std::int64_t>(1, num_steps / 5);
  std::map<std::int64_t, std::pair<Sum, Sum>> rows;  // difficulty → first, last
  std::int64_t index = 0;
  for (const auto& [step, sums] : by_step_) {
    for (const auto& [difficulty, sum] : sums) {
      auto& [first, last] = rows[difficulty];
      for (auto [part, is_in] : {std::pair(&first, index < fifth), std::pair(&last, index >= num_steps - fifth)}) {
        if (!is_in) continue;
        part->reward += sum.reward;
        part->count += sum.count;
      }
    }
    ++index;
  }
  const auto mean = [](const Sum& sum) {
    return sum.count > 0 ? fmt::format("{:.3f}", sum.reward / static_cast<double>(sum.count)) : std::string();
  };
  report::Table table{fmt::format("{} by {}", reward_name_, difficulty_name_),
                      fmt::format("Mean over the completions of the first {0} and the last {0} logged steps, {1} to {2}.", fifth,
                                  by_step_.begin()->first, std::prev(by_step_.end())->first),
                      {difficulty_name_, "at the start", "completions", "at the end", "completions"},
                      {}};
  for (const auto& [difficulty, parts] : rows) {
    if (parts.first.count + parts.second.count == 0) continue;  // met in between alone
    table.rows.push_back({std::to_string(difficulty), mean(parts.first), std::to_string(parts.first.count), mean(parts.second),
                          std::to_string(parts.second.count)});
  }
  return table;
}

}  // namespace r1::train

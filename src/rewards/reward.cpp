#include "rewards/reward.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "base/thread_pool.h"

namespace r1::rewards {

Revision revision_by_name(std::string_view name) {
  if (name == "r1") return Revision::kR1;
  if (name == "head" || name == "both") return Revision::kHead;
  if (name == "feb25") return Revision::kFeb25;
  fail(ErrorKind::kUsage, "unknown revision of the rewards '{}': expected r1, head or feb25", name);
}

std::string_view reward_status_name(RewardStatus status) {
  switch (status) {
    case RewardStatus::kScored:
      return "scored";
    case RewardStatus::kGoldUnparsed:
      return "gold_unparsed";
    case RewardStatus::kAnswerUnparsed:
      return "answer_unparsed";
    case RewardStatus::kOverBudget:
      return "over_budget";
  }
  return "";
}

std::optional<std::string> Reward::preflight(const Json& row) const {
  for (const std::string& column : required_columns_)
    if (!row.contains(column)) return fmt::format("the reward '{}' needs the column '{}'", name_, column);
  return preflight_columns(row);
}

std::vector<RewardResult> Reward::score(std::span<const Completion> completions, ThreadPool* pool) const {
  std::vector<RewardResult> results(completions.size());
  const auto score_range = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) results[static_cast<std::size_t>(i)] = score_one(completions[static_cast<std::size_t>(i)]);
  };
  const auto count = static_cast<std::int64_t>(completions.size());
  if (pool) pool->parallel_for(count, score_range);
  else score_range(0, count, 0);
  return results;
}

std::string column_text(const Json& row, std::string_view column) {
  const auto found = row.find(column);
  if (found == row.end()) fail(ErrorKind::kData, "the row has no column '{}', which the reward needs", column);
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number()) return found->dump();
  fail(ErrorKind::kData, "column '{}': expected a text, found {}", column, found->type_name());
}

}  // namespace r1::rewards

#include "rewards/registry.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "rewards/functions.h"

namespace r1::rewards {
namespace {

constexpr RewardEntry kRewards[] = {
    {"accuracy", nullptr, "solution", "", "1 when the boxed answer equals the solution's, else 0", make_accuracy},
    {"format", nullptr, "", "", "1 for <think>…</think><answer>…</answer>, else 0", make_format},
    {"tag_count", nullptr, "", "", "a quarter for each of the four tags with its line breaks", make_tag_count},
    {"reasoning_steps", nullptr, "", "", "a third for each step, numbered or bulleted, up to 1", make_reasoning_steps},
    {"cosine", nullptr, "solution", "r1: -1 … -0.5 wrong, 0.5 … 1 right, 1000 characters; head: 0 … -0.5 wrong",
     "by correctness and length, along a cosine", make_cosine},
    {"repetition_penalty", nullptr, "", "3-grams, penalty -1", "penalty × share of repeated n-grams of words", make_repetition_penalty},
    {"length", "len", "solution", "", "shorter is better among the completions of a group", make_length},
    {"soft_overlong_punishment", nullptr, "", "16384 tokens, of which the last 4096 cost", "0 down to -1 towards the longest completion",
     make_soft_overlong_punishment},
    {"code_format", nullptr, "", "python", "format, with a fenced block of the language in the answer", make_code_format},
    {"exact_answer", nullptr, "answer", "", "1 when the text in the answer tags is the answer", make_exact_answer},
    {"countdown", nullptr, "nums, target", "", "1 when the expression in the answer tags reaches the target with the numbers",
     make_countdown},
};

}  // namespace

std::span<const RewardEntry> reward_table() { return kRewards; }

std::vector<std::string> reward_names() {
  std::vector<std::string> names;
  for (const RewardEntry& entry : kRewards) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Reward> make_reward(std::string_view name, const RewardOptions& options) {
  for (const RewardEntry& entry : kRewards)
    if (name == entry.name || (entry.alias && name == entry.alias)) return entry.make(options);
  const auto names = reward_names();
  const auto nearest = nearest_name(name, names);
  fail(ErrorKind::kUsage, "unknown reward '{}'{}; there are {}", name, nearest ? " — did you mean '" + *nearest + "'?" : "",
       join(names, ", "));
}

WeightedRewards::WeightedRewards(std::span<const std::string> names, std::span<const double> weights, const RewardOptions& options)
    : weights_(weights.begin(), weights.end()) {
  if (weights_.empty()) weights_.assign(names.size(), 1.0);
  if (weights_.size() != names.size())
    fail(ErrorKind::kUsage, "reward_weights has {} values for {} reward_funcs ({}): give one each", weights_.size(), names.size(),
         join(names, ", "));
  for (const std::string& name : names) functions_.push_back(make_reward(name, options));
}

std::vector<std::string> WeightedRewards::required_columns() const {
  std::vector<std::string> columns;
  for (const auto& function : functions_)
    for (const std::string& column : function->required_columns())
      if (std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
  return columns;
}

std::optional<std::string> WeightedRewards::preflight(const Json& row) const {
  for (const auto& function : functions_)
    if (auto problem = function->preflight(row)) return problem;
  return std::nullopt;
}

RewardScores WeightedRewards::score(std::span<const Completion> completions, ThreadPool* pool) const {
  RewardScores scores;
  scores.total.resize(completions.size());
  for (std::size_t function = 0; function < functions_.size(); ++function) {
    scores.by_function.push_back(functions_[function]->score(completions, pool));
    for (std::size_t i = 0; i < completions.size(); ++i)
      if (const auto& value = scores.by_function.back()[i].value)
        scores.total[i] = scores.total[i].value_or(0.0) + weights_[function] * *value;
  }
  return scores;
}

}  // namespace r1::rewards

// length: among completions that are compared with each other, short right ones gain and long ones lose.
// Source: Kimi Team 2025, arXiv 2501.12599, section 2.3.3.
#include <algorithm>
#include <map>

#include "base/strings.h"
#include "base/thread_pool.h"
#include "rewards/answer_grading.h"
#include "rewards/functions.h"

namespace r1::rewards {
namespace {

class Length final : public Reward {
 public:
  explicit Length(Revision revision) : Reward("length", {"solution"}), revision_(revision) {}

  std::vector<RewardResult> score(std::span<const Completion> completions, ThreadPool* pool) const override {
    std::vector<Grade> grades(completions.size());
    const auto grade_range = [&](std::int64_t begin, std::int64_t end, int) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) grades[i] = grade(completions[i]);
    };
    if (pool) pool->parallel_for(static_cast<std::int64_t>(completions.size()), grade_range);
    else grade_range(0, static_cast<std::int64_t>(completions.size()), 0);
    // The original compares everything of one call; a group is what the formula means.
    std::map<std::int64_t, std::vector<std::size_t>> groups;
    for (std::size_t i = 0; i < completions.size(); ++i) groups[is_r1(revision_) ? completions[i].group : 0].push_back(i);
    std::vector<RewardResult> results(completions.size());
    for (const auto& [group, members] : groups) score_group(completions, grades, members, results);
    return results;
  }

 protected:
  RewardResult score_one(const Completion& completion) const override { return score(std::span(&completion, 1), nullptr)[0]; }

  std::optional<std::string> preflight_columns(const Json& row) const override {
    const std::string solution = column_text(row, "solution");
    if (has_readable_gold(solution, revision_ != Revision::kR1)) return std::nullopt;
    return "no gold answer can be read in the column 'solution': " + solution.substr(0, 80);
  }

 private:
  Grade grade(const Completion& completion) const {
    return grade_completion(completion.text, column_text(*completion.row, "solution"), revision_ != Revision::kR1, is_r1(revision_));
  }

  void score_group(std::span<const Completion> completions, const std::vector<Grade>& grades, const std::vector<std::size_t>& members,
                   std::vector<RewardResult>& results) const {
    std::vector<std::size_t> lengths;
    for (const std::size_t i : members) lengths.push_back(count_code_points(completions[i].text));
    const auto [shortest, longest] = std::minmax_element(lengths.begin(), lengths.end());
    for (std::size_t k = 0; k < members.size(); ++k) {
      const Grade& grade = grades[members[k]];
      RewardResult& result = results[members[k]];
      result.status = grade.status;
      const bool no_gold = grade.correctness == Correctness::kNoGold;
      if (no_gold && is_r1(revision_)) continue;
      result.value = 0.0;
      if (*shortest == *longest) continue;
      const double lambda = 0.5 - static_cast<double>(lengths[k] - *shortest) / static_cast<double>(*longest - *shortest);
      const bool right = grade.correctness == Correctness::kRight || no_gold;
      result.value = right ? lambda : std::min(0.0, lambda);
    }
  }

  Revision revision_;
};

}  // namespace

std::unique_ptr<Reward> make_length(const RewardOptions& options) { return std::make_unique<Length>(options.revision); }

}  // namespace r1::rewards

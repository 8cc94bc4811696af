// cosine: along half a cosine of the length; right answers lose, wrong ones gain or lose by the four end values.
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/strings.h"
#include "rewards/answer_grading.h"
#include "rewards/functions.h"

namespace r1::rewards {
namespace {

class Cosine final : public Reward {
 public:
  explicit Cosine(const RewardOptions& options)
      : Reward("cosine", {"solution"}),
        revision_(options.revision),
        // Short wrong answers are the worst, as the original's documentation says; its script's own default of 0 is the other way round.
        min_value_wrong_(options.cosine_min_value_wrong.value_or(is_r1(options.revision) ? -1.0 : 0.0)),
        max_value_wrong_(options.cosine_max_value_wrong.value_or(-0.5)),
        min_value_correct_(options.cosine_min_value_correct.value_or(0.5)),
        max_value_correct_(options.cosine_max_value_correct.value_or(1.0)),
        max_len_(options.cosine_max_len) {
    if (max_len_ <= 0) fail(ErrorKind::kUsage, "cosine_max_len must be above 0, found {}", max_len_);
  }

 protected:
  RewardResult score_one(const Completion& completion) const override {
    // The original never changed this function's gold rule: LaTeX only, compared the other way round.
    const Grade grade =
        grade_completion(completion.text, column_text(*completion.row, "solution"), revision_ != Revision::kR1, is_r1(revision_));
    if (grade.correctness == Correctness::kNoGold) return {is_r1(revision_) ? std::nullopt : std::optional(1.0), grade.status};
    double progress = static_cast<double>(count_code_points(completion.text)) / max_len_;
    if (is_r1(revision_) && progress > 1) progress = 1;
    const double cosine = std::cos(progress * std::numbers::pi);
    const bool right = grade.correctness == Correctness::kRight;
    const double shortest = right ? max_value_correct_ : min_value_wrong_, longest = right ? min_value_correct_ : max_value_wrong_;
    return {longest + 0.5 * (shortest - longest) * (1.0 + cosine), grade.status};
  }

  std::optional<std::string> preflight_columns(const Json& row) const override {
    const std::string solution = column_text(row, "solution");
    if (has_readable_gold(solution, revision_ != Revision::kR1)) return std::nullopt;
    return "no gold answer can be read in the column 'solution': " + solution.substr(0, 80);
  }

 private:
  Revision revision_;
  double min_value_wrong_, max_value_wrong_, min_value_correct_, max_value_correct_, max_len_;
};

}  // namespace

std::unique_ptr<Reward> make_cosine(const RewardOptions& options) { return std::make_unique<Cosine>(options); }

}  // namespace r1::rewards

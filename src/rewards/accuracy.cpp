// accuracy: 1 when the completion's answer equals the gold answer of the column `solution`, else 0.
#include "rewards/answer_grading.h"
#include "rewards/functions.h"

namespace r1::rewards {
namespace {

class Accuracy final : public Reward {
 public:
  explicit Accuracy(Revision revision) : Reward("accuracy", {"solution"}), revision_(revision) {}

 protected:
  RewardResult score_one(const Completion& completion) const override {
    const Grade grade = grade_completion(completion.text, column_text(*completion.row, "solution"), is_feb25(revision_), is_r1(revision_));
    // February's Open R1 gave the full reward where the gold could not be found.
    if (grade.correctness == Correctness::kNoGold) return {revision_ == Revision::kFeb25 ? std::optional(1.0) : std::nullopt, grade.status};
    return {grade.correctness == Correctness::kRight ? 1.0 : 0.0, grade.status};
  }

  std::optional<std::string> preflight_columns(const Json& row) const override {
    const std::string solution = column_text(row, "solution");
    if (has_readable_gold(solution, is_feb25(revision_))) return std::nullopt;
    return "no gold answer can be read in the column 'solution': " + solution.substr(0, 80);
  }

 private:
  Revision revision_;
};

}  // namespace

std::unique_ptr<Reward> make_accuracy(const RewardOptions& options) { return std::make_unique<Accuracy>(options.revision); }

}  // namespace r1::rewards

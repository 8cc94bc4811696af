// exact_answer: 1 when the text inside the last answer tags, without white space at its ends, is the column `answer`, else 0.
#include "base/json.h"
#include "rewards/functions.h"
#include "rewards/tagged_text.h"
#include "verify/text_scan.h"

namespace r1::rewards {
namespace {

class ExactAnswer final : public Reward {
 public:
  ExactAnswer() : Reward("exact_answer", {"answer"}) {}

 protected:
  RewardResult score_one(const Completion& completion) const override {
    const auto found = last_answer(completion.text);
    if (!found) return {0.0, RewardStatus::kAnswerUnparsed};
    const std::string answer = column_text(*completion.row, "answer");
    return {*found == verify::strip_spaces(answer) ? 1.0 : 0.0};
  }

  std::optional<std::string> preflight_columns(const Json& row) const override {
    if (verify::strip_spaces(column_text(row, "answer")).empty()) return "the column 'answer' is empty";
    return std::nullopt;
  }
};

}  // namespace

std::unique_ptr<Reward> make_exact_answer(const RewardOptions&) { return std::make_unique<ExactAnswer>(); }

}  // namespace r1::rewards

#include "rewards/answer_grading.h"

namespace r1::rewards {
namespace {

const verify::Profile& open_r1_profile() {
  static const verify::Profile profile = verify::profile_by_name("open_r1");
  return profile;
}

const verify::ExtractionOptions& gold_options(bool latex_only) {
  static const verify::ExtractionOptions any = open_r1_profile().gold;
  static const verify::ExtractionOptions latex = [] {
    verify::ExtractionOptions options = open_r1_profile().gold;
    options.expressions = false;
    return options;
  }();
  return latex_only ? latex : any;
}

bool is_missing(const verify::Answer& gold, bool must_be_readable) { return !gold.is_read() && (must_be_readable || gold.text.empty()); }

}  // namespace

Grade grade_completion(std::string_view text, std::string_view solution, bool latex_gold_only, bool needs_readable_gold) {
  const verify::Answer gold = verify::extract_answer(solution, gold_options(latex_gold_only));
  if (is_missing(gold, needs_readable_gold)) return {Correctness::kNoGold, RewardStatus::kGoldUnparsed};
  const verify::Answer answer = verify::extract_answer(text, open_r1_profile().prediction);
  const verify::Verdict verdict = latex_gold_only ? verify::compare_answers(answer, gold) : verify::compare_answers(gold, answer);
  switch (verdict.status) {
    case verify::Status::kEqual:
      return {Correctness::kRight, RewardStatus::kScored};
    case verify::Status::kDifferent:
      return {Correctness::kWrong, RewardStatus::kScored};
    case verify::Status::kUnparsed:
      return {Correctness::kWrong, RewardStatus::kAnswerUnparsed};
    case verify::Status::kOverBudget:
      return {Correctness::kWrong, RewardStatus::kOverBudget};
  }
  return {};
}

bool has_readable_gold(std::string_view solution, bool latex_gold_only) {
  return verify::extract_answer(solution, gold_options(latex_gold_only)).is_read();
}

}  // namespace r1::rewards

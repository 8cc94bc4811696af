#include "eval/grading.h"

#include "base/error.h"
#include "base/json.h"
#include "eval/statistics.h"
#include "rewards/registry.h"
#include "rewards/tagged_text.h"
#include "verify/text_scan.h"

namespace r1::eval {
namespace {

constexpr int kDecimals = 5;  // of lighteval's metric; the rewards have six
constexpr std::string_view kKindNames[] = {"latex", "expression", "math", "choice", "tagged", "countdown"};

verify::ExtractionOptions gold_options(AnswerKind kind) {
  verify::ExtractionOptions options;
  options.latex = kind == AnswerKind::kLatex || kind == AnswerKind::kMath;
  options.expressions = kind == AnswerKind::kExpression || kind == AnswerKind::kMath;
  options.choices = kind == AnswerKind::kChoice;
  return options;
}

verify::ExtractionOptions prediction_options(AnswerKind kind) {
  if (kind == AnswerKind::kChoice) return gold_options(kind);
  verify::ExtractionOptions options;
  options.boxed_priority = 0;
  return options;
}

/// Of an answer that was read, its normalised source; a letter as it is usually written.
std::string shown(const verify::Answer& answer) {
  if (!answer.choice.empty()) return {static_cast<char>(answer.choice[0] - 'a' + 'A')};
  return answer.text;
}

}  // namespace

std::span<const std::string_view> answer_kind_names() { return kKindNames; }
std::string_view answer_kind_name(AnswerKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

ProblemGrader::ProblemGrader(AnswerKind kind, std::string gold_text, const Json* columns)
    : kind_(kind), gold_text_(std::move(gold_text)), columns_(columns), prediction_options_(prediction_options(kind)) {
  if (kind_ == AnswerKind::kCountdown) {
    R1_ASSERT(columns_ != nullptr, "countdown needs the columns of its row");
    countdown_ = rewards::make_reward("countdown", {});
  } else if (kind_ != AnswerKind::kTagged) {
    gold_ = verify::extract_answer(gold_text_, gold_options(kind_));
    gold_was_found_ = gold_.is_read() || !gold_.text.empty();
    if (!gold_was_found_) gold_.text = gold_text_;
  }
}

ProblemGrader::~ProblemGrader() = default;

Grade ProblemGrader::grade(std::string_view completion) const {
  Grade grade;
  if (kind_ == AnswerKind::kTagged || kind_ == AnswerKind::kCountdown) {
    const auto answer = rewards::last_answer(completion);
    if (!answer) return grade;
    grade.extracted = *answer;
    if (kind_ == AnswerKind::kTagged) {
      grade.correct = *answer == verify::strip_spaces(gold_text_);
    } else {
      const rewards::Completion scored{.text = completion, .row = columns_};
      grade.correct = countdown_->score({&scored, 1}, nullptr).at(0).value == 1.0;
    }
    grade.status = grade.correct ? verify::Status::kEqual : verify::Status::kDifferent;
    return grade;
  }
  const verify::Answer answer = verify::extract_answer(completion, prediction_options_);
  grade.extracted = shown(answer);
  grade.status = verify::compare_answers(gold_, answer, /*strict=*/false, kDecimals).status;
  grade.correct = grade.status == verify::Status::kEqual;
  return grade;
}

std::vector<int> ProblemGrader::vote_classes(std::span<const std::string> completions) const {
  const auto count = static_cast<int>(completions.size());
  const auto at = [](auto& list, int i) -> auto& { return list[static_cast<std::size_t>(i)]; };
  if (is_math() || kind_ == AnswerKind::kChoice) {
    std::vector<verify::Answer> answers;
    for (const std::string& completion : completions) answers.push_back(verify::extract_answer(completion, prediction_options_));
    return classes_of(
        count, [&](int i) { return at(answers, i).is_read() || !at(answers, i).text.empty(); },
        [&](int a, int b) { return verify::compare_answers(at(answers, a), at(answers, b), /*strict=*/false, kDecimals).correct(); });
  }
  std::vector<std::optional<std::string_view>> answers;
  for (const std::string& completion : completions) answers.push_back(rewards::last_answer(completion));
  return classes_of(
      count, [&](int i) { return at(answers, i).has_value(); }, [&](int a, int b) { return at(answers, a) == at(answers, b); });
}

}  // namespace r1::eval

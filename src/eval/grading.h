// How an answer of a benchmark is looked for and compared.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rewards/reward.h"
#include "verify/verify.h"

namespace r1::eval {

/// What the gold answer is. Predictions of the first three kinds are LaTeX or plain expressions, boxes first.
enum class AnswerKind {
  kLatex,       // gold: a text with LaTeX in it, such as a whole solution (math_500)
  kExpression,  // gold: a plain number or expression (aime24)
  kMath,        // gold: either
  kChoice,      // letters A to D on both sides
  kTagged,      // the text in the last answer tags, equal to the gold as it stands
  kCountdown,   // an expression in the last answer tags that reaches the column target with the column nums
};
/// latex, expression, math, choice, tagged, countdown.
std::span<const std::string_view> answer_kind_names();
std::string_view answer_kind_name(AnswerKind kind);

/// The verdict on one sample.
struct Grade {
  bool correct = false;
  verify::Status status = verify::Status::kUnparsed;
  std::string extracted;  // the answer as text; empty: none was found
};

/// The answers of one problem. Not thread-safe.
class ProblemGrader {
 public:
  /// gold_text stands for itself where no answer of its kind can be found in it (gold_was_found() is then false). columns: the row, for
  /// kCountdown; must outlive the grader.
  ProblemGrader(AnswerKind kind, std::string gold_text, const Json* columns = nullptr);
  ~ProblemGrader();

  bool gold_was_found() const { return gold_was_found_; }
  /// Never throws for anything that a model writes.
  Grade grade(std::string_view completion) const;
  /// Class of each completion's answer for the majority vote: the index of the first completion with an equal answer, −1 for none.
  std::vector<int> vote_classes(std::span<const std::string> completions) const;

 private:
  bool is_math() const { return kind_ == AnswerKind::kLatex || kind_ == AnswerKind::kExpression || kind_ == AnswerKind::kMath; }

  AnswerKind kind_;
  std::string gold_text_;
  const Json* columns_;
  verify::Answer gold_;
  bool gold_was_found_ = true;
  verify::ExtractionOptions prediction_options_;
  std::unique_ptr<rewards::Reward> countdown_;
};

}  // namespace r1::eval

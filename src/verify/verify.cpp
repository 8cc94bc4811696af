#include "verify/verify.h"

#include "base/error.h"
#include "verify/budget.h"
#include "verify/equivalence.h"
#include "verify/text_scan.h"

namespace r1::verify {

std::string_view status_name(Status status) {
  switch (status) {
    case Status::kEqual:
      return "equal";
    case Status::kDifferent:
      return "different";
    case Status::kUnparsed:
      return "unparsed";
    case Status::kOverBudget:
      return "over_budget";
  }
  return "";
}

Profile profile_by_name(std::string_view name, bool strict) {
  Profile profile;
  profile.strict = strict;
  if (name == "open_r1") {
    profile.gold.first_match_only = true;
    profile.prediction.first_match_only = true;
    profile.prediction.expressions = false;
    profile.prediction.latex_without_anchor = false;
    profile.prediction.boxed_priority = 0;
    profile.prediction.normalise.last_equation = true;
    profile.prediction.normalise.nits = false;
    profile.prediction.normalise.malformed_operators = false;
  } else if (name == "latex" || name == "expr" || name == "choice") {
    profile.gold.latex = name == "latex";
    profile.gold.expressions = name == "expr";
    profile.gold.choices = name == "choice";
    profile.prediction = profile.gold;
  } else if (name != "default") {
    fail(ErrorKind::kUsage, "unknown answer profile '{}': expected default, open_r1, latex, expr or choice", name);
  }
  profile.gold.normalise.strict = profile.prediction.normalise.strict = strict;
  return profile;
}

Verdict compare_answers(const Answer& gold, const Answer& prediction, bool strict, std::optional<int> decimals) {
  if (!gold.choice.empty() || !prediction.choice.empty()) {
    if (gold.is_read() && prediction.is_read()) return {gold.choice == prediction.choice ? Status::kEqual : Status::kDifferent};
  } else if (gold.expression && prediction.expression) {
    try {
      Budget budget(kCompareSteps);
      if (Comparator({strict, decimals.value_or(kRoundedDecimals)}, budget).equal(gold.expression, prediction.expression))
        return {Status::kEqual};
    } catch (const OverBudget&) {
      if (gold.text.empty() || gold.text != prediction.text) return {Status::kOverBudget};
    }
  }
  const std::string_view gold_text = strip_spaces(gold.text), prediction_text = strip_spaces(prediction.text);
  if (!gold_text.empty() && gold_text == prediction_text) return {Status::kEqual};
  if (gold.over_budget || prediction.over_budget) return {Status::kOverBudget};
  return {gold.is_read() && prediction.is_read() ? Status::kDifferent : Status::kUnparsed};
}

Verdict verify(std::string_view gold, std::string_view prediction, const Profile& profile) {
  return compare_answers(extract_answer(gold, profile.gold), extract_answer(prediction, profile.prediction), profile.strict);
}

std::vector<std::string> describe(const Answer& answer) {
  std::vector<std::string> parts;
  if (answer.expression) parts.push_back(to_text(answer.expression));
  if (!answer.choice.empty()) parts.push_back(answer.choice);
  if (!answer.text.empty()) parts.push_back(answer.text);
  return parts;
}

}  // namespace r1::verify

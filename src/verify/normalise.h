// The text of an answer, brought into the form that the LaTeX parser reads: boxes opened, units and decoration dropped.
#pragma once

#include <string>
#include <string_view>

namespace r1::verify {

enum class BoxMode {
  kAll,   // the contents of every box, joined by commas
  kLast,  // the last box, and those right before it that belong to the same answer
};

struct NormaliseOptions {
  BoxMode boxes = BoxMode::kAll;
  bool last_equation = false;       // of a chain of at least two equal signs only what stands behind the last
  bool nits = true;                 // a leading point; 0.5 as a fraction
  bool strict = false;              // single letters are no units
  bool malformed_operators = true;  // \frac12, \sqrt3, x^(2), 1/2
};

/// The contents of \boxed{…} and \fbox{…}, found from the right; the whole text when there is no box. An unclosed last box runs to the end.
std::string open_boxes(std::string_view text, BoxMode mode);

/// All steps in their order. Throws OverBudget when the answer without its box is longer than kMaxTextBytes or has a run of more than
/// kMaxBlankRun blanks.
std::string normalise_latex(std::string_view text, const NormaliseOptions& options);

/// Drops a trailing \text{…} and a trailing unit word ("cm", "degrees", "m" …) behind a digit, a brace or a blank.
/// strict: units of a single letter stay.
std::string drop_units(std::string text, bool strict);

/// Puts the braces back that \frac12, \frac{1}2, \sqrt3, \log_28, x^(2) and sqrt(2) leave out; exactly "a/b" becomes a fraction.
std::string fix_malformed_operators(std::string text);

/// What stands behind the last "=" of a chain with at least two; the text itself otherwise, and when it holds a list.
std::string_view last_equation_part(std::string_view text);

}  // namespace r1::verify

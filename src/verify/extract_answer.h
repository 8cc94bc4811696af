// The answer of a text: the candidates in order of priority, the first that can be read.
#pragma once

#include <string>
#include <string_view>

#include "verify/expression.h"
#include "verify/normalise.h"

namespace r1::verify {

struct ExtractionOptions {
  bool latex = true;
  bool expressions = true;
  bool choices = false;              // the letters A to D
  bool latex_without_anchor = true;  // any math environment, not only those behind "answer" and boxes
  int boxed_priority = 50;           // 0: before everything else
  bool first_match_only = false;     // stop at the first match even when it cannot be read
  NormaliseOptions normalise;
};

/// What was found. Both parts may be missing: nothing matched. A text without an expression was matched but could not be read.
struct Answer {
  Expression expression;     // null when nothing could be read
  std::string text;          // of the first match, normalised
  std::string choice;        // the letter in lower case, instead of an expression
  bool over_budget = false;  // something was too long or too deep, and nothing was read

  bool is_read() const { return expression != nullptr || !choice.empty(); }
};

/// Linear in the text, whatever it holds; never throws. Thread-safe.
Answer extract_answer(std::string_view text, const ExtractionOptions& options);

}  // namespace r1::verify

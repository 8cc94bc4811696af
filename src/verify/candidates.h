// Where an answer may stand in a text: boxes and math environments, plain numbers and expressions, letters.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace r1::verify {

enum class Target { kLatex, kExpression, kChoice };

/// One math environment of a match.
struct LatexPiece {
  std::string_view content;
  bool bare_box = false;  // content starts at \boxed and goes on to the last brace of the text
  bool percent = false;   // a percent sign or word follows
};

/// One match; begin and end are offsets into the searched text.
struct Candidate {
  std::size_t begin = 0, end = 0;
  Target target = Target::kLatex;
  std::vector<LatexPiece> pieces;     // kLatex: up to six environments joined by commas, "and" or "or"
  std::string_view expression;        // kExpression: an arithmetic expression, or
  std::string_view integer, decimal;  // a number in two parts
  bool percent = false;
  char letter = 0;  // kChoice
};

/// All matches of one priority (0, 50, 100, 200, 250, 300; the table stands in docs/verification.md), in the order of the text for
/// each pattern. `boxed_priority` says where boxes belong.
void find_latex(std::string_view text, int priority, int boxed_priority, bool without_anchor, std::vector<Candidate>& found);
void find_expressions(std::string_view text, int priority, std::vector<Candidate>& found);
void find_choices(std::string_view text, int priority, std::vector<Candidate>& found);

/// Offsets of `lower_case` in any case of letters.
std::size_t find_ignoring_case(std::string_view text, std::string_view lower_case, std::size_t from);

}  // namespace r1::verify

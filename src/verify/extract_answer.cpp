#include "verify/extract_answer.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "verify/budget.h"
#include "verify/candidates.h"
#include "verify/latex_parser.h"
#include "verify/text_scan.h"

namespace r1::verify {
namespace {

constexpr int kPriorities[] = {0, 50, 100, 200, 250, 300};
constexpr std::size_t kMaxTried = 100;         // candidates of one text that are read
constexpr std::size_t kMaxTriedBytes = 40000;  // their length in total

struct Reading {
  Expression expression;
  std::string text;
  std::string choice;
};

Expression read_latex(const std::string& text, bool keep_bases) {
  if (Expression whole = parse_latex(text, keep_bases)) return whole;
  const std::string_view last = last_equation_part(text);
  return last.size() == text.size() ? nullptr : parse_latex(last, keep_bases);
}

Reading read_environments(const Candidate& candidate, const ExtractionOptions& options) {
  std::vector<Expression> expressions;
  std::vector<std::string> texts;
  for (const LatexPiece& piece : candidate.pieces) {
    NormaliseOptions normalise = options.normalise;
    if (piece.bare_box) normalise.boxes = BoxMode::kLast;
    texts.push_back(normalise_latex(piece.content, normalise));
    Expression expression = read_latex(texts.back(), options.normalise.strict);
    if (expression && piece.percent) expression = make(Kind::kPercent, {expression});
    expressions.push_back(std::move(expression));
  }
  const bool all_read = std::all_of(expressions.begin(), expressions.end(), [](const Expression& e) { return e != nullptr; });
  if (expressions.size() == 1 || !all_read) return {expressions[0], texts[0], {}};
  std::vector<Expression> elements;
  std::string joined;
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    if (is(expressions[i], Kind::kFiniteSet))
      elements.insert(elements.end(), expressions[i]->arguments.begin(), expressions[i]->arguments.end());
    else elements.push_back(expressions[i]);
    joined += (i > 0 ? " and " : "") + texts[i];
  }
  return {make_finite_set(elements), joined, {}};
}

Reading read_number(const Candidate& candidate) {
  std::string digits;
  for (const char c : candidate.integer)
    if (c != ',' && c != ' ') digits.push_back(c);
  const std::size_t first = digits.find_first_not_of('0');
  digits.erase(0, first == std::string::npos ? digits.size() : first);
  if (digits.empty()) digits = "0";
  for (const char c : candidate.decimal) digits.push_back(c == ',' ? '.' : c);
  if (digits.size() > static_cast<std::size_t>(kMaxNumberDigits)) throw OverBudget{};
  const bool negative = digits.front() == '-';
  Rational value = Rational::from_decimal(std::string_view(digits).substr(negative ? 1 : 0));
  Expression number = make_number(negative ? -value : value, !candidate.decimal.empty());
  if (candidate.percent) number = make(Kind::kPercent, {number});
  return {number, digits, {}};
}

Reading read(const Candidate& candidate, const ExtractionOptions& options) {
  if (candidate.target == Target::kChoice)
    return {nullptr, std::string(1, candidate.letter), std::string(1, static_cast<char>(candidate.letter | 0x20))};
  if (candidate.target == Target::kLatex) return read_environments(candidate, options);
  if (candidate.expression.empty()) return read_number(candidate);
  Reading reading;
  reading.text = std::string(candidate.expression);
  reading.expression = parse_plain_expression(candidate.expression);
  return reading;
}

}  // namespace

Answer extract_answer(std::string_view text, const ExtractionOptions& options) {
  Answer answer;
  bool matched = false, has_text = false, gave_up = false;
  std::size_t num_tried = 0, num_bytes = 0;
  std::vector<Candidate> candidates;
  for (const int priority : kPriorities) {
    candidates.clear();
    if (options.latex) find_latex(text, priority, options.boxed_priority, options.latex_without_anchor, candidates);
    if (options.expressions) find_expressions(text, priority, candidates);
    if (options.choices) find_choices(text, priority, candidates);
    // The match that ends last, and of those the longest, is the most likely answer.
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.end != b.end ? a.end > b.end : a.begin < b.begin; });
    for (const Candidate& candidate : candidates) {
      for (const LatexPiece& piece : candidate.pieces) num_bytes += std::min(piece.content.size(), static_cast<std::size_t>(kMaxTextBytes));
      num_bytes += std::min(candidate.expression.size(), static_cast<std::size_t>(kMaxTextBytes));
      matched = true;
      try {
        if (++num_tried > kMaxTried || num_bytes > kMaxTriedBytes) throw OverBudget{};
        Reading reading = read(candidate, options);
        if (!has_text && !reading.text.empty()) {
          answer.text = std::move(reading.text);
          has_text = true;
        }
        answer.expression = std::move(reading.expression);
        answer.choice = std::move(reading.choice);
      } catch (const OverBudget&) {
        gave_up = true;
      }
      if (answer.is_read() || options.first_match_only || num_tried > kMaxTried || num_bytes > kMaxTriedBytes) break;
    }
    if (answer.is_read() || (matched && options.first_match_only) || num_tried > kMaxTried || num_bytes > kMaxTriedBytes) break;
  }
  answer.over_budget = gave_up && !answer.is_read();
  return answer;
}

}  // namespace r1::verify

#include "verify/latex_parser.h"

#include <algorithm>
#include <utility>

#include "verify/latex_parser_state.h"

namespace r1::verify {
namespace {

using enum TokenKind;

bool is_opener(TokenKind kind) {
  return kind == kLeftParen || kind == kLeftBracket || kind == kLeftBrace || kind == kLeftBraceVisual || kind == kLeftParenVisual ||
         kind == kLeftGroup || kind == kLeftBrack || kind == kLeftBraceCommand;
}

bool is_closer(TokenKind kind) {
  return kind == kRightParen || kind == kRightBracket || kind == kRightBrace || kind == kRightBraceVisual || kind == kRightParenVisual ||
         kind == kRightGroup || kind == kRightBrack || kind == kRightBraceCommand;
}

/// What may stand behind an element of a list.
bool ends_element(TokenKind kind) { return kind == kEnd || kind == kComma || kind == kSemicolon || is_closer(kind); }

/// "1,234", "-12,345.67": digits in groups of three.
bool is_number_with_commas(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  if (!text.empty() && text.front() == '-') text.remove_prefix(1);
  const auto take_digits = [&](std::size_t limit) {
    std::size_t count = 0;
    while (count < limit && count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
    text.remove_prefix(count);
    return count;
  };
  if (take_digits(3) == 0) return false;
  int groups = 0;
  while (!text.empty() && text.front() == ',') {
    text.remove_prefix(1);
    if (take_digits(3) != 3) return false;
    ++groups;
  }
  if (groups == 0) return false;
  if (text.empty()) return true;
  if (text.front() != '.') return false;
  text.remove_prefix(1);
  return take_digits(text.size()) > 0 && text.empty();
}

Expression number_with_commas(std::string_view text) {
  std::string digits;
  bool negative = false, decimal = false;
  const bool comma_is_point = !text.empty() && text.front() == '0';
  for (const char c : text) {
    if (c == '-') negative = true;
    if (c == '.' || (c == ',' && comma_is_point)) {
      if (!decimal) digits.push_back('.');
      decimal = true;
    }
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  Rational value = Rational::from_decimal(digits);
  return make_number(negative ? -value : value, decimal);
}

Expression set_of_groups(const std::vector<std::vector<Expression>>& groups) {
  if (groups.size() == 1) return groups[0].size() == 1 ? groups[0][0] : make_finite_set(groups[0]);
  const bool single = std::all_of(groups.begin(), groups.end(), [](const auto& group) { return group.size() == 1; });
  std::vector<Expression> elements;
  for (const auto& group : groups) elements.push_back(single ? group[0] : make(Kind::kTuple, group));
  return make_finite_set(elements);
}

std::vector<Expression> flattened(const std::vector<std::vector<Expression>>& groups) {
  std::vector<Expression> elements;
  for (const auto& group : groups) elements.insert(elements.end(), group.begin(), group.end());
  return elements;
}

/// A pair inside a union can only be meant as a set of points.
Expression as_set(const Expression& expression) {
  return is(expression, Kind::kTuple) ? make_finite_set(expression->arguments) : expression;
}

}  // namespace

Expression parse_latex(std::string_view text, bool keep_bases) {
  if (text.size() > static_cast<std::size_t>(kMaxTextBytes)) throw OverBudget{};
  auto tokens = lex_latex(text);
  if (!tokens) return nullptr;
  return LatexParser(std::move(*tokens), keep_bases).parse(text);
}

LatexParser::LatexParser(std::vector<Token> tokens, bool keep_bases)
    : tokens_(std::move(tokens)), closer_(tokens_.size(), -1), has_comma_(tokens_.size(), false), keep_bases_(keep_bases) {
  std::vector<int> open;
  for (int i = 0; i < static_cast<int>(tokens_.size()); ++i) {
    if (is_opener(tokens_[i].kind)) open.push_back(i);
    if (tokens_[i].kind == kComma && !open.empty()) has_comma_[open.back()] = true;
    if (is_closer(tokens_[i].kind) && !open.empty()) {
      closer_[open.back()] = i;
      open.pop_back();
    }
  }
}

Expression LatexParser::parse(std::string_view text) {
  if (Expression result = parse_assigned_list()) return result;
  if (Expression result = parse_elements_to_end(text)) return result;
  position_ = 0;
  if (Expression result = parse_set_relation(); result && peek() == kEnd) return result;
  return nullptr;
}

// x = 1, 2, 3: the whole list is what x equals. (a = 1, b = 2 is a list of equations.)
Expression LatexParser::parse_assigned_list() {
  position_ = 0;
  Expression left = parse_symbol_list();
  if (!left || !(accept(kIn) || accept(kAssign))) return nullptr;
  std::vector<List> groups;
  if (!parse_semicolon_elements(/*with_relations=*/false, groups) || peek() != kEnd) return nullptr;
  return make_relation(RelationKind::kEqual, left, set_of_groups(groups));
}

Expression LatexParser::parse_elements_to_end(std::string_view text) {
  position_ = 0;
  std::vector<List> groups;
  if (!parse_semicolon_elements(/*with_relations=*/true, groups) || peek() != kEnd) return nullptr;
  if (is_number_with_commas(text)) return number_with_commas(text);
  return set_of_groups(groups);
}

Expression LatexParser::parse_set_relation() {
  const DepthGuard guard(*this);
  const std::size_t begin = position_;
  if (Expression left = parse_symbol_list(); left && (accept(kIn) || accept(kAssign))) {
    if (Expression right = parse_set_relation()) return make_relation(RelationKind::kEqual, left, right);
  }
  position_ = begin;
  return parse_set_difference();
}

bool LatexParser::parse_semicolon_elements(bool with_relations, std::vector<List>& groups) {
  const DepthGuard guard(*this);
  do {
    List elements;
    do {
      if (!parse_element(with_relations, elements)) return false;
    } while (accept(kComma));
    groups.push_back(std::move(elements));
  } while (accept(kSemicolon));
  return true;
}

bool LatexParser::parse_element(bool with_relations, List& elements) {
  budget_.spend();
  const std::size_t begin = position_;
  if (accept(kPlusMinus)) {
    Expression amount = parse_expression();
    if (!amount) return false;
    elements.push_back(make_negative(amount));
    elements.push_back(amount);
    return true;
  }
  // A bracket that closes right before the end of the element is a set, an interval or a tuple rather than a factor.
  const int closer = is_opener(peek()) ? closer_[begin] : peek() == kBoxed && is_opener(peek(1)) ? closer_[begin + 1] : -1;
  const bool bracketed = (closer >= 0 && ends_element(tokens_[closer + 1].kind)) || peek() == kNamedSet || peek() == kEmptySet;
  if (bracketed) {
    if (Expression set = parse_set_atom(); set && ends_element(peek())) {
      elements.push_back(std::move(set));
      return true;
    }
    position_ = begin;
  }
  Expression left = parse_expression();
  if (!left) return false;
  if (accept(kPlusMinus)) {
    Expression right = parse_expression();
    if (!right) return false;
    elements.push_back(make_sum(left, right));
    elements.push_back(make_sum(left, make_negative(right)));
    return true;
  }
  if (with_relations && !ends_element(peek())) {
    position_ = begin;
    left = parse_relation();
    if (!left) return false;
  }
  elements.push_back(std::move(left));
  return true;
}

Expression LatexParser::parse_relation() {
  Expression left = parse_expression();
  while (left) {
    const TokenKind kind = peek();
    RelationKind relation = RelationKind::kEqual;
    switch (kind) {
      case kAssign:
      case kEqual:
      case kApproximately:
        break;
      case kNotEqual:
        relation = RelationKind::kNotEqual;
        break;
      case kLess:
        relation = RelationKind::kLess;
        break;
      case kLessEqual:
        relation = RelationKind::kLessEqual;
        break;
      case kGreater:
        relation = RelationKind::kGreater;
        break;
      case kGreaterEqual:
        relation = RelationKind::kGreaterEqual;
        break;
      default:
        return left;
    }
    ++position_;
    Expression right = parse_expression();
    if (!right) return nullptr;
    if (kind == kApproximately) left = has_only_symbols(left) ? right : left;  // an approximation of a value is dropped
    else left = make_chain(relation, left, right);
  }
  return left;
}

Expression LatexParser::parse_set_atom() {
  const DepthGuard guard(*this);
  budget_.spend();
  const std::size_t begin = position_;
  switch (peek()) {
    case kEmptySet:
      ++position_;
      return make_leaf(Kind::kEmptySet);
    case kNamedSet: {
      const std::string_view symbol = text();
      ++position_;
      const auto either = [&](std::string_view a, std::string_view b) { return symbol == a || symbol == b; };
      const char* name = either("\\mathbb{N}", "ℕ")   ? "Naturals"
                         : either("\\mathbb{Z}", "ℤ") ? "Integers"
                         : either("\\mathbb{Q}", "ℚ") ? "Rationals"
                         : either("\\mathbb{R}", "ℝ") ? "Reals"
                                                      : "Complexes";
      return make_named(Kind::kNamedSet, name, {});
    }
    case kLeftParen:
    case kLeftBracket:
    case kLeftParenVisual:
    case kLeftBrack:
    case kLeftGroup: {
      if (has_comma_[begin]) {
        if (Expression interval = parse_interval()) return interval;
        position_ = begin;
      }
      const TokenKind close = peek() == kLeftParen ? kRightParen : peek() == kLeftBracket ? kRightBracket : kRightParenVisual;
      if (peek() == kLeftBrack || peek() == kLeftGroup) return nullptr;
      ++position_;
      std::vector<List> groups;
      if (!parse_semicolon_elements(/*with_relations=*/true, groups) || !accept(close)) return nullptr;
      if (groups.size() == 1 && groups[0].size() == 1) return groups[0][0];
      return make(Kind::kTuple, flattened(groups));
    }
    case kLeftBrace:
    case kLeftBraceVisual: {
      const TokenKind close = peek() == kLeftBrace ? kRightBrace : kRightBraceVisual;
      ++position_;
      if (accept(close)) return make_leaf(Kind::kEmptySet);
      std::vector<List> groups;
      if (!parse_semicolon_elements(/*with_relations=*/true, groups) || !accept(close)) return nullptr;
      return make_finite_set(flattened(groups));
    }
    case kBoxed: {
      ++position_;
      std::vector<List> groups;
      if (!accept(kLeftBrace) || !parse_semicolon_elements(/*with_relations=*/true, groups) || !accept(kRightBrace)) return nullptr;
      return set_of_groups(groups);
    }
    default:
      return nullptr;
  }
}

Expression LatexParser::parse_interval() {
  const TokenKind open = peek();
  ++position_;
  Expression first = parse_expression();
  if (!first || !accept(kComma)) return nullptr;
  Expression last = parse_expression();
  if (!last) return nullptr;
  const TokenKind close = peek();
  if (close != kRightBracket && close != kRightParen && close != kRightParenVisual && close != kRightBrack && close != kRightGroup)
    return nullptr;
  ++position_;
  return make_interval(std::move(first), std::move(last), open == kLeftParen || open == kLeftGroup || open == kLeftParenVisual,
                       close == kRightParen || close == kRightGroup || close == kRightParenVisual);
}

Expression LatexParser::parse_set_difference() {
  Expression left = parse_set_union();
  while (left && accept(kSetMinus)) {
    Expression right = parse_set_union();
    if (!right) return nullptr;
    left = make(Kind::kComplement, {left, right});
  }
  return left;
}

Expression LatexParser::parse_set_union() {
  Expression left = parse_set_intersection();
  while (left && accept(kUnion)) {
    Expression right = parse_set_intersection();
    if (!right) return nullptr;
    std::vector<Expression> parts = is(left, Kind::kUnion) ? left->arguments : List{as_set(left)};
    parts.push_back(as_set(right));
    left = make(Kind::kUnion, std::move(parts));
  }
  return left;
}

Expression LatexParser::parse_set_intersection() {
  Expression left = parse_set_group();
  while (left && accept(kIntersection)) {
    Expression right = parse_set_group();
    if (!right) return nullptr;
    left = make(Kind::kIntersection, {as_set(left), as_set(right)});
  }
  return left;
}

Expression LatexParser::parse_set_group() {
  const DepthGuard guard(*this);
  budget_.spend();
  const std::size_t begin = position_;
  if (peek() == kLeftParen && !has_comma_[begin]) {
    ++position_;
    if (Expression inner = parse_set_difference(); inner && accept(kRightParen)) return inner;
    position_ = begin;
  }
  return parse_set_atom();
}

// x, or (x, y): what may stand on the left of "=" and "in" before a list.
Expression LatexParser::parse_symbol_list() {
  if (peek() != kLeftParen) return parse_symbol(/*with_superscript=*/true);
  ++position_;
  List symbols;
  do {
    Expression symbol = parse_symbol(/*with_superscript=*/true);
    if (!symbol) return nullptr;
    symbols.push_back(std::move(symbol));
  } while (accept(kComma));
  if (!accept(kRightParen)) return nullptr;
  return symbols.size() == 1 ? symbols[0] : make(Kind::kTuple, std::move(symbols));
}

}  // namespace r1::verify

// The parser's functions: sin, log, sqrt, gcd, sums, limits, integrals, matrices.
#include <algorithm>
#include <string>
#include <utility>

#include "verify/latex_parser_state.h"

namespace r1::verify {
namespace {

using enum TokenKind;

/// arcsin → asin, arcsinh and arsinh → asinh.
std::string inverse_name(std::string name) {
  if (name.starts_with("arc")) return "a" + name.substr(3);
  if (name.starts_with("ar") && name.ends_with('h')) return "a" + name.substr(2);
  return name;
}

bool is_minus_one(const Expression& expression) { return is_integer(expression) && expression->value == Rational(-1); }

constexpr int kMaxDeterminant = 6;

Expression minor(const Expression& matrix, int skipped_column) {
  std::vector<Expression> entries;
  for (int row = 1; row < matrix->rows; ++row)
    for (int column = 0; column < matrix->columns; ++column)
      if (column != skipped_column) entries.push_back(matrix->arguments[row * matrix->columns + column]);
  return make_matrix(matrix->rows - 1, matrix->columns - 1, std::move(entries));
}

}  // namespace

Expression determinant(const Expression& matrix) {
  if (!is(matrix, Kind::kMatrix) || matrix->rows != matrix->columns) return nullptr;
  if (matrix->rows > kMaxDeterminant) throw OverBudget{};
  if (matrix->rows == 1) return matrix->arguments[0];
  Expression sum;
  for (int column = 0; column < matrix->columns; ++column) {
    Expression term = make_product(matrix->arguments[column], determinant(minor(matrix, column)));
    if (column % 2 == 1) term = make_negative(term);
    sum = sum ? make_sum(sum, term) : term;
  }
  return sum;
}

Expression norm(const Expression& matrix) {
  if (!is(matrix, Kind::kMatrix)) return nullptr;
  std::vector<Expression> squares;
  for (const Expression& entry : matrix->arguments)
    squares.push_back(make(Kind::kPower, {make_function("abs", {entry}), make_number(Rational(2))}));
  return make(Kind::kPower, {make(Kind::kAdd, std::move(squares)), make_number(Rational(1, 2))});
}

Expression LatexParser::parse_argument() {
  if (peek() == kLeftParen) {
    const std::size_t begin = position_;
    if (Expression inner = parse_bracketed(kRightParen)) return inner;
    position_ = begin;
  }
  const DepthGuard guard(*this);
  return parse_term(/*functions_inside=*/false);
}

Expression LatexParser::parse_function() {
  const DepthGuard guard(*this);
  const TokenKind kind = peek();
  const std::string_view token = text();
  ++position_;
  switch (kind) {
    case kEulerE: {
      Expression exponent = peek() == kCaret ? parse_superscript() : make_number(Rational(1));
      if (!exponent) return nullptr;
      if (is_integer(exponent) && exponent->value == Rational(1)) return make_leaf(Kind::kEuler);
      return make_function("exp", {exponent});
    }
    case kFunction:
      return parse_named_function(std::string(token.substr(1)));
    case kGamma:
      return parse_named_function("gamma");
    case kMultiFunction:
      return parse_multi_function(std::string(token.substr(1)));
    case kOperatorName: {
      if (!accept(kLeftBrace) || peek() != kReservedWord) return nullptr;
      const std::string name(text());
      ++position_;
      if (!accept(kRightBrace)) return nullptr;
      if (name == "gcd" || name == "lcm") return parse_multi_function(name);
      return parse_named_function(name);
    }
    case kSquareRoot: {
      Expression degree;
      if (peek() == kLeftBracket) {
        degree = parse_bracketed(kRightBracket);
        if (!degree) return nullptr;
      }
      Expression radicand = peek() == kLeftBrace ? parse_bracketed(kRightBrace) : nullptr;
      if (!radicand) return nullptr;
      if (!degree) return make(Kind::kPower, {radicand, make_number(Rational(1, 2))});
      return make(Kind::kPower, {radicand, make_quotient(make_number(Rational(1)), degree)});
    }
    case kSum:
      return parse_sum(/*product=*/false);
    case kProduct:
      return parse_sum(/*product=*/true);
    case kLimit:
      return parse_limit();
    case kIntegral:
      return parse_integral();
    default:
      return nullptr;
  }
}

Expression LatexParser::parse_named_function(std::string name) {
  Expression base, exponent;
  for (int part = 0; part < 2; ++part) {
    if (!base && peek() == kUnderscore) {
      ++position_;
      base = peek() == kLeftBrace ? parse_bracketed(kRightBrace) : parse_atom();
      if (!base) return nullptr;
    } else if (!exponent && peek() == kCaret) {
      exponent = parse_superscript();
      if (!exponent) return nullptr;
    }
  }
  Expression argument = parse_argument();
  if (!argument) return nullptr;
  name = inverse_name(std::move(name));
  Expression value;
  if (name == "log" || name == "ln") {
    if (!base) base = name == "ln" ? make_leaf(Kind::kEuler) : make_number(Rational(10));
    value = make_function("log", {argument, base});
  } else if (name == "det") {
    value = determinant(argument);
  } else if (name == "norm") {
    value = norm(argument);
  } else if (is(argument, Kind::kMatrix)) {
    return nullptr;
  } else {
    const bool trigonometric = name.size() == 3 || (name.size() == 4 && name.back() == 'h');
    if (exponent && trigonometric && name != "exp" && is_minus_one(exponent)) {
      name = "a" + name;
      exponent = nullptr;
    }
    value = make_function(std::move(name), {argument});
  }
  if (!value) return nullptr;
  return exponent ? make(Kind::kPower, {value, exponent}) : value;
}

Expression LatexParser::parse_multi_function(std::string name) {
  Expression exponent;
  if (peek() == kUnderscore) {
    std::string ignored;
    if (!parse_subscript(ignored)) return nullptr;
  }
  if (peek() == kCaret) {
    exponent = parse_superscript();
    if (!exponent) return nullptr;
  }
  if (!accept(kLeftParen)) return nullptr;
  List arguments;
  do {
    Expression argument = parse_expression();
    if (!argument) return nullptr;
    arguments.push_back(std::move(argument));
  } while (accept(kComma));
  if (!accept(kRightParen)) return nullptr;
  Expression value = make_function(std::move(name), std::move(arguments));
  return exponent ? make(Kind::kPower, {value, exponent}) : value;
}

// \sum_{k=1}^{n} term, in either order of the two limits.
Expression LatexParser::parse_sum(bool product) {
  Expression variable, first, last;
  for (int part = 0; part < 2; ++part) {
    if (!variable && peek() == kUnderscore && peek(1) == kLeftBrace) {
      position_ += 2;
      variable = parse_expression();
      if (!variable || !(accept(kAssign) || accept(kEqual))) return nullptr;
      first = parse_expression();
      if (!first || !accept(kRightBrace)) return nullptr;
    } else if (!last && peek() == kCaret) {
      last = parse_superscript();
      if (!last) return nullptr;
    }
  }
  if (!variable || !last || !is(variable, Kind::kSymbol)) return nullptr;
  Expression body = parse_term(/*functions_inside=*/true);
  if (!body) return nullptr;
  return make(product ? Kind::kProduct : Kind::kSum, {body, variable, first, last});
}

Expression LatexParser::parse_limit() {
  if (!accept(kUnderscore) || !accept(kLeftBrace)) return nullptr;
  Expression variable = parse_symbol(/*with_superscript=*/false);
  if (!variable || !accept(kApproaches)) return nullptr;
  Expression target = parse_expression();
  if (!target) return nullptr;
  std::string side = "limit";
  if (accept(kCaret)) {
    if (!accept(kLeftBrace)) return nullptr;
    if (accept(kMinus)) side = "limit from below";
    else if (!accept(kPlus)) return nullptr;
    if (!accept(kRightBrace)) return nullptr;
  }
  if (!accept(kRightBrace)) return nullptr;
  Expression body = parse_term(/*functions_inside=*/true);
  if (!body) return nullptr;
  return make_named(Kind::kOpaque, side, {body, variable, target});
}

Expression LatexParser::parse_integral() {
  List parts;
  for (int part = 0; part < 2; ++part) {
    if (peek() == kUnderscore) {
      ++position_;
      parts.push_back(peek() == kLeftBrace ? parse_bracketed(kRightBrace) : parse_atom());
      if (!parts.back()) return nullptr;
    } else if (peek() == kCaret) {
      parts.push_back(parse_superscript());
      if (!parts.back()) return nullptr;
    }
  }
  Expression body = parse_expression();
  if (!body) return nullptr;
  parts.push_back(std::move(body));
  return make_named(Kind::kOpaque, "integral", std::move(parts));
}

Expression LatexParser::parse_matrix() {
  const DepthGuard guard(*this);
  const TokenKind open = peek();
  const TokenKind close = open == kMatrixStart ? kMatrixEnd : open == kArrayStart ? kArrayEnd : kDeterminantEnd;
  ++position_;
  List entries;
  int rows = 0, columns = 0;
  do {
    if (rows > 0 && peek() == close) break;  // a line break behind the last row
    int columns_here = 0;
    do {
      Expression entry = parse_expression();
      if (!entry) return nullptr;
      entries.push_back(std::move(entry));
      ++columns_here;
    } while (accept(kColumnBreak));
    if (rows > 0 && columns_here != columns) return nullptr;
    columns = columns_here;
    ++rows;
  } while (accept(kRowBreak));
  if (!accept(close)) return nullptr;
  Expression matrix = make_matrix(rows, columns, std::move(entries));
  return open == kDeterminantStart ? determinant(matrix) : matrix;
}

}  // namespace r1::verify

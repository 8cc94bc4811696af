#include <array>
#include <string>

#include "verify/expression.h"

namespace r1::verify {
namespace {

enum Level { kSumLevel, kProductLevel, kPowerLevel, kAtomLevel };

std::string join(const std::vector<Expression>& arguments, std::string_view separator) {
  std::string text;
  for (const Expression& argument : arguments) {
    if (!text.empty()) text += separator;
    text += to_text(argument);
  }
  return text;
}

/// 15 significant digits, as a decimal without trailing exponent where it is short.
std::string decimal_text(const Rational& value) {
  const double number = fmpq_get_d(value.raw());
  std::array<char, 64> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), "%.15g", number);
  std::string text(buffer.data(), static_cast<std::size_t>(length));
  if (text.find_first_of(".einf") == std::string::npos) text += ".0";
  if (text.find_first_of("einf") != std::string::npos) return text;
  int digits = 0;
  bool leading = true;
  for (const char c : text) {
    if (c >= '1' && c <= '9') leading = false;
    if (c >= '0' && c <= '9' && !leading) ++digits;
  }
  while (digits++ < 15) text += '0';
  return text;
}

std::string wrapped(const Expression& expression, Level level);

Level level_of(const Expression& e) {
  switch (e->kind) {
    case Kind::kAdd:
      return kSumLevel;
    case Kind::kMultiply:
    case Kind::kPercent:
      return kProductLevel;
    case Kind::kPower:
      return kPowerLevel;
    case Kind::kNumber:
      return e->value.sign() < 0 ? kSumLevel : e->value.is_integer() || e->is_decimal ? kAtomLevel : kProductLevel;
    case Kind::kInfinity:
      return e->value.sign() < 0 ? kSumLevel : kAtomLevel;
    default:
      return kAtomLevel;
  }
}

std::string wrapped(const Expression& expression, Level level) {
  return level_of(expression) < level ? "(" + to_text(expression) + ")" : to_text(expression);
}

bool is_reciprocal(const Expression& e) {
  return is(e, Kind::kPower) && is_integer(e->arguments[1]) && e->arguments[1]->value == Rational(-1);
}

std::string product_text(const Expression& product) {
  std::string text;
  for (const Expression& factor : product->arguments) {
    if (is_reciprocal(factor) && !text.empty()) {
      text += "/" + wrapped(factor->arguments[0], kPowerLevel);
      continue;
    }
    if (!text.empty()) text += "*";
    text += text.empty() && is_integer(factor) ? to_text(factor) : wrapped(factor, kProductLevel);
  }
  return text;
}

std::string power_text(const Expression& power) {
  const Expression &base = power->arguments[0], &exponent = power->arguments[1];
  if (is(exponent, Kind::kNumber) && exponent->value == Rational(1, 2)) return "sqrt(" + to_text(base) + ")";
  if (is_reciprocal(power)) return "1/" + wrapped(base, kPowerLevel);
  return wrapped(base, kAtomLevel) + "**" + wrapped(exponent, kAtomLevel);
}

std::string sum_text(const Expression& sum) {
  std::string text;
  for (const Expression& term : sum->arguments) {
    const std::string part = to_text(term);
    if (text.empty()) text = part;
    else if (part.starts_with('-')) text += " - " + part.substr(1);
    else text += " + " + part;
  }
  return text;
}

std::string relation_text(const Expression& relation) {
  const std::string left = to_text(relation->arguments[0]), right = to_text(relation->arguments[1]);
  switch (relation->relation) {
    case RelationKind::kEqual:
      return "Eq(" + left + ", " + right + ")";
    case RelationKind::kNotEqual:
      return "Ne(" + left + ", " + right + ")";
    case RelationKind::kLess:
      return left + " < " + right;
    case RelationKind::kLessEqual:
      return left + " <= " + right;
    case RelationKind::kGreater:
      return left + " > " + right;
    case RelationKind::kGreaterEqual:
      return left + " >= " + right;
  }
  return {};
}

std::string interval_text(const Expression& interval) {
  const std::string ends = join(interval->arguments, ", ");
  const auto infinite = [](const Expression& end) { return is(end, Kind::kInfinity); };
  const bool left_closed = !interval->left_open || infinite(interval->arguments[0]);
  const bool right_closed = !interval->right_open || infinite(interval->arguments[1]);
  if (left_closed && right_closed) return "Interval(" + ends + ")";
  if (!left_closed && !right_closed) return "Interval.open(" + ends + ")";
  return std::string(left_closed ? "Interval.Ropen(" : "Interval.Lopen(") + ends + ")";
}

std::string matrix_text(const Expression& matrix) {
  std::string text = "Matrix([";
  for (int row = 0; row < matrix->rows; ++row) {
    text += row > 0 ? ", [" : "[";
    for (int column = 0; column < matrix->columns; ++column)
      text += (column > 0 ? ", " : "") + to_text(matrix->arguments[row * matrix->columns + column]);
    text += "]";
  }
  return text + "])";
}

}  // namespace

std::string to_text(const Expression& e) {
  switch (e->kind) {
    case Kind::kNumber:
      return e->is_decimal ? decimal_text(e->value) : e->value.text();
    case Kind::kSymbol:
      return e->name;
    case Kind::kPi:
      return "pi";
    case Kind::kEulerGamma:
      return "EulerGamma";
    case Kind::kEuler:
      return "E";
    case Kind::kImaginaryUnit:
      return "I";
    case Kind::kInfinity:
      return e->value.sign() < 0 ? "-oo" : "oo";
    case Kind::kUndefined:
      return "zoo";
    case Kind::kAdd:
      return sum_text(e);
    case Kind::kMultiply:
      return product_text(e);
    case Kind::kPower:
      return power_text(e);
    case Kind::kPercent:
      return wrapped(e->arguments[0], kPowerLevel) + "*(1/100)";
    case Kind::kFunction:
      return (e->name == "abs" ? "Abs" : e->name == "ceil" ? "ceiling" : e->name) + "(" + join(e->arguments, ", ") + ")";
    case Kind::kOpaque:
      return e->name + "(" + join(e->arguments, ", ") + ")";
    case Kind::kSum:
    case Kind::kProduct:
      return std::string(is(e, Kind::kSum) ? "Sum(" : "Product(") + to_text(e->arguments[0]) + ", (" + to_text(e->arguments[1]) + ", " +
             to_text(e->arguments[2]) + ", " + to_text(e->arguments[3]) + "))";
    case Kind::kMatrix:
      return matrix_text(e);
    case Kind::kTuple:
      return "(" + join(e->arguments, ", ") + ")";
    case Kind::kFiniteSet:
      return "{" + join(e->arguments, ", ") + "}";
    case Kind::kInterval:
      return interval_text(e);
    case Kind::kUnion:
      return "Union(" + join(e->arguments, ", ") + ")";
    case Kind::kIntersection:
      return "Intersection(" + join(e->arguments, ", ") + ")";
    case Kind::kComplement:
      return "Complement(" + join(e->arguments, ", ") + ")";
    case Kind::kEmptySet:
      return "EmptySet";
    case Kind::kNamedSet:
      return e->name;
    case Kind::kRelation:
      return relation_text(e);
    case Kind::kAnd:
      return join(e->arguments, " & ");
    case Kind::kTruth:
      return e->value.is_zero() ? "False" : "True";
  }
  return {};
}

}  // namespace r1::verify

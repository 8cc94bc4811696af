// "3 + 4*(5 - 1)^2": arithmetic outside of LaTeX.
#include <string>

#include "verify/budget.h"
#include "verify/latex_parser.h"
#include "verify/text_scan.h"

namespace r1::verify {
namespace {

class PlainParser {
 public:
  explicit PlainParser(std::string_view text) : text_(text) {}

  Expression parse() {
    Expression result = sum();
    skip_blanks();
    return result && position_ == text_.size() ? result : nullptr;
  }

 private:
  void skip_blanks() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\t' || text_[position_] == '\n' ||
                                        text_[position_] == '\r' || text_[position_] == '\f'))
      ++position_;
  }
  bool accept(std::string_view operation) {
    skip_blanks();
    if (!text_.substr(position_).starts_with(operation)) return false;
    position_ += operation.size();
    return true;
  }
  bool next_is_power() {
    skip_blanks();
    return text_.substr(position_).starts_with("**") || text_.substr(position_).starts_with("^");
  }

  Expression sum() {
    if (++depth_ > kMaxDepth) throw OverBudget{};
    Expression left = product();
    std::vector<Expression> terms{left};
    while (terms.back()) {
      if (accept("+")) {
        terms.push_back(product());
      } else if (accept("-")) {
        Expression term = product();
        terms.push_back(term ? make_negative(term) : nullptr);
      } else {
        break;
      }
      budget_.spend();
    }
    --depth_;
    if (!terms.back()) return nullptr;
    return terms.size() == 1 ? left : make(Kind::kAdd, std::move(terms));
  }

  Expression product() {
    Expression left = signed_power();
    while (left) {
      if (next_is_power()) return nullptr;
      const bool divide = accept("/");
      if (!divide && !accept("*")) break;
      Expression right = signed_power();
      if (!right) return nullptr;
      left = make_product(left, divide ? make(Kind::kPower, {right, make_number(Rational(-1))}) : right);
      budget_.spend();
    }
    return left;
  }

  // The sign binds less than the power on its right: -2^2 is -4, 2^-1 is 1/2.
  Expression signed_power() {
    int num_minus = 0, num_signs = 0;
    for (;; ++num_signs) {
      if (accept("-")) ++num_minus;
      else if (!accept("+")) break;
    }
    if (num_signs > kMaxDepth || ++depth_ > kMaxDepth) throw OverBudget{};
    Expression base = primary();
    if (base && next_is_power()) {
      if (!accept("**")) accept("^");
      Expression exponent = signed_power();
      base = exponent ? make(Kind::kPower, {base, exponent}) : nullptr;
    }
    --depth_;
    for (int i = 0; base && i < num_minus; ++i) base = make_negative(base);
    return base;
  }

  Expression primary() {
    skip_blanks();
    if (accept("(")) {
      Expression inner = sum();
      return inner && accept(")") && !starts_primary() ? inner : nullptr;
    }
    const std::size_t begin = position_;
    const auto digits = [&] {
      const std::size_t from = position_;
      while (position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9') ++position_;
      return position_ - from;
    };
    const std::size_t before = digits();
    bool decimal = false;
    std::size_t after = 0;
    if (position_ < text_.size() && text_[position_] == '.') {
      ++position_;
      decimal = true;
      after = digits();
    }
    if (before + after == 0 || before + after > static_cast<std::size_t>(kMaxNumberDigits)) return nullptr;
    const std::string_view literal = text_.substr(begin, position_ - begin);
    if (!decimal && before > 1 && literal.front() == '0' && literal.find_first_not_of('0') != std::string_view::npos) return nullptr;
    if (starts_primary()) return nullptr;
    return make_number(Rational::from_decimal(literal), decimal);
  }

  // Two operands without an operator between them are no expression.
  bool starts_primary() {
    skip_blanks();
    if (position_ >= text_.size()) return false;
    const char c = text_[position_];
    return c == '(' || c == '.' || (c >= '0' && c <= '9');
  }

  std::string_view text_;
  std::size_t position_ = 0;
  int depth_ = 0;
  Budget budget_{kParseSteps};
};

}  // namespace

Expression parse_plain_expression(std::string_view text) {
  if (text.size() > static_cast<std::size_t>(kMaxTextBytes)) throw OverBudget{};
  return PlainParser(strip_spaces(text)).parse();
}

}  // namespace r1::verify

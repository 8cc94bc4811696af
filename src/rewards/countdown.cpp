// countdown: 1 when the expression inside the last answer tags reaches the column `target` with the numbers of the column `nums`,
// each at most once, by + − * / and parentheses; else 0. "a + b = target" is accepted for "a + b".
#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "rewards/functions.h"
#include "rewards/tagged_text.h"
#include "verify/rational.h"
#include "verify/text_scan.h"

namespace r1::rewards {
namespace {

using verify::Rational;

constexpr int kMaxNesting = 50;
constexpr std::size_t kMaxExpression = 1000;  // bytes

/// Evaluates exactly and notes which numbers were used; nothing for anything that is no such expression, or divides by zero.
class NumbersGame {
 public:
  NumbersGame(std::string_view text, std::vector<std::int64_t> numbers) : text_(text), numbers_(std::move(numbers)) {}

  std::optional<Rational> value() {
    auto result = sum();
    skip_blanks();
    return position_ == text_.size() ? result : std::nullopt;
  }

 private:
  void skip_blanks() { position_ = verify::skip_spaces(text_, position_); }
  bool accept(std::initializer_list<std::string_view> signs) {
    skip_blanks();
    for (const std::string_view sign : signs)
      if (text_.substr(position_).starts_with(sign)) {
        position_ += sign.size();
        return true;
      }
    return false;
  }

  std::optional<Rational> sum() {
    auto left = product();
    while (left) {
      const bool plus = accept({"+"});
      if (!plus && !accept({"-", "−"})) break;
      const auto right = product();
      if (!right) return std::nullopt;
      left = plus ? *left + *right : *left - *right;
    }
    return left;
  }

  std::optional<Rational> product() {
    auto left = operand();
    while (left) {
      const bool times = accept({"*", "×"});
      if (!times && !accept({"/", "÷"})) break;
      const auto right = operand();
      if (!right || (!times && right->is_zero())) return std::nullopt;
      left = times ? *left * *right : *left / *right;
    }
    return left;
  }

  std::optional<Rational> operand() {
    if (accept({"("})) {
      if (++nesting_ > kMaxNesting) return std::nullopt;
      auto inner = sum();
      --nesting_;
      return inner && accept({")"}) ? inner : std::nullopt;
    }
    std::size_t end = position_;
    while (end < text_.size() && verify::is_ascii_digit(text_[end])) ++end;
    const auto number = parse_int(text_.substr(position_, end - position_));
    position_ = end;
    const auto unused = number ? std::find(numbers_.begin(), numbers_.end(), *number) : numbers_.end();
    if (unused == numbers_.end()) return std::nullopt;
    numbers_.erase(unused);
    return Rational(*number);
  }

  std::string_view text_;
  std::vector<std::int64_t> numbers_;
  std::size_t position_ = 0;
  int nesting_ = 0;
};

std::optional<std::int64_t> integer(const Json& value) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_string()) return parse_int(trim(value.get<std::string>()));
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number == std::floor(number) && std::fabs(number) < 1e15) return static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

class Countdown final : public Reward {
 public:
  Countdown() : Reward("countdown", {"nums", "target"}) {}

 protected:
  RewardResult score_one(const Completion& completion) const override {
    std::vector<std::int64_t> numbers;
    std::int64_t target = 0;
    if (const auto problem = read_columns(*completion.row, numbers, target)) fail(ErrorKind::kData, "{}", *problem);
    auto answer = last_answer(completion.text);
    if (!answer || answer->size() > kMaxExpression) return {0.0, RewardStatus::kAnswerUnparsed};
    if (const std::size_t equal_sign = answer->find('='); equal_sign != std::string_view::npos) {
      if (parse_int(verify::strip_spaces(answer->substr(equal_sign + 1))) != target) return {0.0};
      answer = answer->substr(0, equal_sign);
    }
    const auto value = NumbersGame(*answer, std::move(numbers)).value();
    if (!value) return {0.0, RewardStatus::kAnswerUnparsed};
    return {*value == Rational(target) ? 1.0 : 0.0};
  }

  std::optional<std::string> preflight_columns(const Json& row) const override {
    std::vector<std::int64_t> numbers;
    std::int64_t target = 0;
    return read_columns(row, numbers, target);
  }

 private:
  static std::optional<std::string> read_columns(const Json& row, std::vector<std::int64_t>& numbers, std::int64_t& target) {
    const auto nums = row.find("nums"), goal = row.find("target");
    if (nums == row.end() || goal == row.end()) return "the reward 'countdown' needs the columns 'nums' and 'target'";
    if (!nums->is_array() || nums->empty()) return "column 'nums': expected a list of integers";
    for (const Json& number : *nums) {
      const auto value = integer(number);
      if (!value) return "column 'nums': expected a list of integers, found " + number.dump();
      numbers.push_back(*value);
    }
    const auto value = integer(*goal);
    if (!value) return "column 'target': expected an integer, found " + goal->dump();
    target = *value;
    return std::nullopt;
  }
};

}  // namespace

std::unique_ptr<Reward> make_countdown(const RewardOptions&) { return std::make_unique<Countdown>(); }

}  // namespace r1::rewards

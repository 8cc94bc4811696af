// Numbers and expressions: exact values first, then a random point of a prime field, then balls.
#include <algorithm>

#include "verify/ball_value.h"
#include "verify/equivalence.h"

namespace r1::verify {
namespace {

constexpr int kNumPoints = 6, kNeededAgreements = 3;
constexpr long kPrecisions[] = {128, 320};
constexpr long kChopBits = 49;       // constants nearer than 2^-49 count as equal, unless strict
constexpr long kAgreementBits = 90;  // what balls must agree to, of 128 and more

const Expression& without_percent(const Expression& expression) {
  return is(expression, Kind::kPercent) ? expression->arguments[0] : expression;
}

/// A literal number, or a literal number of percent.
bool is_atomic(const Expression& expression) { return is_number(without_percent(expression)); }
bool is_atomic_decimal(const Expression& expression) { return is_atomic(expression) && without_percent(expression)->is_decimal; }
bool is_atomic_integer(const Expression& expression) { return is_integer(without_percent(expression)); }

/// value * 10^decimals rounded to an integer, half to even.
Rational scaled_and_rounded(const Rational& value, int decimals) {
  Rational power(1);
  for (int i = 0; i < decimals; ++i) power = power * Rational(10);
  Rational scaled = value * power + Rational(1, 2), result;
  fmpz* integer = fmpq_numref(result.raw());
  fmpz_fdiv_q(integer, scaled.numerator(), scaled.denominator());
  if (scaled.is_integer() && fmpz_is_odd(integer)) fmpz_sub_ui(integer, integer, 1);
  return result;
}

Rational midpoint(arb_srcptr value) {
  Rational result;
  arf_get_fmpq(result.raw(), arb_midref(value));
  return result;
}

bool relative_to_six_digits(const Rational& a, const Rational& b) {
  const Rational difference = a - b;
  const Rational size = (a.sign() < 0 ? -a : a) + (b.sign() < 0 ? -b : b);
  return (difference.sign() < 0 ? -difference : difference) * Rational(1000000) <= size;
}

}  // namespace

bool Comparator::compare_scalars(const Expression& gold, const Expression& prediction) {
  if (const int sign = infinity_sign(gold, budget_); sign != 0) return sign == infinity_sign(prediction, budget_);
  if (is_atomic(gold) || is_atomic(prediction)) {
    if (is_atomic_decimal(gold) || is_atomic_decimal(prediction)) return compare_rounded(gold, prediction);
    if (is_atomic_integer(gold) && is_atomic_integer(prediction)) return without_percent(gold)->value == without_percent(prediction)->value;
    return identical_values(gold, prediction, /*chop=*/false);
  }
  return identical_values(gold, prediction, /*chop=*/!options_.strict);
}

// One side is a decimal: both are rounded to six places (CompareOptions::decimals). Against an integer it must be that integer.
bool Comparator::compare_rounded(const Expression& gold, const Expression& prediction) {
  const auto exact_gold = exact_value(gold, budget_), exact_prediction = exact_value(prediction, budget_);
  if (exact_gold && exact_prediction) {
    if (*exact_gold == *exact_prediction) return true;
    const auto is_true_integer = [](const Rational& value, const Expression& expression) {
      return value.is_integer() && !has_decimal(expression);
    };
    if (is_true_integer(*exact_gold, gold) || is_true_integer(*exact_prediction, prediction)) return false;
    if (options_.strict && !relative_to_six_digits(*exact_gold, *exact_prediction)) return false;
    return scaled_and_rounded(*exact_gold, options_.decimals) == scaled_and_rounded(*exact_prediction, options_.decimals);
  }
  if (has_symbols(gold) || has_symbols(prediction)) return identical_values(gold, prediction, /*chop=*/false);
  SamplePoint point;
  Ball a, b;
  if (!ball_value(gold, point, kPrecisions[0], a, budget_) || !ball_value(prediction, point, kPrecisions[0], b, budget_)) return false;
  const arb_srcptr parts[2][2] = {{acb_realref(a.raw()), acb_realref(b.raw())}, {acb_imagref(a.raw()), acb_imagref(b.raw())}};
  for (const auto& part : parts) {
    if (arf_cmpabs_2exp_si(arb_midref(part[0]), 4096) > 0 || arf_cmpabs_2exp_si(arb_midref(part[1]), 4096) > 0) return false;
    const Rational x = midpoint(part[0]), y = midpoint(part[1]);
    if (x.bits() > kMaxExactBits || y.bits() > kMaxExactBits) return false;
    if (options_.strict && !relative_to_six_digits(x, y)) return false;
    if (!(scaled_and_rounded(x, options_.decimals) == scaled_and_rounded(y, options_.decimals))) return false;
  }
  return true;
}

bool Comparator::identical_values(const Expression& gold, const Expression& prediction, bool chop) {
  const auto exact_gold = exact_value(gold, budget_);
  const auto exact_prediction = exact_gold ? exact_value(prediction, budget_) : std::nullopt;
  if (exact_gold && exact_prediction) {
    if (*exact_gold == *exact_prediction) return true;
    if (!chop) return false;
    Rational difference = *exact_gold - *exact_prediction, limit(1);
    fmpz_mul_2exp(fmpq_denref(limit.raw()), fmpq_denref(limit.raw()), kChopBits);
    return (difference.sign() < 0 ? -difference : difference) < limit;
  }
  std::vector<std::string> symbols, prediction_symbols;
  collect_symbols(gold, symbols);
  collect_symbols(prediction, prediction_symbols);
  const bool constant = symbols.empty() && prediction_symbols.empty();
  // Rational functions: agreement at two points of a field with 2^61 elements, or a difference at one, decides.
  if (!constant) {
    int agreements = 0;
    for (std::uint64_t point = 0; point < 4 && agreements < 2; ++point) {
      const auto a = modular_value(gold, point, budget_);
      const auto b = a ? modular_value(prediction, point, budget_) : std::nullopt;
      if (!a || !b) break;
      if (*a != *b) return false;
      ++agreements;
    }
    if (agreements == 2) return true;
  }
  int agreements = 0;
  for (std::uint64_t index = 0; index < (constant ? 1u : static_cast<unsigned>(kNumPoints)); ++index) {
    SamplePoint point{index, {}};
    for (const long precision : kPrecisions) {
      Ball a, b, difference;
      if (!ball_value(gold, point, precision, a, budget_) || !ball_value(prediction, point, precision, b, budget_)) break;
      acb_sub(difference.raw(), a.raw(), b.raw(), precision);
      if (!acb_contains_zero(difference.raw())) {
        if (!chop || !constant) return false;
        return arf_cmpabs_2exp_si(arb_midref(acb_realref(difference.raw())), -kChopBits) < 0 &&
               arf_cmpabs_2exp_si(arb_midref(acb_imagref(difference.raw())), -kChopBits) < 0;
      }
      mag_t error, size;
      mag_init(error);
      mag_init(size);
      acb_get_mag(error, difference.raw());
      acb_get_mag(size, a.raw());
      mag_mul_2exp_si(size, size, -kAgreementBits);
      const bool sharp = mag_cmp(error, size) < 0 || mag_cmp_2exp_si(error, -kAgreementBits) < 0;
      mag_clear(error);
      mag_clear(size);
      if (!sharp) continue;
      ++agreements;
      break;
    }
    if (agreements >= (constant ? 1 : kNeededAgreements)) return true;
  }
  return false;
}

}  // namespace r1::verify

#include <algorithm>

#include "verify/ball_value.h"

namespace r1::verify {
namespace {

constexpr long kMaxTerms = 2000;  // of a sum or a product with running variable
constexpr long kMaxFactorial = 1500;

std::optional<long> small_integer(const Rational& value, long limit) {
  if (!value.is_integer() || fmpz_cmp_si(value.numerator(), limit) > 0 || fmpz_cmp_si(value.numerator(), -limit) < 0) return std::nullopt;
  return fmpz_get_si(value.numerator());
}

std::optional<Rational> integer_power(const Rational& base, const Rational& exponent) {
  if (base == Rational(1)) return base;
  if (base.is_zero()) return exponent.sign() > 0 ? std::optional(base) : exponent.is_zero() ? std::optional(Rational(1)) : std::nullopt;
  if (base == Rational(-1)) return fmpz_is_even(exponent.numerator()) ? Rational(1) : Rational(-1);
  const auto small = small_integer(exponent, kMaxExactBits);
  if (!small || std::abs(*small) * base.bits() > kMaxExactBits) return std::nullopt;
  Rational result;
  fmpq_pow_si(result.raw(), base.raw(), *small);
  return result;
}

/// base^(1/degree) when it is rational; base > 0.
std::optional<Rational> exact_root(const Rational& base, long degree) {
  Rational root;
  fmpz* parts[2] = {fmpq_numref(root.raw()), fmpq_denref(root.raw())};
  const fmpz* sources[2] = {base.numerator(), base.denominator()};
  for (int i = 0; i < 2; ++i)
    if (!fmpz_root(parts[i], sources[i], degree)) return std::nullopt;
  return root;
}

std::optional<Rational> power(const Rational& base, const Rational& exponent) {
  if (exponent.is_integer()) return integer_power(base, exponent);
  if (base.is_zero()) return exponent.sign() > 0 ? std::optional(Rational(0)) : std::nullopt;
  if (base.sign() < 0 || fmpz_cmp_ui(exponent.denominator(), 64) > 0) return std::nullopt;
  const auto root = exact_root(base, fmpz_get_si(exponent.denominator()));
  if (!root) return std::nullopt;
  Rational numerator;
  fmpz_set(fmpq_numref(numerator.raw()), exponent.numerator());
  return integer_power(*root, numerator);
}

Rational rounded(const Rational& value, bool up) {
  Rational result;
  if (up) fmpz_cdiv_q(fmpq_numref(result.raw()), value.numerator(), value.denominator());
  else fmpz_fdiv_q(fmpq_numref(result.raw()), value.numerator(), value.denominator());
  return result;
}

std::optional<Rational> function_value(const std::string& name, const std::vector<Rational>& arguments) {
  const Rational& first = arguments[0];
  Rational result;
  fmpz* integer = fmpq_numref(result.raw());
  if (arguments.size() == 1) {
    if (name == "abs") return first.sign() < 0 ? -first : first;
    if (name == "floor") return rounded(first, false);
    if (name == "ceil") return rounded(first, true);
    if (name == "factorial") {
      const auto n = small_integer(first, kMaxFactorial);
      if (!n || *n < 0) return std::nullopt;
      fmpz_fac_ui(integer, static_cast<unsigned long>(*n));
      return result;
    }
    if (name == "exp" && first.is_zero()) return Rational(1);
    if (name == "max" || name == "min" || name == "gcd" || name == "lcm") return first;
    return std::nullopt;
  }
  if (name == "binomial") {
    const auto n = small_integer(first, 100000), k = small_integer(arguments[1], 100000);
    if (!n || !k || *n < 0) return std::nullopt;
    if (*k < 0 || *k > *n) return Rational(0);
    if (std::min(*k, *n - *k) > kMaxFactorial) return std::nullopt;
    fmpz_bin_uiui(integer, static_cast<unsigned long>(*n), static_cast<unsigned long>(std::min(*k, *n - *k)));
    return result;
  }
  if (name == "mod" && !arguments[1].is_zero()) return first - arguments[1] * rounded(first / arguments[1], false);
  if (name == "log" && first == Rational(1)) return Rational(0);
  if (name != "max" && name != "min" && name != "gcd" && name != "lcm") return std::nullopt;
  result = first;
  for (const Rational& other : arguments) {
    if (name == "max") result = result < other ? other : result;
    else if (name == "min") result = other < result ? other : result;
    else if (!other.is_integer() || !result.is_integer()) return std::nullopt;
    else if (name == "gcd") fmpz_gcd(integer, integer, other.numerator());
    else fmpz_lcm(integer, integer, other.numerator());
  }
  return result;
}

std::optional<Rational> running_value(const Expression& expression, Budget& budget, Bindings& bindings) {
  const auto first = exact_value(expression->arguments[2], budget, bindings),
             last = exact_value(expression->arguments[3], budget, bindings);
  if (!first || !last || !first->is_integer() || !last->is_integer()) return std::nullopt;
  const bool product = is(expression, Kind::kProduct);
  Rational result(product ? 1 : 0);
  if (kMaxTerms < 0 || Rational(kMaxTerms) < *last - *first) throw OverBudget{};
  for (Rational k = *first; k <= *last; k = k + Rational(1)) {
    bindings.emplace_back(expression->arguments[1]->name, k);
    const auto term = exact_value(expression->arguments[0], budget, bindings);
    bindings.pop_back();
    if (!term) return std::nullopt;
    result = product ? result * *term : result + *term;
    if (result.bits() > kMaxExactBits) return std::nullopt;
    budget.spend(1 + result.bits() / 256);
  }
  return result;
}

}  // namespace

std::optional<Rational> exact_value(const Expression& expression, Budget& budget, Bindings& bindings) {
  budget.spend();
  switch (expression->kind) {
    case Kind::kNumber:
      return expression->value;
    case Kind::kSymbol:
      for (auto binding = bindings.rbegin(); binding != bindings.rend(); ++binding)
        if (binding->first == expression->name) return binding->second;
      return std::nullopt;
    case Kind::kAdd:
    case Kind::kMultiply: {
      const bool product = is(expression, Kind::kMultiply);
      Rational result(product ? 1 : 0);
      for (const Expression& argument : expression->arguments) {
        const auto value = exact_value(argument, budget, bindings);
        if (!value) return std::nullopt;
        result = product ? result * *value : result + *value;
        if (result.bits() > kMaxExactBits) return std::nullopt;
        budget.spend(result.bits() / 256);
      }
      return result;
    }
    case Kind::kPower: {
      const auto base = exact_value(expression->arguments[0], budget, bindings);
      const auto exponent = base ? exact_value(expression->arguments[1], budget, bindings) : std::nullopt;
      if (!exponent) return std::nullopt;
      auto result = power(*base, *exponent);
      if (result) budget.spend(result->bits() / 64);
      return result;
    }
    case Kind::kPercent: {
      const auto value = exact_value(expression->arguments[0], budget, bindings);
      return value ? std::optional(*value / Rational(100)) : std::nullopt;
    }
    case Kind::kFunction: {
      std::vector<Rational> values;
      for (const Expression& argument : expression->arguments) {
        auto value = exact_value(argument, budget, bindings);
        if (!value) return std::nullopt;
        values.push_back(std::move(*value));
      }
      auto result = function_value(expression->name, values);
      if (result && result->bits() > kMaxExactBits) return std::nullopt;
      if (result) budget.spend(result->bits() / 64);
      return result;
    }
    case Kind::kSum:
    case Kind::kProduct:
      return running_value(expression, budget, bindings);
    default:
      return std::nullopt;
  }
}

std::optional<Rational> exact_value(const Expression& expression, Budget& budget) {
  Bindings none;
  return exact_value(expression, budget, none);
}

}  // namespace r1::verify

#include "verify/ball_value.h"

#include <acb_hypgeom.h>
#include <arb_hypgeom.h>

#include <algorithm>
#include <cmath>

#include "base/hash.h"

namespace r1::verify {
namespace {

constexpr long kMaxExponentBits = long{1} << 20;  // of the magnitude of any intermediate value
constexpr long kMaxTerms = 2000;

bool is_usable(const Ball& ball) {
  if (!acb_is_finite(ball.raw())) return false;
  const arb_srcptr parts[2] = {acb_realref(ball.raw()), acb_imagref(ball.raw())};
  for (const arb_srcptr part : parts) {
    const arf_struct* middle = arb_midref(part);
    if (!arf_is_zero(middle) && arf_cmpabs_2exp_si(middle, kMaxExponentBits) > 0) return false;
    if (!arf_is_zero(middle) && arf_cmpabs_2exp_si(middle, -kMaxExponentBits) < 0) return false;
  }
  return true;
}

/// |argument| is below 2^bits, so that exp, sin and the like neither overflow nor need huge precision.
bool is_small(const Ball& ball, long bits) {
  return arf_cmpabs_2exp_si(arb_midref(acb_realref(ball.raw())), bits) < 0 &&
         arf_cmpabs_2exp_si(arb_midref(acb_imagref(ball.raw())), bits) < 0;
}

/// A rational with three digits, never 0, 1 or 2, from a name and a point.
Rational sample_value(std::string_view name, std::uint64_t point) {
  const std::uint64_t random = xxh3_64(name, point * 2 + 1);
  const long magnitude = 211 + static_cast<long>(random % 2687);  // thousandths
  const bool negative = point == 1 || (point > 1 && ((random >> 40) & 1) != 0);
  return Rational(negative ? -magnitude : magnitude, 997);
}

class Evaluator {
 public:
  Evaluator(SamplePoint& point, long precision, Budget& budget) : point_(point), precision_(precision), budget_(budget) {}

  bool evaluate(const Expression& expression, Ball& out) {
    budget_.spend(1 + precision_ / 128);
    return raw_value(expression, out) && is_usable(out);
  }

 private:
  bool raw_value(const Expression& expression, Ball& out) {
    switch (expression->kind) {
      case Kind::kNumber:
        set(expression->value, out);
        return true;
      case Kind::kSymbol:
        return symbol_value(expression->name, out);
      case Kind::kPi:
        acb_const_pi(out.raw(), precision_);
        return true;
      case Kind::kEulerGamma:
        acb_zero(out.raw());
        arb_const_euler(acb_realref(out.raw()), precision_);
        return true;
      case Kind::kEuler:
        acb_zero(out.raw());
        arb_const_e(acb_realref(out.raw()), precision_);
        return true;
      case Kind::kImaginaryUnit:
        acb_onei(out.raw());
        return true;
      case Kind::kAdd:
      case Kind::kMultiply:
        return fold(expression, out);
      case Kind::kPower:
        return power_value(expression, out);
      case Kind::kPercent:
        if (!evaluate(expression->arguments[0], out)) return false;
        acb_div_ui(out.raw(), out.raw(), 100, precision_);
        return true;
      case Kind::kFunction:
        return function_value(expression, out);
      case Kind::kOpaque:
        return opaque_value(expression, out);
      case Kind::kSum:
      case Kind::kProduct:
        return running_value(expression, out);
      default:
        return false;
    }
  }

  void set(const Rational& value, Ball& out) {
    acb_zero(out.raw());
    arb_set_fmpq(acb_realref(out.raw()), value.raw(), precision_);
  }

  bool symbol_value(const std::string& name, Ball& out) {
    for (auto binding = point_.bindings.rbegin(); binding != point_.bindings.rend(); ++binding)
      if (binding->first == name) {
        set(binding->second, out);
        return true;
      }
    if (name == "i") acb_onei(out.raw());
    else set(sample_value(name, point_.index), out);
    return true;
  }

  bool fold(const Expression& expression, Ball& out) {
    const bool product = is(expression, Kind::kMultiply);
    acb_set_si(out.raw(), product ? 1 : 0);
    Ball value;
    for (const Expression& argument : expression->arguments) {
      if (!evaluate(argument, value)) return false;
      if (product) acb_mul(out.raw(), out.raw(), value.raw(), precision_);
      else acb_add(out.raw(), out.raw(), value.raw(), precision_);
    }
    return true;
  }

  bool power_value(const Expression& expression, Ball& out) {
    Ball base;
    if (!evaluate(expression->arguments[0], base)) return false;
    // Rational exponents keep the roots of exact numbers exact: (-8)^(2/3), 0^2.
    const auto exponent = exact_value(expression->arguments[1], budget_, point_.bindings);
    if (exponent && exponent->is_integer()) {
      if (exponent->bits() > 40) return false;
      const double growth = std::fabs(fmpz_get_d(exponent->numerator())) * (2 + std::fabs(log2_magnitude(base)));
      if (growth > static_cast<double>(kMaxExponentBits)) return false;
      if (acb_contains_zero(base.raw()) && exponent->sign() <= 0) {
        if (!acb_is_zero(base.raw()) || exponent->sign() < 0) return false;
        acb_one(out.raw());
        return true;
      }
      acb_pow_fmpz(out.raw(), base.raw(), exponent->numerator(), precision_);
      return true;
    }
    if (exponent && *exponent == Rational(1, 2)) {
      acb_sqrt(out.raw(), on_axis(base).raw(), precision_);
      return true;
    }
    Ball power;
    if (!evaluate(expression->arguments[1], power)) return false;
    if (acb_is_zero(base.raw())) {
      if (!arb_is_positive(acb_realref(power.raw()))) return false;
      acb_zero(out.raw());
      return true;
    }
    if (!is_small(power, 40)) return false;
    Ball logarithm;
    acb_log(logarithm.raw(), on_axis(base).raw(), precision_);
    acb_mul(logarithm.raw(), logarithm.raw(), power.raw(), precision_);
    if (!acb_is_finite(logarithm.raw()) || !is_small(logarithm, 20)) return false;
    acb_exp(out.raw(), logarithm.raw(), precision_);
    return true;
  }

  double log2_magnitude(const Ball& base) const {
    mag_t magnitude;
    mag_init(magnitude);
    acb_get_mag(magnitude, base.raw());
    const double result = mag_is_zero(magnitude) ? 0 : mag_get_d_log2_approx(magnitude);
    mag_clear(magnitude);
    return result;
  }

  /// A value on the negative real axis up to rounding is meant to be on it: the branch cut belongs to its upper side.
  Ball on_axis(const Ball& value) const {
    Ball result = value;
    if (arb_contains_zero(acb_imagref(result.raw())) && arb_is_negative(acb_realref(result.raw()))) arb_zero(acb_imagref(result.raw()));
    return result;
  }

  bool function_value(const Expression& expression, Ball& out) {
    if (const auto exact = exact_value(expression, budget_, point_.bindings)) {
      set(*exact, out);
      return true;
    }
    std::vector<Ball> arguments(expression->arguments.size());
    for (std::size_t i = 0; i < arguments.size(); ++i)
      if (!evaluate(expression->arguments[i], arguments[i])) return false;
    if (arguments.empty()) return false;
    const std::string& name = expression->name;
    acb_ptr result = out.raw();
    const acb_srcptr x = arguments[0].raw();
    const slong p = precision_;
    if (name == "log") {
      acb_log(result, on_axis(arguments[0]).raw(), p);
      if (arguments.size() < 2) return true;
      Ball base;
      acb_log(base.raw(), on_axis(arguments[1]).raw(), p);
      if (acb_contains_zero(base.raw())) return false;
      acb_div(result, result, base.raw(), p);
      return true;
    }
    if (name == "abs") {
      arb_t magnitude;
      arb_init(magnitude);
      acb_abs(magnitude, x, p);
      acb_set_arb(result, magnitude);
      arb_clear(magnitude);
      return true;
    }
    if (name == "floor" || name == "ceil") return rounded_value(arguments[0], name == "ceil", out);
    if (name == "max" || name == "min") {
      acb_set(result, x);
      for (const Ball& other : arguments)
        (name == "max" ? arb_max : arb_min)(acb_realref(result), acb_realref(result), acb_realref(other.raw()), p);
      return true;
    }
    if (name == "binomial" && arguments.size() == 2) return binomial_value(arguments[0], arguments[1], out);
    if (!is_small(arguments[0], 19)) return false;
    if (name == "factorial") {
      if (!is_small(arguments[0], 14)) return false;
      acb_add_ui(result, x, 1, p);
      acb_gamma(result, result, p);
      return true;
    }
    return elementary_value(name, x, out);
  }

  bool elementary_value(const std::string& name, acb_srcptr x, Ball& out) {
    struct Entry {
      const char* name;
      void (*function)(acb_t, const acb_t, slong);
    };
    static constexpr Entry kFunctions[] = {
        {"exp", acb_exp},   {"sin", acb_sin},     {"cos", acb_cos},     {"tan", acb_tan},     {"cot", acb_cot},    {"sec", acb_sec},
        {"csc", acb_csc},   {"sinh", acb_sinh},   {"cosh", acb_cosh},   {"tanh", acb_tanh},   {"asin", acb_asin},  {"acos", acb_acos},
        {"atan", acb_atan}, {"asinh", acb_asinh}, {"acosh", acb_acosh}, {"atanh", acb_atanh}, {"gamma", acb_gamma}};
    for (const Entry& entry : kFunctions)
      if (name == entry.name) {
        entry.function(out.raw(), x, precision_);
        return true;
      }
    static constexpr Entry kOfInverse[] = {{"acsc", acb_asin}, {"asec", acb_acos}, {"acot", acb_atan}};
    for (const Entry& entry : kOfInverse)
      if (name == entry.name) {
        if (acb_contains_zero(x)) return false;
        acb_inv(out.raw(), x, precision_);
        entry.function(out.raw(), out.raw(), precision_);
        return true;
      }
    return false;
  }

  bool rounded_value(const Ball& argument, bool up, Ball& out) {
    if (!arb_contains_zero(acb_imagref(argument.raw())) || !is_small(argument, 512)) return false;
    arb_t part;
    arb_init(part);
    if (up) arb_ceil(part, acb_realref(argument.raw()), precision_);
    else arb_floor(part, acb_realref(argument.raw()), precision_);
    // A value that is an integer up to rounding is meant to be that integer.
    fmpz_t integer;
    fmpz_init(integer);
    if (arb_get_unique_fmpz(integer, acb_realref(argument.raw()))) arb_set_fmpz(part, integer);
    fmpz_clear(integer);
    acb_set_arb(out.raw(), part);
    arb_clear(part);
    return true;
  }

  bool binomial_value(const Ball& n, const Ball& k, Ball& out) {
    if (!is_small(n, 14) || !is_small(k, 14)) return false;
    Ball difference, lower;
    acb_sub(difference.raw(), n.raw(), k.raw(), precision_);
    for (const auto& [source, target] :
         {std::pair{&n, &out}, std::pair{&k, &lower}, std::pair{const_cast<const Ball*>(&difference), &difference}}) {
      acb_add_ui(target->raw(), source->raw(), 1, precision_);
      if (target == &out) acb_gamma(target->raw(), target->raw(), precision_);
      else acb_rgamma(target->raw(), target->raw(), precision_);
    }
    acb_mul(out.raw(), out.raw(), lower.raw(), precision_);
    acb_mul(out.raw(), out.raw(), difference.raw(), precision_);
    return true;
  }

  /// A random value that depends on the name and on the values of the arguments.
  bool opaque_value(const Expression& expression, Ball& out) {
    std::string key = expression->name + "(";
    Ball argument;
    for (const Expression& part : expression->arguments) {
      if (!evaluate(part, argument)) return false;
      key += std::to_string(std::llround(arf_get_d(arb_midref(acb_realref(argument.raw())), ARF_RND_NEAR) * 1e9)) + "," +
             std::to_string(std::llround(arf_get_d(arb_midref(acb_imagref(argument.raw())), ARF_RND_NEAR) * 1e9)) + ";";
    }
    set(sample_value(key, point_.index), out);
    return true;
  }

  bool running_value(const Expression& expression, Ball& out) {
    const auto first = exact_value(expression->arguments[2], budget_, point_.bindings),
               last = exact_value(expression->arguments[3], budget_, point_.bindings);
    if (!first || !last || !first->is_integer() || !last->is_integer()) return false;
    if (Rational(kMaxTerms) < *last - *first) throw OverBudget{};
    const bool product = is(expression, Kind::kProduct);
    acb_set_si(out.raw(), product ? 1 : 0);
    Ball term;
    for (Rational k = *first; k <= *last; k = k + Rational(1)) {
      point_.bindings.emplace_back(expression->arguments[1]->name, k);
      const bool usable = evaluate(expression->arguments[0], term);
      point_.bindings.pop_back();
      if (!usable) return false;
      if (product) acb_mul(out.raw(), out.raw(), term.raw(), precision_);
      else acb_add(out.raw(), out.raw(), term.raw(), precision_);
    }
    return true;
  }

  SamplePoint& point_;
  long precision_;
  Budget& budget_;
};

void collect(const Expression& expression, std::vector<std::string>& bound, std::vector<std::string>& names) {
  const auto contains = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  if (is(expression, Kind::kSymbol) && expression->name != "i" && !contains(bound, expression->name) && !contains(names, expression->name))
    names.push_back(expression->name);
  const bool running = is(expression, Kind::kSum) || is(expression, Kind::kProduct);
  if (running) bound.push_back(expression->arguments[1]->name);
  for (const Expression& argument : expression->arguments) collect(argument, bound, names);
  if (running) bound.pop_back();
}

}  // namespace

bool ball_value(const Expression& expression, SamplePoint& point, long precision, Ball& value, Budget& budget) {
  return Evaluator(point, precision, budget).evaluate(expression, value);
}

int infinity_sign(const Expression& expression, Budget& budget) {
  budget.spend();
  if (is(expression, Kind::kInfinity)) return expression->value.sign();
  const bool product = is(expression, Kind::kMultiply);
  if (!product && !is(expression, Kind::kAdd)) return 0;
  static const Expression kZero = make_number(Rational(0));
  int sign = 0;
  for (const Expression& part : expression->arguments) {
    const int part_sign = infinity_sign(part, budget);
    if (part_sign != 0 && !product && sign == -part_sign) return 0;  // oo - oo
    if (part_sign != 0) sign = product && sign != 0 ? sign * part_sign : part_sign;
  }
  if (!product || sign == 0) return sign;
  for (const Expression& part : expression->arguments) {
    if (infinity_sign(part, budget) != 0) continue;
    const auto order = compare_constants(part, kZero, budget);
    if (!order || *order == 0) return 0;
    sign *= *order;
  }
  return sign;
}

std::optional<int> compare_constants(const Expression& a, const Expression& b, Budget& budget) {
  const auto infinite = [&](const Expression& x) { return infinity_sign(x, budget); };
  if (infinite(a) != 0 || infinite(b) != 0) {
    if (infinite(a) == 0 && has_symbols(a)) return std::nullopt;
    if (infinite(b) == 0 && has_symbols(b)) return std::nullopt;
    return infinite(a) < infinite(b) ? -1 : infinite(a) > infinite(b) ? 1 : 0;
  }
  const auto exact_a = exact_value(a, budget), exact_b = exact_value(b, budget);
  if (exact_a && exact_b) return fmpq_cmp(exact_a->raw(), exact_b->raw());
  if (has_symbols(a) || has_symbols(b)) return std::nullopt;
  SamplePoint point;
  Ball value_a, value_b;
  constexpr long kPrecision = 192;
  if (!ball_value(a, point, kPrecision, value_a, budget) || !ball_value(b, point, kPrecision, value_b, budget)) return std::nullopt;
  acb_sub(value_a.raw(), value_a.raw(), value_b.raw(), kPrecision);
  if (!arb_contains_zero(acb_imagref(value_a.raw()))) return std::nullopt;
  const arb_srcptr difference = acb_realref(value_a.raw());
  if (arb_contains_zero(difference)) return 0;
  return arb_is_negative(difference) ? -1 : 1;
}

std::optional<int> compare_constants(const Expression& a, const Expression& b) {
  Budget budget(kCompareSteps);
  return compare_constants(a, b, budget);
}

void collect_symbols(const Expression& expression, std::vector<std::string>& names) {
  std::vector<std::string> bound;
  collect(expression, bound, names);
}

bool has_symbols(const Expression& expression) {
  std::vector<std::string> names;
  collect_symbols(expression, names);
  return !names.empty();
}

bool has_decimal(const Expression& expression) {
  return expression->is_decimal || std::any_of(expression->arguments.begin(), expression->arguments.end(), has_decimal);
}

}  // namespace r1::verify

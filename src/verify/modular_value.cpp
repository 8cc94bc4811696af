#include <flint/nmod_vec.h>
#include <flint/ulong_extras.h>

#include "base/hash.h"
#include "verify/ball_value.h"

namespace r1::verify {
namespace {

constexpr mp_limb_t kPrime = (mp_limb_t{1} << 61) - 1;

std::optional<std::uint64_t> value_of(const Expression& expression, std::uint64_t point, const nmod_t& field, Budget& budget);

std::optional<std::uint64_t> named_value(std::string_view name, std::uint64_t point) { return xxh3_64(name, point + 17) % kPrime; }

std::optional<std::uint64_t> rational_value(const Rational& value, const nmod_t& field) {
  const mp_limb_t denominator = fmpz_get_nmod(value.denominator(), field);
  if (denominator == 0) return std::nullopt;
  return nmod_div(fmpz_get_nmod(value.numerator(), field), denominator, field);
}

std::optional<std::uint64_t> power_value(const Expression& expression, std::uint64_t point, const nmod_t& field, Budget& budget) {
  const Expression& exponent = expression->arguments[1];
  auto exponent_value = exact_value(exponent, budget);
  if (!exponent_value || !exponent_value->is_integer() || exponent_value->bits() > 62) return std::nullopt;
  const auto base = value_of(expression->arguments[0], point, field, budget);
  if (!base) return std::nullopt;
  const bool inverse = exponent_value->sign() < 0;
  if (*base == 0 && (inverse || exponent_value->is_zero())) return std::nullopt;
  const mp_limb_t power = nmod_pow_ui(*base, static_cast<mp_limb_t>(std::abs(fmpz_get_si(exponent_value->numerator()))), field);
  return inverse ? nmod_inv(power, field) : power;
}

std::optional<std::uint64_t> value_of(const Expression& expression, std::uint64_t point, const nmod_t& field, Budget& budget) {
  budget.spend();
  switch (expression->kind) {
    case Kind::kNumber:
      return rational_value(expression->value, field);
    case Kind::kSymbol:
      return expression->name == "i" ? std::nullopt : named_value(expression->name, point);
    case Kind::kPi:
      return named_value("\\pi", point);
    case Kind::kEuler:
      return named_value("\\e", point);
    case Kind::kAdd:
    case Kind::kMultiply: {
      const bool product = is(expression, Kind::kMultiply);
      mp_limb_t result = product ? 1 : 0;
      for (const Expression& argument : expression->arguments) {
        const auto value = value_of(argument, point, field, budget);
        if (!value) return std::nullopt;
        result = product ? nmod_mul(result, *value, field) : nmod_add(result, *value, field);
      }
      return result;
    }
    case Kind::kPower:
      return power_value(expression, point, field, budget);
    case Kind::kPercent: {
      const auto value = value_of(expression->arguments[0], point, field, budget);
      return value ? std::optional<std::uint64_t>(nmod_div(*value, 100, field)) : std::nullopt;
    }
    case Kind::kFunction: {
      const auto value = exact_value(expression, budget);
      return value ? rational_value(*value, field) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::uint64_t> modular_value(const Expression& expression, std::uint64_t point, Budget& budget) {
  nmod_t field;
  nmod_init(&field, kPrime);
  return value_of(expression, point, field, budget);
}

}  // namespace r1::verify

// Values of expressions: exact rationals, values in a prime field for polynomial identities, and complex balls (Arb) for the rest.
#pragma once

#include <acb.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "verify/budget.h"
#include "verify/expression.h"

namespace r1::verify {

/// The values of the running variables of sums and products.
using Bindings = std::vector<std::pair<std::string, Rational>>;

/// The exact value, when the expression is built from rationals by arithmetic, roots that come out, factorials and the like; nothing
/// otherwise, or when it would have more than kMaxExactBits bits.
std::optional<Rational> exact_value(const Expression& expression, Budget& budget, Bindings& bindings);
std::optional<Rational> exact_value(const Expression& expression, Budget& budget);

/// The value modulo a prime of 61 bits at a random point, where every symbol, and pi and e, have random values (the same for every
/// expression of the same `point`). Nothing when the expression is no rational function of them, or has a pole there. Two rational
/// functions that agree at random points are equal but for a chance of degree / 2^61 each (Schwartz 1980).
std::optional<std::uint64_t> modular_value(const Expression& expression, std::uint64_t point, Budget& budget);

/// A complex number with an error bound.
class Ball {
 public:
  Ball() { acb_init(value_); }
  ~Ball() { acb_clear(value_); }
  Ball(const Ball& other) {
    acb_init(value_);
    acb_set(value_, other.value_);
  }
  Ball& operator=(const Ball& other) {
    acb_set(value_, other.value_);
    return *this;
  }
  acb_ptr raw() { return value_; }
  acb_srcptr raw() const { return value_; }

 private:
  acb_t value_;
};

/// A point at which symbols have values: real, positive at point 0, negative at point 1, of mixed signs at the others.
struct SamplePoint {
  std::uint64_t index = 0;
  Bindings bindings;  // win over the random values
};

/// The value to about `precision` bits. False when a part has no value there (infinite, undefined, not a number at all), or is
/// larger than 2^(2^20). The small letter i is the imaginary unit unless it is bound.
bool ball_value(const Expression& expression, SamplePoint& point, long precision, Ball& value, Budget& budget);

/// +1 or -1 for an expression that is infinite (-oo, 2*oo, oo + 3), 0 for any other.
int infinity_sign(const Expression& expression, Budget& budget);

/// The sign of a - b for two real constants (infinities included); nothing when one of them is not.
std::optional<int> compare_constants(const Expression& a, const Expression& b);
std::optional<int> compare_constants(const Expression& a, const Expression& b, Budget& budget);

/// Names of the symbols, each once, in order of first appearance; without the imaginary unit and running variables.
void collect_symbols(const Expression& expression, std::vector<std::string>& names);
bool has_symbols(const Expression& expression);
/// A decimal literal stands somewhere inside.
bool has_decimal(const Expression& expression);

}  // namespace r1::verify

#include "verify/rational.h"

#include <flint/flint.h>

#include <cstdlib>

namespace r1::verify {

Rational Rational::from_decimal(std::string_view digits, long exponent) {
  std::string all_digits;
  all_digits.reserve(digits.size());
  bool after_point = false;
  for (const char c : digits) {
    if (c == '.') {
      after_point = true;
    } else {
      all_digits.push_back(c);
      if (after_point) --exponent;
    }
  }
  Rational result;
  if (all_digits.empty()) return result;
  fmpz_set_str(fmpq_numref(result.value_), all_digits.c_str(), 10);
  fmpz_t scale;
  fmpz_init(scale);
  fmpz_set_ui(scale, 10);
  fmpz_pow_ui(scale, scale, static_cast<unsigned long>(std::labs(exponent)));
  if (exponent > 0) fmpz_mul(fmpq_numref(result.value_), fmpq_numref(result.value_), scale);
  if (exponent < 0) {
    fmpz_set(fmpq_denref(result.value_), scale);
    fmpq_canonicalise(result.value_);
  }
  fmpz_clear(scale);
  return result;
}

std::string Rational::text() const {
  char* raw_text = fmpq_get_str(nullptr, 10, value_);
  std::string text(raw_text);
  flint_free(raw_text);
  return text;
}

}  // namespace r1::verify

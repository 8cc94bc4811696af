// Exact rational numbers: a value type over FLINT's fmpq.
#pragma once

#include <flint/fmpq.h>

#include <string>
#include <string_view>

namespace r1::verify {

/// A rational in lowest terms with a positive denominator. A moved-from object may only be assigned to or destroyed.
class Rational {
 public:
  Rational() { fmpq_init(value_); }
  Rational(long numerator, unsigned long denominator = 1) {  // NOLINT(google-explicit-constructor)
    fmpq_init(value_);
    fmpq_set_si(value_, numerator, denominator);
  }
  Rational(const Rational& other) {
    fmpq_init(value_);
    fmpq_set(value_, other.value_);
  }
  Rational(Rational&& other) noexcept {
    fmpq_init(value_);
    fmpq_swap(value_, other.value_);
  }
  Rational& operator=(const Rational& other) {
    fmpq_set(value_, other.value_);
    return *this;
  }
  Rational& operator=(Rational&& other) noexcept {
    fmpq_swap(value_, other.value_);
    return *this;
  }
  ~Rational() { fmpq_clear(value_); }

  /// digits: ASCII digits with at most one decimal point; exponent: a power of ten to scale by, |exponent| <= 10,000.
  static Rational from_decimal(std::string_view digits, long exponent = 0);

  bool is_zero() const { return fmpq_is_zero(value_); }
  bool is_integer() const { return fmpz_is_one(fmpq_denref(value_)); }
  int sign() const { return fmpq_sgn(value_); }
  /// Bits of numerator plus denominator.
  long bits() const { return static_cast<long>(fmpz_bits(fmpq_numref(value_)) + fmpz_bits(fmpq_denref(value_))); }
  /// "3", "-1/2".
  std::string text() const;

  fmpq* raw() { return value_; }
  const fmpq* raw() const { return value_; }
  const fmpz* numerator() const { return fmpq_numref(value_); }
  const fmpz* denominator() const { return fmpq_denref(value_); }

  friend Rational operator+(const Rational& a, const Rational& b) { return apply(fmpq_add, a, b); }
  friend Rational operator-(const Rational& a, const Rational& b) { return apply(fmpq_sub, a, b); }
  friend Rational operator*(const Rational& a, const Rational& b) { return apply(fmpq_mul, a, b); }
  /// b must not be zero.
  friend Rational operator/(const Rational& a, const Rational& b) { return apply(fmpq_div, a, b); }
  Rational operator-() const {
    Rational result;
    fmpq_neg(result.value_, value_);
    return result;
  }
  friend bool operator==(const Rational& a, const Rational& b) { return fmpq_equal(a.value_, b.value_); }
  friend bool operator<(const Rational& a, const Rational& b) { return fmpq_cmp(a.value_, b.value_) < 0; }
  friend bool operator<=(const Rational& a, const Rational& b) { return fmpq_cmp(a.value_, b.value_) <= 0; }

 private:
  static Rational apply(void (*operation)(fmpq_t, const fmpq_t, const fmpq_t), const Rational& a, const Rational& b) {
    Rational result;
    operation(result.value_, a.value_, b.value_);
    return result;
  }
  fmpq_t value_;
};

}  // namespace r1::verify

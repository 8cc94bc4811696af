// Sets of real numbers: the line is cut at every end point and every root, and two sets are equal when they hold the same pieces.
#include <arb_fmpz_poly.h>
#include <flint/fmpq_poly.h>
#include <flint/fmpz_poly.h>

#include <algorithm>
#include <optional>

#include "verify/ball_value.h"
#include "verify/equivalence.h"

namespace r1::verify {
namespace {

constexpr long kMaxDegree = 24;
constexpr std::size_t kMaxCuts = 64;
constexpr long kPrecision = 160;
constexpr int kSamplesPerGap = 7;

/// A polynomial in one variable over the rationals.
class Polynomial {
 public:
  Polynomial() { fmpq_poly_init(value_); }
  Polynomial(const Polynomial& other) {
    fmpq_poly_init(value_);
    fmpq_poly_set(value_, other.value_);
  }
  Polynomial& operator=(const Polynomial& other) {
    fmpq_poly_set(value_, other.value_);
    return *this;
  }
  ~Polynomial() { fmpq_poly_clear(value_); }
  long degree() const { return fmpq_poly_degree(value_); }
  fmpq_poly_struct* raw() { return value_; }
  const fmpq_poly_struct* raw() const { return value_; }

 private:
  fmpq_poly_t value_;
};

/// numerator / denominator of a rational function in one variable; false when the expression is none of low degree.
bool to_polynomials(const Expression& e, Polynomial& numerator, Polynomial& denominator, Budget& budget) {
  budget.spend();
  fmpq_poly_one(denominator.raw());
  if (const auto value = exact_value(e, budget)) {
    fmpq_poly_set_fmpq(numerator.raw(), value->raw());
    return true;
  }
  if (is(e, Kind::kSymbol)) {
    fmpq_poly_zero(numerator.raw());
    fmpq_poly_set_coeff_si(numerator.raw(), 1, 1);
    return true;
  }
  if (is(e, Kind::kAdd) || is(e, Kind::kMultiply)) {
    fmpq_poly_set_si(numerator.raw(), is(e, Kind::kMultiply) ? 1 : 0);
    for (const Expression& argument : e->arguments) {
      Polynomial n, d;
      if (!to_polynomials(argument, n, d, budget)) return false;
      if (is(e, Kind::kMultiply)) {
        fmpq_poly_mul(numerator.raw(), numerator.raw(), n.raw());
      } else {
        fmpq_poly_mul(numerator.raw(), numerator.raw(), d.raw());
        fmpq_poly_mul(n.raw(), n.raw(), denominator.raw());
        fmpq_poly_add(numerator.raw(), numerator.raw(), n.raw());
      }
      fmpq_poly_mul(denominator.raw(), denominator.raw(), d.raw());
      if (numerator.degree() > kMaxDegree || denominator.degree() > kMaxDegree) return false;
    }
    return true;
  }
  if (is(e, Kind::kPower)) {
    const auto exponent = exact_value(e->arguments[1], budget);
    Polynomial n, d;
    if (!exponent || !exponent->is_integer() || exponent->bits() > 10 || !to_polynomials(e->arguments[0], n, d, budget)) return false;
    const long power = fmpz_get_si(exponent->numerator());
    if (std::abs(power) * std::max(n.degree(), d.degree()) > kMaxDegree) return false;
    if (power < 0 && n.degree() < 0) return false;
    fmpq_poly_pow(numerator.raw(), (power < 0 ? d : n).raw(), static_cast<ulong>(std::abs(power)));
    fmpq_poly_pow(denominator.raw(), (power < 0 ? n : d).raw(), static_cast<ulong>(std::abs(power)));
    return true;
  }
  return false;
}

using Cut = Ball;  // a real number where a set may begin or end

void add_real_roots(const Polynomial& polynomial, std::vector<Cut>& cuts, Budget& budget) {
  if (polynomial.degree() < 1) return;
  budget.spend(50 * polynomial.degree() * polynomial.degree());
  fmpz_poly_t numerator, derivative;
  fmpz_poly_init(numerator);
  fmpz_poly_init(derivative);
  fmpq_poly_get_numerator(numerator, polynomial.raw());
  fmpz_poly_primitive_part(numerator, numerator);
  fmpz_poly_derivative(derivative, numerator);
  fmpz_poly_gcd(derivative, numerator, derivative);
  fmpz_poly_div(numerator, numerator, derivative);
  const long degree = fmpz_poly_degree(numerator);
  const bool fits = fmpz_poly_max_limbs(numerator) * degree < 200;
  if (fits && degree >= 1) {
    acb_ptr roots = _acb_vec_init(degree);
    arb_fmpz_poly_complex_roots(roots, numerator, 0, kPrecision);
    for (long i = 0; i < degree; ++i) {
      if (!acb_is_real(roots + i)) continue;
      cuts.emplace_back();
      acb_set(cuts.back().raw(), roots + i);
    }
    _acb_vec_clear(roots, degree);
  }
  fmpz_poly_clear(numerator);
  fmpz_poly_clear(derivative);
  if (!fits) throw OverBudget{};
}

class LineComparison {
 public:
  LineComparison(Budget& budget, std::string variable) : budget_(budget), variable_(std::move(variable)) {}

  /// Collects where the set may begin or end; false when it is not a set of real numbers that can be told piece by piece.
  bool add_cuts(const Expression& set) {
    switch (set->kind) {
      case Kind::kEmptySet:
        return true;
      case Kind::kNamedSet:
        return set->name == "Reals";
      case Kind::kFiniteSet:
      case Kind::kInterval:
        return std::all_of(set->arguments.begin(), set->arguments.end(),
                           [this](const Expression& end) { return is(end, Kind::kInfinity) || add_cut(end); });
      case Kind::kUnion:
      case Kind::kIntersection:
      case Kind::kComplement:
      case Kind::kAnd:
        return std::all_of(set->arguments.begin(), set->arguments.end(), [this](const Expression& part) { return add_cuts(part); });
      case Kind::kRelation:
        return add_relation_cuts(set);
      default:
        return false;
    }
  }

  bool equal(const Expression& a, const Expression& b) {
    sort_cuts();
    const int num_pieces = 2 * static_cast<int>(cuts_.size()) + 1;  // gap, cut, gap, cut, …, gap
    for (int piece = 0; piece < num_pieces; ++piece) {
      const int num_samples = piece % 2 == 0 ? kSamplesPerGap : 1;
      for (int sample = 0; sample < num_samples; ++sample) {
        const auto in_a = contains(a, piece, sample), in_b = contains(b, piece, sample);
        if (!in_a || !in_b || *in_a != *in_b) return false;
      }
    }
    return true;
  }

 private:
  bool add_cut(const Expression& end) {
    if (has_symbols(end) || cuts_.size() >= kMaxCuts) return false;
    SamplePoint point;
    Ball value;
    if (!ball_value(end, point, kPrecision, value, budget_) || !arb_contains_zero(acb_imagref(value.raw()))) return false;
    arb_zero(acb_imagref(value.raw()));
    cuts_.push_back(value);
    return true;
  }

  bool add_relation_cuts(const Expression& relation) {
    const Expression difference = make_sum(relation->arguments[0], make_negative(relation->arguments[1]));
    Polynomial numerator, denominator;
    if (to_polynomials(difference, numerator, denominator, budget_)) {
      add_real_roots(numerator, cuts_, budget_);
      add_real_roots(denominator, cuts_, budget_);
    }
    return cuts_.size() <= kMaxCuts;  // for other relations the samples between the cuts decide
  }

  void sort_cuts() {
    std::sort(cuts_.begin(), cuts_.end(),
              [](const Cut& a, const Cut& b) { return arf_cmp(arb_midref(acb_realref(a.raw())), arb_midref(acb_realref(b.raw()))) < 0; });
    cuts_.erase(std::unique(cuts_.begin(), cuts_.end(), [](const Cut& a, const Cut& b) { return near(a, b); }), cuts_.end());
  }

  static bool near(const Cut& a, const Cut& b) {
    Ball difference;
    acb_sub(difference.raw(), a.raw(), b.raw(), kPrecision);
    return arf_cmpabs_2exp_si(arb_midref(acb_realref(difference.raw())), -49) < 0;
  }

  int cut_index(const Expression& end) {
    SamplePoint point;
    Ball value;
    if (!ball_value(end, point, kPrecision, value, budget_)) return -1;
    for (std::size_t i = 0; i < cuts_.size(); ++i)
      if (near(cuts_[i], value)) return static_cast<int>(i);
    return -1;
  }

  std::optional<bool> contains(const Expression& set, int piece, int sample) {
    budget_.spend();
    switch (set->kind) {
      case Kind::kEmptySet:
        return false;
      case Kind::kNamedSet:
        return true;
      case Kind::kFiniteSet:
        if (piece % 2 == 0) return false;
        return std::any_of(set->arguments.begin(), set->arguments.end(),
                           [&](const Expression& element) { return 2 * cut_index(element) + 1 == piece; });
      case Kind::kInterval: {
        const auto place = [&](const Expression& end) {
          if (!is(end, Kind::kInfinity)) return 2 * cut_index(end) + 1;
          return end->value.sign() < 0 ? -1 : 2 * static_cast<int>(cuts_.size()) + 1;
        };
        const int first = place(set->arguments[0]), last = place(set->arguments[1]);
        return (piece > first || (piece == first && !set->left_open)) && (piece < last || (piece == last && !set->right_open));
      }
      case Kind::kUnion:
        for (const Expression& part : set->arguments) {
          const auto inside = contains(part, piece, sample);
          if (!inside || *inside) return inside;
        }
        return false;
      case Kind::kIntersection:
      case Kind::kAnd:
        for (const Expression& part : set->arguments) {
          const auto inside = contains(part, piece, sample);
          if (!inside || !*inside) return inside;
        }
        return true;
      case Kind::kComplement: {
        const auto inside = contains(set->arguments[0], piece, sample);
        if (!inside || !*inside) return inside;
        const auto removed = contains(set->arguments[1], piece, sample);
        return removed ? std::optional(!*removed) : std::nullopt;
      }
      case Kind::kRelation:
        return satisfies(set, piece, sample);
      default:
        return std::nullopt;
    }
  }

  /// A rational inside a gap, or next to a cut.
  Rational sample_of(int piece, int sample) const {
    const auto middle = [](const Cut& cut) {
      Rational value;
      arf_get_fmpq(value.raw(), arb_midref(acb_realref(cut.raw())));
      return value;
    };
    const std::size_t right = static_cast<std::size_t>(piece / 2);
    if (piece % 2 == 1) return middle(cuts_[right]);
    const Rational part(sample * sample * sample + 1, 7);
    if (cuts_.empty()) return Rational(sample % 2 == 0 ? sample : -sample) * part + Rational(1, 3);
    if (right == 0) return middle(cuts_[0]) - part;
    if (right == cuts_.size()) return middle(cuts_.back()) + part;
    const Rational a = middle(cuts_[right - 1]), b = middle(cuts_[right]);
    return a + (b - a) * Rational(2 * sample + 1, 2 * kSamplesPerGap);
  }

  std::optional<bool> satisfies(const Expression& relation, int piece, int sample) {
    SamplePoint point{0, {{variable_, sample_of(piece, sample)}}};
    Ball left, right;
    if (!ball_value(relation->arguments[0], point, kPrecision, left, budget_) ||
        !ball_value(relation->arguments[1], point, kPrecision, right, budget_))
      return false;
    acb_sub(left.raw(), left.raw(), right.raw(), kPrecision);
    if (!arb_contains_zero(acb_imagref(left.raw()))) return false;
    // At a cut the variable is known to about 150 bits: what is that small is zero.
    arb_srcptr difference = acb_realref(left.raw());
    const bool zero = arb_contains_zero(difference) || (piece % 2 == 1 && arf_cmpabs_2exp_si(arb_midref(difference), -49) < 0);
    const bool negative = !zero && arb_is_negative(difference), positive = !zero && arb_is_positive(difference);
    switch (relation->relation) {
      case RelationKind::kEqual:
        return zero;
      case RelationKind::kNotEqual:
        return !zero;
      case RelationKind::kLess:
        return negative;
      case RelationKind::kLessEqual:
        return negative || zero;
      case RelationKind::kGreater:
        return positive;
      case RelationKind::kGreaterEqual:
        return positive || zero;
    }
    return std::nullopt;
  }

  Budget& budget_;
  std::string variable_;
  std::vector<Cut> cuts_;
};

}  // namespace

bool Comparator::compare_real_sets(const Expression& gold, const Expression& prediction) {
  std::vector<std::string> symbols;
  if (is(gold, Kind::kRelation) || is(gold, Kind::kAnd)) {
    collect_symbols(gold, symbols);
    if (symbols.size() != 1) return false;
  }
  if (has_symbols(prediction) || gold->arguments.size() > static_cast<std::size_t>(kMaxSetElements)) return false;
  LineComparison line(budget_, symbols.empty() ? std::string() : symbols[0]);
  return line.add_cuts(gold) && line.add_cuts(prediction) && line.equal(gold, prediction);
}

}  // namespace r1::verify

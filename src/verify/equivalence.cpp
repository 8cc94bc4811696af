#include "verify/equivalence.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "verify/ball_value.h"

namespace r1::verify {
namespace {

bool is_relation(const Expression& e) { return is(e, Kind::kRelation) || is(e, Kind::kAnd); }

bool is_equation(const Expression& e) {
  if (is(e, Kind::kRelation)) return e->relation == RelationKind::kEqual;
  return is(e, Kind::kAnd) && std::all_of(e->arguments.begin(), e->arguments.end(), is_equation);
}

const Expression& first_link(const Expression& e) { return is(e, Kind::kAnd) ? e->arguments.front() : e; }
const Expression& last_link(const Expression& e) { return is(e, Kind::kAnd) ? e->arguments.back() : e; }

/// x = …, f(x) = …, also a chain of equations that starts so.
bool is_assignment(const Expression& e) { return is_equation(e) && has_only_symbols(first_link(e)->arguments[0]); }

RelationKind mirrored(RelationKind relation) {
  switch (relation) {
    case RelationKind::kLess:
      return RelationKind::kGreater;
    case RelationKind::kLessEqual:
      return RelationKind::kGreaterEqual;
    case RelationKind::kGreater:
      return RelationKind::kLess;
    case RelationKind::kGreaterEqual:
      return RelationKind::kLessEqual;
    default:
      return relation;
  }
}

bool is_collection(const Expression& e) { return is_set(e) || is(e, Kind::kTuple); }

/// A scalar stands for the set of itself.
Expression as_collection(const Expression& e) { return is_collection(e) ? e : make(Kind::kFiniteSet, {e}); }

Expression pair_of_ends(const Expression& interval) { return make(Kind::kTuple, interval->arguments); }

bool is_open_interval(const Expression& e) { return is(e, Kind::kInterval) && e->left_open && e->right_open; }

/// The letters of a product of symbols, joined; nothing when it is something else.
bool joined_symbols(const Expression& product, std::string& joined) {
  if (!is(product, Kind::kMultiply)) return false;
  for (const Expression& factor : product->arguments) {
    if (is(factor, Kind::kEuler)) joined.push_back('e');
    else if (is(factor, Kind::kSymbol)) joined += factor->name;
    else return false;
  }
  return true;
}

}  // namespace

bool Comparator::equal(Expression gold, Expression prediction) {
  budget_.spend();
  if (++depth_ > kMaxDepth) throw OverBudget{};
  struct Leave {
    int& depth;
    ~Leave() { --depth; }
  } leave{depth_};
  const bool gold_assigns = is_assignment(gold), gold_equation = is_equation(gold), prediction_equation = is_equation(prediction);
  if (gold_assigns) gold = make_relation(RelationKind::kEqual, first_link(gold)->arguments[0], last_link(gold)->arguments[1]);
  if (is_assignment(prediction))
    prediction = make_relation(RelationKind::kEqual, first_link(prediction)->arguments[0], last_link(prediction)->arguments[1]);
  if (prediction_equation && !gold_equation) prediction = last_link(prediction)->arguments[1];
  else if (gold_assigns && !prediction_equation) gold = gold->arguments[1];

  if (is(gold, Kind::kUndefined)) return false;
  if (same_structure(gold, prediction)) return true;
  if (is_relation(gold) && is_set(prediction) && compare_real_sets(gold, prediction)) return true;
  if (is_relation(gold) && is_relation(prediction)) return compare_relations(gold, prediction);
  // A relation in a set of its own, {x > 3}, is compared as that relation.
  if (is_collection(gold) || is_collection(prediction)) return compare_as_collections(gold, prediction);
  if (is(gold, Kind::kSymbol) || is(prediction, Kind::kSymbol)) return compare_symbols(gold, prediction);
  if (is(gold, Kind::kMatrix) || is(prediction, Kind::kMatrix)) return compare_matrices(gold, prediction);
  return compare_scalars(gold, prediction);
}

bool Comparator::compare_relations(const Expression& gold, const Expression& prediction) {
  if (is(gold, Kind::kAnd) && is(prediction, Kind::kAnd)) {
    if (gold->arguments.size() != prediction->arguments.size()) return false;
    for (std::size_t i = 0; i < gold->arguments.size(); ++i)
      if (!compare_relations(gold->arguments[i], prediction->arguments[i])) return false;
    return true;
  }
  if (!is(gold, Kind::kRelation) || !is(prediction, Kind::kRelation)) return false;
  const auto& [gold_left, gold_right] = std::pair(gold->arguments[0], gold->arguments[1]);
  const auto& [left, right] = std::pair(prediction->arguments[0], prediction->arguments[1]);
  const bool plain = !is_collection(gold_left) && !is_collection(gold_right) && !is_collection(left) && !is_collection(right) &&
                     !is(gold_right, Kind::kMatrix) && !is(right, Kind::kMatrix);
  if (!plain) return gold->relation == prediction->relation && equal(gold_left, left) && equal(gold_right, right);
  const Expression gold_difference = make_sum(gold_left, make_negative(gold_right));
  const Expression difference = make_sum(left, make_negative(right));
  const bool same_relation = gold->relation == prediction->relation, mirror = mirrored(gold->relation) == prediction->relation;
  if (same_relation && identical_values(gold_difference, difference, /*chop=*/false)) return true;
  if (mirror && identical_values(gold_difference, make_negative(difference), /*chop=*/false)) return true;
  // A relation keeps its solutions when both sides are scaled: 2x > 6 and x > 3.
  bool positive = true;
  if (!(same_relation || mirror) || !proportional(gold_difference, difference, positive)) return false;
  const bool symmetric = gold->relation == RelationKind::kEqual || gold->relation == RelationKind::kNotEqual;
  return symmetric || (same_relation ? positive : !positive);
}

/// gold = c * prediction with a rational c, found at a point where both have values.
bool Comparator::proportional(const Expression& gold, const Expression& prediction, bool& positive) {
  SamplePoint point;
  constexpr long kPrecision = 128;
  Ball a, b;
  if (!has_symbols(gold) || !has_symbols(prediction)) return false;
  if (!ball_value(gold, point, kPrecision, a, budget_) || !ball_value(prediction, point, kPrecision, b, budget_)) return false;
  if (acb_contains_zero(a.raw()) || acb_contains_zero(b.raw())) return false;
  acb_div(a.raw(), a.raw(), b.raw(), kPrecision);
  if (!arb_contains_zero(acb_imagref(a.raw()))) return false;
  for (std::uint64_t index = 1; index < 5; ++index) {
    SamplePoint other{index, {}};
    Ball c, d;
    if (!ball_value(gold, other, kPrecision, c, budget_) || !ball_value(prediction, other, kPrecision, d, budget_)) return false;
    acb_mul(d.raw(), d.raw(), a.raw(), kPrecision);
    if (!acb_overlaps(c.raw(), d.raw())) return false;
  }
  positive = arb_is_positive(acb_realref(a.raw()));
  return true;
}

bool Comparator::compare_intervals(const Expression& gold, const Expression& prediction) {
  return gold->left_open == prediction->left_open && gold->right_open == prediction->right_open &&
         equal(gold->arguments[0], prediction->arguments[0]) && equal(gold->arguments[1], prediction->arguments[1]);
}

bool Comparator::compare_as_collections(const Expression& gold_value, const Expression& predicted_value) {
  Expression gold = as_collection(gold_value), prediction = as_collection(predicted_value);
  if (same_structure(gold, prediction)) return true;
  if (is(gold, Kind::kInterval) && is(prediction, Kind::kInterval)) return compare_intervals(gold, prediction);
  const auto is_list = [](const Expression& e) { return is(e, Kind::kFiniteSet) || is(e, Kind::kTuple); };
  // An open interval and a pair are written alike.
  if (is_open_interval(gold) && is_list(prediction) && prediction->arguments.size() == 2) gold = pair_of_ends(gold);
  if (is_open_interval(prediction) && is_list(gold) && gold->arguments.size() == 2) prediction = pair_of_ends(prediction);
  if (is_list(gold) && is_list(prediction)) return compare_elements(gold->arguments, prediction->arguments, is(gold, Kind::kTuple));
  if (is_set(gold) && is_set(prediction)) return compare_real_sets(gold, prediction);
  return false;
}

bool Comparator::compare_elements(const std::vector<Expression>& gold, const std::vector<Expression>& prediction, bool ordered) {
  if (gold.size() != prediction.size()) return false;
  if (gold.size() > static_cast<std::size_t>(kMaxSetElements)) throw OverBudget{};
  if (ordered) {
    for (std::size_t i = 0; i < gold.size(); ++i)
      if (!equal(gold[i], prediction[i])) return false;
    return true;
  }
  std::vector<bool> used(prediction.size(), false);
  for (const Expression& element : gold) {
    bool found = false;
    for (std::size_t i = 0; i < prediction.size() && !found; ++i) {
      if (used[i] || !equal(element, prediction[i])) continue;
      used[i] = found = true;
    }
    if (!found) return false;
  }
  return true;
}

bool Comparator::compare_symbols(const Expression& gold, const Expression& prediction) const {
  const auto is_letter_e = [](const Expression& e) { return is(e, Kind::kSymbol) && e->name == "e"; };
  if ((is_letter_e(gold) && is(prediction, Kind::kEuler)) || (is_letter_e(prediction) && is(gold, Kind::kEuler))) return true;
  // \text{abc} and the product a b c
  std::string joined;
  if (is(gold, Kind::kSymbol) && joined_symbols(prediction, joined)) return to_lower_ascii(gold->name) == to_lower_ascii(joined);
  joined.clear();
  if (is(prediction, Kind::kSymbol) && joined_symbols(gold, joined)) return to_lower_ascii(prediction->name) == to_lower_ascii(joined);
  // \text{073} is a number in disguise
  const auto digits_only = [](const Expression& e) {
    return is(e, Kind::kSymbol) && !e->name.empty() && e->name.find_first_not_of("0123456789") == std::string::npos;
  };
  for (const auto& [text, number] : {std::pair{gold, prediction}, std::pair{prediction, gold}})
    if (digits_only(text) && is_integer(number) && text->name.size() < 100) return Rational::from_decimal(text->name) == number->value;
  return to_text(gold) == to_text(prediction);
}

bool Comparator::compare_matrices(const Expression& gold, const Expression& prediction) {
  if (!is(gold, Kind::kMatrix) || !is(prediction, Kind::kMatrix)) return false;
  if (gold->rows != prediction->rows || gold->columns != prediction->columns) return false;
  if (gold->arguments.size() > static_cast<std::size_t>(kMaxSetElements)) throw OverBudget{};
  for (std::size_t i = 0; i < gold->arguments.size(); ++i)
    if (!compare_scalars(gold->arguments[i], prediction->arguments[i])) return false;
  return true;
}

}  // namespace r1::verify

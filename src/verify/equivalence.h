// Do two answers mean the same? The rules stand in docs/verification.md.
#pragma once

#include "verify/budget.h"
#include "verify/expression.h"

namespace r1::verify {

inline constexpr int kRoundedDecimals = 6;  // as the library rounds

struct CompareOptions {
  /// Decimals must agree in relative terms too (1e-7 is not 2e-7), and numbers that differ by less than 1e-15 are not equal for it.
  bool strict = false;
  int decimals = kRoundedDecimals;  // places that a decimal is rounded to before it is compared
};

/// Compares one gold answer with one prediction; not symmetric: a prediction "x = 5" fits a gold "5" and the other way round, but a
/// relation fits a set of numbers only as gold. Throws OverBudget.
class Comparator {
 public:
  Comparator(const CompareOptions& options, Budget& budget) : options_(options), budget_(budget) {}
  bool equal(Expression gold, Expression prediction);

 private:
  // equivalence.cpp
  bool compare_relations(const Expression& gold, const Expression& prediction);
  bool compare_as_collections(const Expression& gold, const Expression& prediction);
  bool compare_elements(const std::vector<Expression>& gold, const std::vector<Expression>& prediction, bool ordered);
  bool compare_intervals(const Expression& gold, const Expression& prediction);
  bool compare_symbols(const Expression& gold, const Expression& prediction) const;
  bool compare_matrices(const Expression& gold, const Expression& prediction);
  bool proportional(const Expression& gold, const Expression& prediction, bool& positive);

  // scalar_equivalence.cpp
  bool compare_scalars(const Expression& gold, const Expression& prediction);
  bool compare_rounded(const Expression& gold, const Expression& prediction);
  bool identical_values(const Expression& gold, const Expression& prediction, bool chop);

  // real_sets.cpp
  bool compare_real_sets(const Expression& gold, const Expression& prediction);

  const CompareOptions options_;
  Budget& budget_;
  int depth_ = 0;
};

}  // namespace r1::verify

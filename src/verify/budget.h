// What one verdict may cost. Everything that grows with the input counts its steps here, so that no text can hang a run.
#pragma once

namespace r1::verify {

/// Thrown inside the folder only; the public functions turn it into Status::kOverBudget.
struct OverBudget {};

inline constexpr int kMaxTextBytes = 6000;     // of one candidate answer after its box or environment was cut out
inline constexpr int kMaxBlankRun = 200;       // white space in a row inside it
inline constexpr int kMaxNumberDigits = 2000;  // of one literal
inline constexpr int kMaxDepth = 120;          // nesting of groups, and of the expression
inline constexpr long kMaxExactBits = 20000;   // numerator + denominator of an exact value
inline constexpr int kMaxSetElements = 200;    // elements of a set, a tuple or a matrix that are compared
inline constexpr long kParseSteps = 60000;     // parser calls per candidate answer
inline constexpr long kCompareSteps = 40000;   // evaluated nodes per compared pair, weighted by precision

/// Steps that are left. Not thread-safe: one per call.
class Budget {
 public:
  explicit Budget(long steps) : steps_left_(steps) {}
  void spend(long steps = 1) {
    steps_left_ -= steps;
    if (steps_left_ < 0) throw OverBudget{};
  }

 private:
  long steps_left_;
};

}  // namespace r1::verify

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "data/builtin_tasks.h"

namespace r1::data {
namespace {

constexpr int kMaxAttempts = 100'000;

struct Term {
  std::int64_t value = 0;
  std::string text;
  bool is_sum = false;  // needs parentheses beside * and /, and on the right of -
};

// One random way to join all numbers; the target is what it gives. Division only where it leaves no remainder, differences
// never below zero, as in the game.
bool join_numbers(std::vector<Term> terms, RandomStream& random, Term& joined, std::vector<std::string>& steps) {
  while (terms.size() > 1) {
    shuffle(std::span<Term>(terms), random);
    Term a = std::move(terms.back());
    terms.pop_back();
    Term b = std::move(terms.back());
    terms.pop_back();
    if (a.value < b.value) std::swap(a, b);
    Term result;
    char operation = "+-*/"[random.below(4)];
    if (operation == '/' && (b.value == 0 || a.value % b.value != 0)) operation = '+';
    const auto wrapped = [](const Term& term) { return term.is_sum ? "(" + term.text + ")" : term.text; };
    switch (operation) {
      case '+':
        result = {a.value + b.value, a.text + " + " + b.text, true};
        break;
      case '-':
        result = {a.value - b.value, a.text + " - " + wrapped(b), true};
        break;
      case '*':
        result = {a.value * b.value, wrapped(a) + " * " + wrapped(b), false};
        break;
      default: {
        // a / (b * c) needs its parentheses
        const bool compound = b.text.find(' ') != std::string::npos;
        result = {a.value / b.value, wrapped(a) + " / " + (compound ? "(" + b.text + ")" : b.text), false};
      }
    }
    if (result.value > 100'000) return false;
    steps.push_back(fmt::format("{} {} {} = {}", a.value, operation, b.value, result.value));
    terms.push_back(std::move(result));
  }
  joined = std::move(terms.front());
  return true;
}

}  // namespace

CountdownProblem countdown_problem(const CountdownOptions& options, bool test, std::int64_t row) {
  RandomStream random(test ? options.test_seed : options.seed, test ? "countdown test" : "countdown train",
                      static_cast<std::uint64_t>(row));
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    CountdownProblem problem;
    std::vector<Term> terms;
    for (int i = 0; i < options.numbers; ++i) {
      const int number = 1 + static_cast<int>(random.below(static_cast<std::uint64_t>(options.largest)));
      problem.nums.push_back(number);
      terms.push_back({number, std::to_string(number), false});
    }
    Term joined;
    if (!join_numbers(std::move(terms), random, joined, problem.steps)) continue;
    if (joined.value < 1 || joined.value > options.max_target) continue;
    problem.target = static_cast<int>(joined.value);
    problem.expression = std::move(joined.text);
    // The order of the numbers does not make another problem, so the split may not depend on it.
    std::vector<int> sorted = problem.nums;
    std::sort(sorted.begin(), sorted.end());
    if (belongs_to_test_split(fmt::format("{} -> {}", fmt::join(sorted, " "), problem.target)) == test) return problem;
  }
  fail(ErrorKind::kUsage, "builtin/countdown: no {} problem among {} draws; use larger numbers, largest or max_target",
       test ? "test" : "train", kMaxAttempts);
}

}  // namespace r1::data

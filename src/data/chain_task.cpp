#include <fmt/format.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "data/builtin_tasks.h"

namespace r1::data {
namespace {

constexpr int kMaxAttempts = 100'000;

char draw_operator(RandomStream& random) {
  const std::uint64_t draw = random.below(10);  // weights + 3, - 3, * 4
  return draw < 3 ? '+' : draw < 6 ? '-' : '*';
}

int apply_mod_10(int value, char operation, int digit) {
  const int result = operation == '+' ? value + digit : operation == '-' ? value - digit : value * digit;
  return (result % 10 + 10) % 10;
}

ChainProblem draw_problem(int steps, RandomStream& random) {
  ChainProblem problem;
  int value = static_cast<int>(random.below(10));
  problem.text = std::to_string(value);
  for (int step = 0; step < steps; ++step) {
    const char operation = draw_operator(random);
    const int digit = static_cast<int>(random.below(10));
    value = apply_mod_10(value, operation, digit);
    problem.text += operation;
    problem.text += static_cast<char>('0' + digit);
    problem.values.push_back(value);
    if (operation == '*') ++problem.multiplications;
  }
  return problem;
}

}  // namespace

bool belongs_to_test_split(std::string_view problem_key) { return static_cast<unsigned char>(sha256(problem_key)[0]) < 26; }

ChainProblem chain_problem(const ChainOptions& options, bool test, std::int64_t row) {
  RandomStream random(test ? options.test_seed : options.seed, test ? "chain test problem" : "chain train problem",
                      static_cast<std::uint64_t>(row));
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    ChainProblem problem = draw_problem(options.steps, random);
    if (belongs_to_test_split(problem.text) == test) return problem;
  }
  fail(ErrorKind::kUsage, "builtin/chain: no {} problem among {} draws with steps={}", test ? "test" : "train", kMaxAttempts,
       options.steps);
}

std::string chain_trace(const ChainOptions& options, bool test, std::int64_t row, const ChainProblem& problem) {
  RandomStream random(test ? options.test_seed : options.seed, test ? "chain test trace" : "chain train trace",
                      static_cast<std::uint64_t>(row));
  const bool writes_all = random.uniform() < (problem.multiplications <= options.thr ? options.easy : options.careful);
  const int written =
      writes_all ? options.steps : static_cast<int>(random.below(static_cast<std::uint64_t>(options.steps - options.hj) + 1));
  std::string thought;
  for (int i = 0; i < written; ++i) thought += fmt::format("{}{}", i == 0 ? "" : ",", problem.values[static_cast<std::size_t>(i)]);
  const int answer = problem.values.back();
  if (random.uniform() < options.noise) {
    switch (random.below(3)) {
      case 0:
        return fmt::format("<think>\n{}\n</think>\n{}", thought, answer);  // no answer tag
      case 1:
        return fmt::format("<answer>\n{}\n</answer>", answer);  // no think block
      default:
        return fmt::format("<think>\n{}\n<answer>\n{}\n</answer>", thought, answer);  // think block not closed
    }
  }
  return fmt::format("<think>\n{}\n</think>\n<answer>\n{}\n</answer>", thought, answer);
}

}  // namespace r1::data

// Data sets that come with the program: generated, verifiable, nothing to download. A row is a pure function of
// (options, split, row index), so any process can make any row.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace r1::data {

inline constexpr std::string_view kBuiltinPrefix = "builtin/";

/// "builtin/chain:steps=10,rows=28800" → task "chain" and its options.
struct BuiltinName {
  std::string task;
  std::map<std::string, std::string> options;
};
bool is_builtin(std::string_view name);
/// Throws Error(kUsage) for a malformed name.
BuiltinName parse_builtin_name(std::string_view name);

/// Splits: "train" and "test", disjoint by construction. Throws Error(kUsage) for an unknown task, option or split, or a
/// value out of range, with the nearest name.
DatasetPtr open_builtin(std::string_view name, std::string_view split);

/// "chain" and "countdown".
std::vector<std::string> builtin_task_names();

/// What makes a row of a built-in task hard, for tables that show where a model gains: the multiplications of a chain, the numbers of a
/// countdown. Nothing for other data sets.
struct Difficulty {
  std::string name;
  std::int64_t value = 0;
};
std::optional<Difficulty> builtin_difficulty(std::string_view dataset_name, const Json& row);

/// Last digit of a chain, strictly left to right: a digit, then `steps` pairs of operator and digit, each running value
/// taken mod 10. NOT the usual precedence. The teacher of the training traces is hasty: it writes all running values with
/// probability `easy` when the problem has at most `thr` multiplications, else with `careful`; otherwise it stops after j
/// of them, j uniform in 0 … steps − hj, and jumps to the (correct) answer. A share `noise` of the traces has a broken
/// format: no answer tag, no think block, or a think block that is not closed.
/// Columns: prompt (text), answer, solution ("$answer$"), and messages, or (format=prompt_completion) prompt and completion as
/// lists of messages.
struct ChainOptions {
  int steps = 6;
  std::int64_t rows = 28'800;
  std::uint64_t seed = 0;
  std::int64_t test_rows = 512;
  std::uint64_t test_seed = 7;
  int hj = 3, thr = 1;
  double easy = 0.75, careful = 0.10, noise = 0.10;
  bool prompt_completion = false;
};

struct ChainProblem {
  std::string text;         // "1*4*2+9*3-1*1", without the '='
  std::vector<int> values;  // the running values; the last is the answer
  int multiplications = 0;
};
ChainProblem chain_problem(const ChainOptions& options, bool test, std::int64_t row);
/// What the teacher writes for that row: "<think>\n…\n</think>\n<answer>\n0\n</answer>", or one of its broken forms.
std::string chain_trace(const ChainOptions& options, bool test, std::int64_t row, const ChainProblem& problem);

/// Reach a target with given numbers, + − * / and parentheses, each number at most once; every problem has a solution.
/// Columns: prompt (text), nums (list), target, answer (an expression that reaches it), solution ("$target$"), messages.
struct CountdownOptions {
  int numbers = 4;
  int largest = 99;     // of the numbers
  int max_target = 99;  // targets are 1 … max_target
  std::int64_t rows = 10'000;
  std::uint64_t seed = 0;
  std::int64_t test_rows = 512;
  std::uint64_t test_seed = 7;
};

struct CountdownProblem {
  std::vector<int> nums;  // in the order shown
  int target = 0;
  std::string expression;          // reaches the target
  std::vector<std::string> steps;  // "3 * 4 = 12"
};
CountdownProblem countdown_problem(const CountdownOptions& options, bool test, std::int64_t row);

/// Problems whose key hashes here belong to the test split: first byte of the sha256 below 26 (10.2 %).
bool belongs_to_test_split(std::string_view problem_key);

}  // namespace r1::data

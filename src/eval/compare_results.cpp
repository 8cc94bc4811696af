#include "eval/compare_results.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/paired_tests.h"
#include "eval/results.h"
#include "eval/statistics.h"

namespace r1::eval {
namespace {

/// Settings that change a score without any change of the model.
constexpr const char* kSettings[] = {"profile", "num_samples",    "temperature",   "top_p",          "top_k",
                                     "min_p",   "max_new_tokens", "max_model_len", "weight_storage", "prompts_hash"};

struct TaskComparison {
  std::string name;
  std::int64_t num_problems = 0;
  double score_a = 0, score_b = 0;
  PairedBootstrap bootstrap;
  McNemar mcnemar;
};

double share_correct(const ProblemOutcome& problem) {
  return static_cast<double>(std::ranges::count(problem.correct, true)) / static_cast<double>(problem.correct.size());
}

TaskComparison compare_task(const StoredTask& a, const StoredTask& b, std::uint64_t seed) {
  std::vector<double> scores_a, scores_b;
  std::int64_t only_a = 0, only_b = 0;
  for (std::size_t row = 0; row < std::min(a.problems.size(), b.problems.size()); ++row) {
    const ProblemOutcome &of_a = a.problems[row], &of_b = b.problems[row];
    if (of_a.correct.empty() || of_b.correct.empty()) continue;
    if (of_a.gold != of_b.gold) {
      fail(ErrorKind::kData, "task {}: problem {} has the answer '{}' in one result and '{}' in the other: not the same problems", a.name,
           row, of_a.gold.substr(0, 80), of_b.gold.substr(0, 80));
    }
    scores_a.push_back(share_correct(of_a));
    scores_b.push_back(share_correct(of_b));
    only_a += of_a.correct[0] && !of_b.correct[0] ? 1 : 0;
    only_b += of_b.correct[0] && !of_a.correct[0] ? 1 : 0;
  }
  if (scores_a.empty()) fail(ErrorKind::kData, "task {}: the two results share no problem", a.name);
  TaskComparison comparison;
  comparison.name = a.name;
  comparison.num_problems = static_cast<std::int64_t>(scores_a.size());
  comparison.score_a = mean_over_problems(scores_a).mean;
  comparison.score_b = mean_over_problems(scores_b).mean;
  comparison.bootstrap = paired_bootstrap(scores_a, scores_b, seed);
  comparison.mcnemar = mcnemar(only_a, only_b);
  return comparison;
}

void warn_of_other_settings(const StoredTask& a, const StoredTask& b) {
  for (const char* key : kSettings) {
    const Json of_a = a.settings.value(key, Json()), of_b = b.settings.value(key, Json());
    if (of_a != of_b)
      log::warning("{}: {} is {} in A and {} in B: the difference is not the model's alone", a.name, key, of_a.dump(), of_b.dump());
  }
}

Json to_json(const TaskComparison& c) {
  return {{"task", c.name},
          {"num_problems", c.num_problems},
          {"pass@1_a", c.score_a},
          {"pass@1_b", c.score_b},
          {"difference", c.bootstrap.difference},
          {"interval_95", {c.bootstrap.low, c.bootstrap.high}},
          {"bootstrap_p_value", c.bootstrap.p_value},
          {"only_a_right", c.mcnemar.only_a},
          {"only_b_right", c.mcnemar.only_b},
          {"mcnemar_p_value", c.mcnemar.p_value}};
}

}  // namespace

void compare_results(const config::BenchConfig& config) {
  const StoredResults a = read_results(config.compare.at(0)), b = read_results(config.compare.at(1));
  std::vector<TaskComparison> comparisons;
  for (const StoredTask& task : a.tasks) {
    const auto other = std::ranges::find(b.tasks, task.name, &StoredTask::name);
    if (other == b.tasks.end()) {
      log::notice("{}: only A has it", task.name);
      continue;
    }
    warn_of_other_settings(task, *other);
    comparisons.push_back(compare_task(task, *other, static_cast<std::uint64_t>(config.seed)));
  }
  if (comparisons.empty()) fail(ErrorKind::kData, "{} and {} share no task", a.path, b.path);

  fmt::print("A  {} ({})\nB  {} ({})\n\n", a.model, a.path, b.model, b.path);
  fmt::print("{:<28} {:>8} {:>8} {:>8} {:>9} {:>19} {:>8} {:>15} {:>8}\n", "task", "problems", "A", "B", "B - A", "95 % interval", "p",
             "right in A | B", "McNemar");
  Json rows = Json::array();
  for (const TaskComparison& c : comparisons) {
    fmt::print("{:<28} {:>8} {:>8.4f} {:>8.4f} {:>+9.4f} {:>19} {:>8.4f} {:>15} {:>8.4f}\n", c.name, c.num_problems, c.score_a, c.score_b,
               c.bootstrap.difference, fmt::format("{:+.4f} … {:+.4f}", c.bootstrap.low, c.bootstrap.high), c.bootstrap.p_value,
               fmt::format("{} | {}", c.mcnemar.only_a, c.mcnemar.only_b), c.mcnemar.p_value);
    rows.push_back(to_json(c));
  }
  fmt::print("\np: paired bootstrap over problems. right in A | B: problems whose first sample is right in one of the two alone.\n");
  if (config.output_dir.empty()) return;
  make_directories(config.output_dir);
  const Json document{{"a", {{"model", a.model}, {"path", a.path}}}, {"b", {{"model", b.model}, {"path", b.path}}}, {"tasks", rows}};
  write_file_atomically(config.output_dir + "/comparison.json", document.dump(2) + "\n");
}

}  // namespace r1::eval

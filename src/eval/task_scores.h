// From the samples of a task to its scores and its details.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "eval/statistics.h"
#include "eval/task.h"
#include "generate/sample_journal.h"

namespace r1::eval {

/// A task ready to run: prompts and golds of the problems that are asked.
struct PreparedTask {
  Task task;
  int num_samples = 1;
  std::vector<std::string> prompts;            // as rendered
  std::vector<std::vector<std::int32_t>> ids;  // of the prompts
  std::vector<std::string> golds;
  nlohmann::ordered_json job;  // everything that a sample depends on
  generate::SampleGrid grid;

  /// "custom|math_500|0": the task's key in lighteval's layout.
  std::string key() const { return task.suite + "|" + task.name + "|0"; }
};

struct TaskScores {
  std::int64_t num_problems = 0;
  int num_samples = 1;
  Estimate pass_at_1;
  std::vector<std::pair<int, Estimate>> pass_at_k;  // k over all samples
  std::vector<std::pair<int, Estimate>> first_n;    // pass@1 over the first n samples, for the task's sample_counts that were drawn
  Estimate consensus;                               // the majority's answer; equals pass@1 for one sample
  double mean_tokens = 0;
  double truncated_share = 0;                          // samples that ended at max_new_tokens or max_model_len
  double no_answer_share = 0;                          // samples in which no answer was found
  std::int64_t prompts_too_long = 0, over_budget = 0;  // samples
  std::int64_t golds_not_found = 0;                    // problems whose gold text stands for itself
};

struct ScoredTask {
  TaskScores scores;
  /// One row per sample: row, sample, prompt, completion, extracted, gold, correct, verdict, finish_reason, num_tokens.
  std::vector<nlohmann::ordered_json> details;
};

/// records: num_samples per problem, in order, none missing. Error(kInternal) otherwise.
ScoredTask score_task(const PreparedTask& prepared, const std::vector<generate::SampleRecord>& records);

}  // namespace r1::eval

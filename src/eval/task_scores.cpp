#include "eval/task_scores.h"

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "base/progress.h"
#include "eval/grading.h"

namespace r1::eval {
namespace {

/// What the samples of each problem came to, one entry per problem.
struct PerProblem {
  std::vector<int> num_correct;
  std::vector<std::vector<bool>> correct;
  std::vector<double> consensus;
};

Json details_row(const PreparedTask& prepared, std::size_t problem, const generate::SampleRecord& record, const Grade& grade) {
  return {{"row", record.row},
          {"sample", record.sample},
          {"prompt", prepared.prompts[problem]},
          {"completion", record.text},
          {"extracted", grade.extracted},
          {"gold", prepared.golds[problem]},
          {"correct", grade.correct},
          {"verdict", std::string(verify::status_name(grade.status))},
          {"finish_reason", record.finish_reason},
          {"num_tokens", record.ids.size()}};
}

template <typename Value>
Estimate over_problems(const PerProblem& problems, const Value& value) {
  std::vector<double> values;
  for (std::size_t i = 0; i < problems.correct.size(); ++i) values.push_back(value(i));
  return mean_over_problems(values);
}

void add_means(const PreparedTask& prepared, const PerProblem& problems, TaskScores& scores) {
  const auto pass_at = [&](int k) {
    return over_problems(problems, [&](std::size_t i) { return pass_at_k(prepared.num_samples, problems.num_correct[i], k); });
  };
  scores.pass_at_1 = pass_at(1);
  for (const int k : pass_at_k_levels(prepared.num_samples)) scores.pass_at_k.emplace_back(k, pass_at(k));
  for (const int n : prepared.task.sample_counts) {
    if (n > prepared.num_samples) continue;  // a mean over samples that were not drawn would be too low
    scores.first_n.emplace_back(
        n, over_problems(problems, [&](std::size_t i) {
          return static_cast<double>(std::count(problems.correct[i].begin(), problems.correct[i].begin() + n, true)) / n;
        }));
  }
  scores.consensus = mean_over_problems(problems.consensus);
}

}  // namespace

ScoredTask score_task(const PreparedTask& prepared, const std::vector<generate::SampleRecord>& records) {
  const auto num_samples = static_cast<std::size_t>(prepared.num_samples);
  const std::size_t num_problems = prepared.prompts.size();
  R1_ASSERT(records.size() == num_problems * num_samples, "samples are missing");
  ScoredTask scored;
  TaskScores& scores = scored.scores;
  scores.num_problems = static_cast<std::int64_t>(num_problems);
  scores.num_samples = prepared.num_samples;
  PerProblem problems;
  std::int64_t tokens = 0, truncated = 0, no_answer = 0;
  for (std::size_t problem = 0; problem < num_problems; ++problem) {
    count_progress();
    const Json columns = prepared.task.dataset->row(static_cast<std::int64_t>(problem));
    const ProblemGrader grader(prepared.task.answer_kind, prepared.golds[problem], &columns);
    scores.golds_not_found += grader.gold_was_found() ? 0 : 1;
    std::vector<bool> correct;
    std::vector<std::string> completions;
    for (std::size_t i = 0; i < num_samples; ++i) {
      const generate::SampleRecord& record = records[problem * num_samples + i];
      R1_ASSERT(!record.finish_reason.empty(), "a sample is missing");
      const Grade grade = grader.grade(record.text);
      correct.push_back(grade.correct);
      completions.push_back(record.text);
      tokens += static_cast<std::int64_t>(record.ids.size());
      truncated += record.finish_reason == "length" ? 1 : 0;
      no_answer += grade.extracted.empty() ? 1 : 0;
      scores.prompts_too_long += record.finish_reason == "prompt_too_long" ? 1 : 0;
      scores.over_budget += grade.status == verify::Status::kOverBudget ? 1 : 0;
      scored.details.push_back(details_row(prepared, problem, record, grade));
    }
    const int winner = num_samples == 1 ? 0 : majority_class(grader.vote_classes(completions));
    problems.consensus.push_back(winner >= 0 && correct[static_cast<std::size_t>(winner)] ? 1 : 0);
    problems.num_correct.push_back(static_cast<int>(std::ranges::count(correct, true)));
    problems.correct.push_back(std::move(correct));
  }
  add_means(prepared, problems, scores);
  const auto total = static_cast<double>(std::max<std::size_t>(records.size(), 1));
  scores.mean_tokens = static_cast<double>(tokens) / total;
  scores.truncated_share = static_cast<double>(truncated) / total;
  scores.no_answer_share = static_cast<double>(no_answer) / total;
  return scored;
}

}  // namespace r1::eval

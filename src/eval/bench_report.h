// The table at the end of a run and the page beside its results.
#pragma once

#include <string>
#include <vector>

#include "config/bench_config.h"
#include "eval/task_scores.h"

namespace r1::eval {

/// Task, problems × samples, pass@1 ± standard error, mean tokens, truncated share.
void print_scores(const std::vector<PreparedTask>& tasks, const std::vector<ScoredTask>& scored);

/// <output_dir>/report.html: the scores, pass@k, settings, and completions to search.
void write_bench_report(const config::BenchConfig& config, const std::vector<PreparedTask>& tasks, const std::vector<ScoredTask>& scored,
                        const std::string& timestamp);

}  // namespace r1::eval

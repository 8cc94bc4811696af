// --compare A B: are the two results different by more than chance?
#pragma once

#include <string>

#include "config/bench_config.h"

namespace r1::eval {

/// Prints, for each task that both have, pass@1 of both, their difference with its 95 % interval and p-value (paired bootstrap over
/// problems), and McNemar's test on the first sample of each problem. With --output-dir also OUT/comparison.json. Throws Error(kData)
/// when they share no task, or a task's problems are not the same.
void compare_results(const config::BenchConfig& config);

}  // namespace r1::eval

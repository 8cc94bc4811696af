// r1_bench: benchmarks of a model.
#pragma once

#include "comm/world.h"
#include "config/bench_config.h"

namespace r1::eval {

/// Runs the tasks and writes results, details and report.html; with --plan checks and tells without writing; with --compare compares two
/// results instead. Collective: ranks share the samples, rank 0 grades and writes; the scores do not depend on their number. A killed
/// run goes on where it stopped. Throws Error.
void run_bench(const config::BenchConfig& config, comm::World& world);

}  // namespace r1::eval

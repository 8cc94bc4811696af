// The programs on the device beside the CPU: training, two ranks on one GPU, generation, the fixtures, compute-sanitizer.
#pragma once

#include <string>

#include "tools/gpu/child.h"

namespace r1::gpu {

/// Training (the same losses as the CPU, the same bytes twice), ZeRO-3 with two ranks through host memory, greedy generation.
void check_programs(const Places& places, Report& report);

/// r1_inspect forward --grads of each checkpoint beside PyTorch's results: the tolerances of the fixtures.
void check_fixtures(const Places& places, Report& report);

/// memcheck, racecheck and initcheck over our own kernels' cases.
void check_sanitizer(const Places& places, Report& report);

/// What the output of compute-sanitizer over a parity child says: passed with its summary of no errors and at least one entry that passed.
struct SanitizerVerdict {
  Outcome outcome;
  std::string text;
};
SanitizerVerdict sanitizer_verdict(const Child& child);

}  // namespace r1::gpu

// The programs on the device beside the CPU: training, two ranks on one GPU, generation, the fixtures, compute-sanitizer.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/gpu/report.h"

namespace r1::gpu {

/// Where things lie. `root` holds recipes/tiny, assets/chain and accelerate_configs; `bin` the programs; `work` is for what they write.
struct Places {
  std::string root, bin, work, fixtures;
};

struct Child {
  int exit_code = -1;
  std::string output;  // standard output and error
};

/// What stands before our ELF files: R1_LAUNCHER (a loader, set by tools/gpu_check of a package) and a space, or nothing.
std::string launcher();
/// Runs a program of `bin`, or one on the PATH when there is none. prefix: words of the shell before it. input: the file that it reads as
/// standard input.
Child run_program(const Places& places, const std::string& program, const std::vector<std::string>& arguments,
                  const std::string& prefix = "", const std::string& input = "/dev/null");
bool is_on_path(const std::string& program);
/// The last lines of what a program wrote, for a report.
std::string tail_of(const std::string& output);

/// Training (the same losses as the CPU, the same bytes twice), ZeRO-3 with two ranks through host memory, greedy generation.
void check_programs(const Places& places, Report& report);

/// r1_inspect forward --grads of each checkpoint beside PyTorch's results: the tolerances of the fixtures.
void check_fixtures(const Places& places, Report& report);

/// memcheck, racecheck and initcheck over our own kernels' cases.
void check_sanitizer(const Places& places, Report& report);

}  // namespace r1::gpu

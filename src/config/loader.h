// From a command line (and the recipe it names) to a checked configuration.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/bench_config.h"
#include "config/generate_config.h"
#include "config/grpo_config.h"
#include "config/sft_config.h"

namespace r1::config {

/// What a configuration depends on besides the command line.
struct Environment {
  int world_size = 1;                               // ranks of the job
  std::map<std::string, std::string> variables;     // R1_DEVICE
  std::vector<std::string> search_folders = {"."};  // where recipes/ and accelerate_configs/ lie
  bool export_env = true;                           // set the variables of the key `env` in this process

  /// This process: its variables, its folder and the one two above the executable.
  static Environment of_process(int world_size);
};

// Each takes the arguments behind the program's (and sub-command's) name. Order of precedence: flags, later ones first; the recipe
// of --config; R1_DEVICE; --compat; defaults. Sets the log level; notices are logged once and kept in the result.
// Throws Error(kUsage, kConfig), both exit code 2.
SftConfig load_sft(std::span<const std::string> arguments, const Environment& environment);
GrpoConfig load_grpo(std::span<const std::string> arguments, const Environment& environment);
GenerateConfig load_generate(std::span<const std::string> arguments, const Environment& environment);
BenchConfig load_bench(std::span<const std::string> arguments, const Environment& environment);

enum class Program { kTrain, kTrainSft, kTrainGrpo, kGenerate, kBench };

/// The text for --help, -h or --version when the arguments hold one of them.
std::optional<std::string> requested_information(Program program, std::span<const std::string> arguments);

/// "0.1.0".
std::string_view suite_version();

/// "r1_train 0.1.0".
std::string version_text(std::string_view program);

/// The effective configuration as the table of --plan: key, value, origin; defaults after what was given.
std::string print_effective_configuration(const CommonConfig& config);

}  // namespace r1::config

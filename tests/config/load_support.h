// Short ways to load a configuration in tests and to read the error of a bad one.
#pragma once

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "config/loader.h"
#include "tests/support/paths.h"

namespace r1::config {

using Arguments = std::vector<std::string>;

inline Environment test_environment(int world_size = 1) {
  Environment environment;
  environment.world_size = world_size;
  environment.search_folders = {r1::test::source_folder()};
  environment.export_env = false;
  return environment;
}

/// The arguments that every training run needs, then the others.
inline Arguments training(Arguments others) {
  Arguments arguments = {"--model_name_or_path", "m", "--dataset_name", "d", "--output_dir", "o"};
  arguments.insert(arguments.end(), others.begin(), others.end());
  return arguments;
}

inline SftConfig sft(Arguments others, int world_size = 1) { return load_sft(training(std::move(others)), test_environment(world_size)); }
inline GrpoConfig grpo(Arguments others, int world_size = 1) {
  return load_grpo(training(std::move(others)), test_environment(world_size));
}

/// The message of the Error that the call throws, which must end with exit code 2.
template <typename Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2) << error.what();
    return error.what();
  }
  return "no error";
}

inline std::string sft_error(Arguments others, int world_size = 1) {
  return error_of([&] { sft(std::move(others), world_size); });
}
inline std::string grpo_error(Arguments others, int world_size = 1) {
  return error_of([&] { grpo(std::move(others), world_size); });
}

}  // namespace r1::config

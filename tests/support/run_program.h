// Starts one of our executables and waits for it.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace r1::test {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal for a killed process
  std::string out, err;
};

/// Runs path with the arguments; input goes to its standard input, env is added to the environment (an empty value unsets).
ProgramResult run_program(const std::string& path, const std::vector<std::string>& arguments, const std::string& input = "",
                          const std::map<std::string, std::string>& env = {});

}  // namespace r1::test

// r1_inspect verify and reward.
#pragma once

#include <span>
#include <string>

namespace r1::apps {

/// Each takes the arguments behind its name, reads rows from standard input and returns the exit code.
int run_verify(std::span<const std::string> arguments);
int run_reward(std::span<const std::string> arguments);

}  // namespace r1::apps

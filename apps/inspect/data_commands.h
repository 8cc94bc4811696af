// r1_inspect dataset.
#pragma once

#include <span>
#include <string>

namespace r1::apps {

/// Takes the arguments behind its name and returns the exit code.
int run_dataset(std::span<const std::string> arguments);

}  // namespace r1::apps

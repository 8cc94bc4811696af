// r1_inspect dataset and download.
#pragma once

#include <span>
#include <string>

namespace r1::apps {

/// Each takes the arguments behind its name and returns the exit code.
int run_dataset(std::span<const std::string> arguments);
int run_download(std::span<const std::string> arguments);

}  // namespace r1::apps

// r1_inspect checkpoint.
#pragma once

#include <span>
#include <string>

namespace r1::apps {

int run_checkpoint(std::span<const std::string> arguments);

}  // namespace r1::apps

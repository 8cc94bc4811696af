// r1_inspect tokenize, detokenize and chat.
#pragma once

#include <span>
#include <string>

namespace r1::apps {

/// Each takes the arguments behind its name, reads rows from standard input and returns the exit code.
int run_tokenize(std::span<const std::string> arguments);
int run_detokenize(std::span<const std::string> arguments);
int run_chat(std::span<const std::string> arguments);

}  // namespace r1::apps

// r1_inspect forward, model, init-model and ask.
#pragma once

#include <span>
#include <string>

namespace r1::apps {

int run_forward(std::span<const std::string> arguments);
int run_model(std::span<const std::string> arguments);
int run_ask(std::span<const std::string> arguments);
int run_init_model(std::span<const std::string> arguments);

}  // namespace r1::apps

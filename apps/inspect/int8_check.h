// What int8 weights cost in log-probability.
#pragma once

#include <string>

namespace r1::apps {

/// Prints the mean log-probability per token of a text under the weights as stored and under int8, the mean and the largest absolute
/// difference, and how often the most likely token is the same. text_file: empty = a built-in sample of mathematics in English.
void print_int8_check(const std::string& model_folder, const std::string& text_file);

}  // namespace r1::apps

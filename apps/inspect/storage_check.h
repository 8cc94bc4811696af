// What weights in 8 bits cost in log-probability.
#pragma once

#include <string>

#include "parallel/inference_store.h"

namespace r1::apps {

/// Prints the mean log-probability per token of a text under the weights as stored and under `storage`, the mean and the largest absolute
/// difference, and how often the most likely token is the same. text_file: empty = a built-in sample of mathematics in English.
void print_storage_check(const std::string& model_folder, const std::string& text_file, parallel::WeightStorage storage, const char* name);

}  // namespace r1::apps

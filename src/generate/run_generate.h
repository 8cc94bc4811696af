// r1_generate: completions for every row of a data set.
#pragma once

#include "config/generate_config.h"

namespace r1::generate {

/// Loads, generates and writes what the configuration says; with --plan checks and tells without writing. Throws Error.
void run_generate(const config::GenerateConfig& config);

}  // namespace r1::generate

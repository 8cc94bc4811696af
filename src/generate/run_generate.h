// r1_generate: completions for every row of a data set.
#pragma once

#include "comm/world.h"
#include "config/generate_config.h"

namespace r1::generate {

/// Loads, generates and writes what the configuration says; with --plan checks and tells without writing. Collective: ranks share the
/// samples, rank 0 writes; the output does not depend on their number. Throws Error.
void run_generate(const config::GenerateConfig& config, comm::World& world);

}  // namespace r1::generate

// r1_train grpo: from a configuration to a trained model.
#pragma once

#include "comm/world.h"
#include "config/grpo_config.h"

namespace r1::train {

/// Checks, trains and writes what the configuration says; with --plan checks and tells without writing. Collective: every rank of the job
/// calls it; rank 0 writes. Throws Error.
void run_grpo(const config::GrpoConfig& config, comm::World& world);

}  // namespace r1::train

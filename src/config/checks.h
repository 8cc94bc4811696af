// Checks over several keys, after each key has been checked alone.
#pragma once

#include <string>
#include <vector>

#include "config/bench_config.h"
#include "config/generate_config.h"
#include "config/grpo_config.h"
#include "config/sft_config.h"

namespace r1::config {

/// Each adds what the user should know to config.notices, and throws Error(kConfig) for what cannot work, naming the places of the
/// keys involved. world_size and effective_configuration are already filled; num_trainers and num_generators are set here.
void check(SftConfig& config);
void check(GrpoConfig& config);
void check(GenerateConfig& config);
void check(BenchConfig& config);

}  // namespace r1::config

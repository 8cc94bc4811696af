// What can be checked of a run before its first step, whatever it trains.
#pragma once

#include <cstdint>
#include <string>

#include "config/trainer_config.h"

namespace r1::preflight {

/// The output folder can be used: it can be created and written, and holds no run unless overwrite_output_dir. Nothing is
/// created or changed. Throws Error(kUsage) that names both ways out for an occupied folder, Error(kDisk) for one that cannot
/// be written.
void check_output_dir(const config::TrainerConfig& config);

/// Creates the folder and removes what an earlier run left in it (overwrite_output_dir): metrics, completions, TensorBoard
/// files, checkpoints, results and report. Weights stay until new ones replace them.
void prepare_output_dir(const config::TrainerConfig& config);

/// Throws Error(kDisk) with needed and free bytes when the file system of `folder` has less than needed.
void check_disk_space(const std::string& folder, std::uint64_t needed_bytes, const std::string& purpose);

}  // namespace r1::preflight

// Finding a checkpoint to go on from, and loading it.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/checkpointer.h"
#include "checkpoint/manifest.h"

namespace r1::checkpoint {

struct FoundCheckpoint {
  std::string folder;
  Manifest manifest;
  TrainingState state;
};

/// The newest output_dir/checkpoint-N whose every byte is as it was written; nothing when there is none. Each one that is passed over
/// is named in a warning with the reason. Collective; the ranks share the reading.
std::optional<FoundCheckpoint> find_latest(const std::string& output_dir, comm::Communicator& communicator);

/// A checkpoint by its path. Throws Error(kData) with what is damaged or missing. Collective.
FoundCheckpoint open_checkpoint(const std::string& folder, comm::Communicator& communicator);

/// Values and optimizer state of every parameter from a checkpoint that was written on any number of ranks with any sharding. Throws
/// Error(kModel) for a model with other parameters. Collective.
void load_state(const FoundCheckpoint& found, nn::ParameterSet& parameters, parallel::ParameterStore& store, const HostAccess& access);

}  // namespace r1::checkpoint

// Which ranks write which part of the state into which file.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/manifest.h"
#include "checkpoint/state_layout.h"
#include "parallel/parameter_store.h"

namespace r1::checkpoint {

enum class CheckpointLayout : std::uint8_t {
  kFile,     // state.h5, written by all ranks together
  kPerNode,  // state-<node>.h5, each written by the ranks of one node, and index.json
};

/// Elements [begin, end) of a dataset of the whole state.
struct StatePiece {
  std::int64_t dataset = 0;  // index into StateLayout::datasets()
  std::int64_t begin = 0, end = 0;
};

struct PlannedFile {
  std::string name, node;
  std::vector<int> ranks;              // of the store's communicator
  std::vector<int> world_ranks;        // the same ones in MPI_COMM_WORLD
  std::vector<StatePiece> pieces;      // by dataset and begin; they do not touch each other
  std::vector<DatasetEntry> datasets;  // one per piece: a whole dataset keeps its name, a part is called name[begin:end]

  /// Index of the piece that holds element `begin` of a dataset.
  std::int64_t piece_of(std::int64_t dataset, std::int64_t begin) const;
};

struct FilePlan {
  std::vector<PlannedFile> files;
  std::vector<std::size_t> file_of_rank;  // index into files
};

/// Collective. Every rank gets the same plan.
FilePlan plan_files(CheckpointLayout layout, const StateLayout& state, parallel::ParameterStore& store);

/// The node that this process runs on: $SLURMD_NODENAME (Slurm sets it in every task), else the host's name.
std::string node_name();

}  // namespace r1::checkpoint

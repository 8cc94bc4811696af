#include "checkpoint/file_plan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <cstdlib>
#include <map>
#include <span>

#include "io/hdf5_file.h"

namespace r1::checkpoint {
namespace {

// One entry per node, in the order of their lowest ranks.
std::vector<PlannedFile> files_of_nodes(comm::Communicator& communicator) {
  const std::string mine = node_name();
  std::vector<PlannedFile> files;
  int rank = 0;
  for (const std::vector<char>& letters : communicator.host_gather_values(std::span<const char>(mine), "node names")) {
    const std::string node(letters.begin(), letters.end());
    auto file = std::ranges::find(files, node, &PlannedFile::node);
    if (file == files.end()) {
      files.emplace_back().node = node;
      file = files.end() - 1;
      file->name = fmt::format("state-{}.h5", node);
    }
    file->ranks.push_back(rank++);
  }
  return files;
}

// What each rank answers for, one moment of the optimizer like the other.
std::vector<std::vector<StatePiece>> gather_owned(const StateLayout& state, parallel::ParameterStore& store) {
  std::vector<StatePiece> own;
  store.for_each_owned_shard([&](parallel::Shard& shard) {
    if (shard.begin == shard.end) return;
    for (std::int64_t kind = 0; kind < kNumStateKinds; ++kind)
      own.push_back({state.first_dataset(*shard.parameter) + kind, shard.begin, shard.end});
  });
  return store.communicator().host_gather_values(std::span<const StatePiece>(own), "owned shards");
}

std::vector<StatePiece> merged(std::vector<StatePiece> pieces) {
  std::ranges::sort(pieces, {}, [](const StatePiece& piece) { return std::pair(piece.dataset, piece.begin); });
  std::vector<StatePiece> result;
  for (const StatePiece& piece : pieces) {
    if (!result.empty() && result.back().dataset == piece.dataset && result.back().end == piece.begin) {
      result.back().end = piece.end;
    } else {
      result.push_back(piece);
    }
  }
  return result;
}

}  // namespace

std::int64_t PlannedFile::piece_of(std::int64_t dataset, std::int64_t begin) const {
  const auto after = std::ranges::upper_bound(pieces, std::pair(dataset, begin), {},
                                              [](const StatePiece& piece) { return std::pair(piece.dataset, piece.begin); });
  return after - pieces.begin() - 1;
}

FilePlan plan_files(CheckpointLayout layout, const StateLayout& state, parallel::ParameterStore& store) {
  comm::Communicator& communicator = store.communicator();
  const std::vector<int> world_ranks = communicator.host_gather_value(io::world_rank(), "ranks of the job");
  FilePlan plan;
  if (layout == CheckpointLayout::kPerNode) {
    plan.files = files_of_nodes(communicator);
    const auto owned = gather_owned(state, store);
    for (PlannedFile& file : plan.files) {
      for (const int rank : file.ranks) {
        const auto& pieces = owned[static_cast<std::size_t>(rank)];
        file.pieces.insert(file.pieces.end(), pieces.begin(), pieces.end());
      }
      file.pieces = merged(std::move(file.pieces));
    }
  } else {
    PlannedFile& file = plan.files.emplace_back();
    file.name = kStateName;
    for (int rank = 0; rank < communicator.world_size(); ++rank) file.ranks.push_back(rank);
    for (std::size_t i = 0; i < state.datasets().size(); ++i)
      file.pieces.push_back({static_cast<std::int64_t>(i), 0, state.datasets()[i].num_elements});
  }
  plan.file_of_rank.resize(world_ranks.size());
  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    PlannedFile& file = plan.files[i];
    for (const int rank : file.ranks) {
      plan.file_of_rank[static_cast<std::size_t>(rank)] = i;
      file.world_ranks.push_back(world_ranks[static_cast<std::size_t>(rank)]);
    }
    std::ranges::sort(file.world_ranks);
    for (const StatePiece& piece : file.pieces) {
      DatasetEntry dataset = state.datasets()[static_cast<std::size_t>(piece.dataset)];
      const bool is_whole = piece.begin == 0 && piece.end == dataset.num_elements;
      if (!is_whole) {
        dataset.name += fmt::format("[{}:{}]", piece.begin, piece.end);
        dataset.num_elements = piece.end - piece.begin;
        dataset.shape = {dataset.num_elements};
      }
      file.datasets.push_back(std::move(dataset));
    }
  }
  return plan;
}

std::string node_name() {
  const char* of_slurm = std::getenv("SLURMD_NODENAME");
  char host[HOST_NAME_MAX + 1] = "";
  if (of_slurm == nullptr || *of_slurm == '\0') gethostname(host, sizeof host - 1);
  std::string name = host[0] != '\0' ? host : of_slurm != nullptr ? of_slurm : "node";
  // It becomes part of a file's name.
  for (char& letter : name) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0 && letter != '-' && letter != '.') letter = '_';
  }
  return name.empty() ? "node" : name;
}

}  // namespace r1::checkpoint

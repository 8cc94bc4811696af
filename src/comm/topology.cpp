#include "comm/topology.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/strings.h"
#include "base/thread_pool.h"

namespace r1::comm {
namespace {

std::optional<int> read_integer(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const auto value = parse_int(text);
  if (!value || *value < 0 || *value > 1 << 24) fail(ErrorKind::kComm, "environment variable {}: expected a count, found '{}'", name, text);
  return static_cast<int>(*value);
}

}  // namespace

Topology topology_from_environment() {
  Topology topology;
  if (const auto size = read_integer("OMPI_COMM_WORLD_SIZE")) {
    topology.launcher = "mpirun";
    topology.world_size = *size;
    topology.rank = read_integer("OMPI_COMM_WORLD_RANK").value_or(0);
    topology.local_rank = read_integer("OMPI_COMM_WORLD_LOCAL_RANK").value_or(0);
    topology.local_size = read_integer("OMPI_COMM_WORLD_LOCAL_SIZE").value_or(1);
  } else if (const auto rank = read_integer("PMIX_RANK"); rank && std::getenv("SLURM_STEP_ID") != nullptr) {
    topology.launcher = "srun";
    topology.rank = *rank;
    topology.world_size = read_integer("SLURM_STEP_NUM_TASKS").value_or(read_integer("SLURM_NTASKS").value_or(1));
    topology.local_rank = read_integer("SLURM_LOCALID").value_or(0);
    if (const char* tasks = std::getenv("SLURM_STEP_TASKS_PER_NODE")) {  // "4(x2),3": the first node's count is near enough
      topology.local_size =
          static_cast<int>(parse_int(std::string_view(tasks).substr(0, std::string_view(tasks).find_first_of("(,"))).value_or(1));
    }
  }
  if (topology.rank >= topology.world_size) {
    fail(ErrorKind::kComm, "the launcher says rank {} of {}: expected a rank below the world size", topology.rank, topology.world_size);
  }
  return topology;
}

int default_num_threads(const Topology& topology) {
  const int mine = available_processors();
  if (topology.world_size == 1 || mine < static_cast<int>(std::thread::hardware_concurrency())) return mine;
  return std::max(1, mine / std::max(1, topology.local_size));
}

}  // namespace r1::comm

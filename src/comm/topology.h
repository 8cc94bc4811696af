// Which rank of how many this process is, from the launcher's environment.
#pragma once

#include <string>

namespace r1::comm {

struct Topology {
  int rank = 0, world_size = 1;
  int local_rank = 0, local_size = 1;
  std::string launcher = "none";  // mpirun, srun or none
};

/// Reads OMPI_COMM_WORLD_* (mpirun) or PMIX_RANK and SLURM_* (a step started by srun). A shell inside an allocation is not a
/// step: there SLURM_NTASKS says nothing about this process, and the answer is one rank.
Topology topology_from_environment();

/// Threads of a rank whose user gave none (0 = all processors that the process may use): its share when the launcher bound the ranks
/// of a node to no processors of their own.
int default_num_threads(const Topology& topology);

}  // namespace r1::comm

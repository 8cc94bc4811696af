// Ranks that talk through MPI.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/mpi_transport.h"

namespace r1::comm {

/// Makes the counter of a name that is the same on all ranks of a group.
using CounterFactory = std::function<std::unique_ptr<SharedCounter>(const std::string& name)>;

struct MpiCommunicatorOptions {
  /// Each collective first compares kind, name and sizes over the ranks: a mismatch is an error that names both sides.
  bool check_calls = false;
  CounterFactory make_counter;
};

/// Takes `comm` over (freed with the object, but for MPI_COMM_WORLD's duplicate at exit). name: unique in the job ("world").
std::unique_ptr<Communicator> make_mpi_communicator(std::shared_ptr<MpiTransport> transport, MPI_Comm comm, std::string name,
                                                    MpiCommunicatorOptions options);

}  // namespace r1::comm

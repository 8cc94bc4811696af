// This process in the job: MPI, the control channel and the communicator of all ranks.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/topology.h"

namespace r1::comm {

/// Made once, at the start of main. With one rank nothing of MPI is touched: a program that runs alone starts as fast as before.
class World {
 public:
  /// Collective: starts MPI and connects the ranks when the launcher says there are several. program: what messages begin with.
  World(std::string program, const Topology& topology);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const Topology& topology() const { return topology_; }
  int rank() const { return topology_.rank; }
  int world_size() const { return topology_.world_size; }
  Communicator& communicator() { return *communicator_; }

  /// From now on a rank that gives no sign of life for so long is named and ends the job with exit code 5 (0: never).
  void watch(double seconds);

  /// Orderly end: waits for all ranks and finalizes MPI. Collective.
  void finish();

  /// Prints the message once in the job and ends every rank with the code. With one rank: prints and returns the code.
  int fail(int exit_code, const std::string& message);

 private:
  struct Impl;
  Topology topology_;
  std::string program_;
  std::unique_ptr<Impl> impl_;
  std::unique_ptr<Communicator> communicator_;
};

}  // namespace r1::comm

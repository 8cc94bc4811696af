// The line beside MPI: heartbeats, errors and shared counters over sockets, so that they work when MPI does not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace r1::comm {

struct ControlOptions {
  std::string program;  // what messages begin with
  int rank = 0, world_size = 1;
  /// Every rank's bytes on every rank: how the ranks learn rank 0's address. Called once, by the constructor.
  std::function<std::vector<std::string>(const std::string& mine)> exchange;
};

/// Rank 0 listens (on a Unix socket when all ranks share a host), the others are connected to it; a thread per process. When one
/// rank dies, stops, falls behind or fails, rank 0 says so once and every process leaves with the same exit code: 5 for a lost
/// rank, the error's own for an error. Rank 0 itself is watched by rank 1.
class ControlChannel {
 public:
  /// Collective.
  explicit ControlChannel(ControlOptions options);
  /// After an orderly end: every rank has called close().
  ~ControlChannel();

  /// From now on a rank that gives no sign of life for so long ends the job. 0: never; a dead process is noticed all the same.
  void watch(double seconds);

  /// Ends all processes with this code; the message is printed once. Does not return.
  [[noreturn]] void fail_everywhere(int exit_code, const std::string& message);

  /// Adds to the counter of that name, which starts at 0; returns the value before. Any thread.
  std::int64_t fetch_add(const std::string& name, std::int64_t amount);

  /// Says goodbye; a socket that closes afterwards is no death. To be called when no rank needs another any more.
  void close();

 private:
  struct Impl;
  class Hub;
  class Member;
  std::unique_ptr<Impl> impl_;
};

}  // namespace r1::comm

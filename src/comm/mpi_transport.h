// What moves the MPI operations of this process on: a communication stream.
#pragma once

#include <mpi.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "tensor/transfer_bytes.h"

namespace r1::comm {

class MpiTransport;

/// One collective: phases of requests, each started when the one before is complete.
struct MpiOperation : WorkState {
  explicit MpiOperation(MpiTransport& owner) : transport(owner) {}
  void wait() override;
  bool done() override;

  MpiTransport& transport;
  MPI_Comm comm = MPI_COMM_NULL;
  CollectiveKind kind = CollectiveKind::kBarrier;
  std::string what;
  std::uint64_t number = 0;  // of this communicator's collectives, from 1
  std::function<void(const MpiOperation&, double seconds)> on_finished;
  std::vector<std::function<void(MpiOperation&)>> phases;
  std::vector<MPI_Request> requests;  // of the phase in flight
  std::vector<TransferBytes> buffers;
  std::int64_t bytes_sent = 0, bytes_received = 0;
  std::function<void(double seconds)> on_waited;

  // For the phases: start a transfer of this operation.
  void isend(std::span<const std::byte> bytes, int peer, int tag);
  void irecv(std::span<std::byte> bytes, int peer, int tag);
  void check(int mpi_code) const;

 private:
  friend class MpiTransport;
  std::size_t next_phase_ = 0;
  double start_seconds_ = 0;
  bool is_done_ = false;
  std::string error_;
};

/// Operations of one MPI communicator run one after another; those of different communicators side by side. A caller starts its
/// operation itself and, in wait(), moves everything on itself; while it computes, a thread does. Both sleep between polls, so that
/// ranks which share a core do not take it from each other.
class MpiTransport {
 public:
  MpiTransport();
  /// Waits for what is under way.
  ~MpiTransport();
  void enqueue(std::shared_ptr<MpiOperation> operation);

 private:
  friend struct MpiOperation;
  using Lane = std::deque<std::shared_ptr<MpiOperation>>;
  void run();
  // With the mutex held:
  bool poll();
  bool advance(Lane& lane);
  static bool advance(MpiOperation& operation);

  std::mutex mutex_;
  std::condition_variable work_arrived_;
  std::map<MPI_Comm, Lane> lanes_;
  int num_callers_waiting_ = 0;  // then the thread leaves the polling to them
  // Tensors go back to their allocator on the callers' thread: an error may be taking the allocator down at this moment.
  std::vector<std::shared_ptr<MpiOperation>> finished_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace r1::comm

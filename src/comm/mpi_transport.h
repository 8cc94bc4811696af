// The thread that makes every MPI call of a running job: a communication stream.
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

/// Operations of one MPI communicator run one after another; those of different communicators side by side. The thread sleeps
/// between polls, so that ranks which share a core do not take it from each other.
class MpiTransport {
 public:
  MpiTransport();
  /// Waits for what is under way.
  ~MpiTransport();
  void enqueue(std::shared_ptr<MpiOperation> operation);

 private:
  friend struct MpiOperation;
  void run();
  bool start_next_phase(MpiOperation& operation);
  bool advance(MpiOperation& operation);
  void finish(const std::shared_ptr<MpiOperation>& finished, std::string error);

  std::mutex mutex_;
  std::condition_variable work_arrived_, work_finished_;
  std::deque<std::shared_ptr<MpiOperation>> arrived_;
  // Tensors go back to their allocator on the callers' thread: an error may be taking the allocator down at this moment.
  std::vector<std::shared_ptr<MpiOperation>> finished_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace r1::comm

#include "comm/mpi_transport.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/profile.h"
#include "comm/activity.h"

namespace r1::comm {
namespace {

constexpr std::size_t kLargestMessage = std::size_t{1} << 30;  // MPI counts are ints

// Between polls: a message between ranks on one node takes some microseconds, a large one milliseconds.
class Backoff {
 public:
  void pause() {
    if (++polls_ <= kEagerPolls) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(polls_ > kPatientPolls ? kLongSleep : kShortSleep);
    }
  }
  void reset() { polls_ = 0; }

 private:
  static constexpr int kEagerPolls = 20, kPatientPolls = 1000;
  static constexpr std::chrono::microseconds kShortSleep{20}, kLongSleep{100};
  int polls_ = 0;
};

// The thread looks less often: it is there for the large transfers beside a computation.
constexpr std::chrono::microseconds kThreadSleep{200};

}  // namespace

void MpiOperation::check(int mpi_code) const {
  if (mpi_code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(mpi_code, text, &length);
  fail(ErrorKind::kComm, "collective #{} {} '{}' failed: {}", number, collective_name(kind), what,
       std::string_view(text, static_cast<std::size_t>(length)));
}

void MpiOperation::isend(std::span<const std::byte> bytes, int peer, int tag) {
  for (std::size_t begin = 0; begin < bytes.size(); begin += kLargestMessage) {
    const auto count = static_cast<int>(std::min(kLargestMessage, bytes.size() - begin));
    check(MPI_Isend(bytes.data() + begin, count, MPI_BYTE, peer, tag, comm, &requests.emplace_back(MPI_REQUEST_NULL)));
  }
  bytes_sent += static_cast<std::int64_t>(bytes.size());
}

void MpiOperation::irecv(std::span<std::byte> bytes, int peer, int tag) {
  for (std::size_t begin = 0; begin < bytes.size(); begin += kLargestMessage) {
    const auto count = static_cast<int>(std::min(kLargestMessage, bytes.size() - begin));
    check(MPI_Irecv(bytes.data() + begin, count, MPI_BYTE, peer, tag, comm, &requests.emplace_back(MPI_REQUEST_NULL)));
  }
  bytes_received += static_cast<std::int64_t>(bytes.size());
}

void MpiOperation::wait() {
  const double start = now_seconds();
  std::unique_lock lock(transport.mutex_);
  if (!is_done_) {
    const Waiting waiting;
    const profile::Zone zone("wait for ranks");
    ++transport.num_callers_waiting_;
    Backoff backoff;
    while (!is_done_) {
      if (transport.poll()) backoff.reset();
      if (is_done_) break;
      lock.unlock();
      backoff.pause();
      lock.lock();
    }
    --transport.num_callers_waiting_;
  }
  lock.unlock();
  if (error_.empty()) {
    for (TransferBytes& buffer : buffers) buffer.publish();
  }
  buffers.clear();
  if (on_waited) on_waited(now_seconds() - start);
  if (!error_.empty()) throw Error(ErrorKind::kComm, error_);
}

bool MpiOperation::done() {
  std::lock_guard lock(transport.mutex_);
  return is_done_;
}

MpiTransport::MpiTransport() : thread_([this] { run(); }) {}

MpiTransport::~MpiTransport() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_arrived_.notify_all();
  thread_.join();
}

void MpiTransport::enqueue(std::shared_ptr<MpiOperation> operation) {
  std::vector<std::shared_ptr<MpiOperation>> finished;  // dropped outside of the lock
  {
    std::lock_guard lock(mutex_);
    Lane& lane = lanes_[operation->comm];
    lane.push_back(std::move(operation));
    advance(lane);
    finished.swap(finished_);
  }
  work_arrived_.notify_one();
}

// Returns true when the operation is complete.
bool MpiTransport::advance(MpiOperation& operation) {
  while (true) {
    if (!operation.requests.empty()) {
      int completed = 0;
      std::vector<int> indices(operation.requests.size());
      operation.check(MPI_Testsome(static_cast<int>(operation.requests.size()), operation.requests.data(), &completed, indices.data(),
                                   MPI_STATUSES_IGNORE));
      if (completed != MPI_UNDEFINED) {
        if (completed > 0) note_transfer();
        const bool all =
            std::all_of(operation.requests.begin(), operation.requests.end(), [](MPI_Request r) { return r == MPI_REQUEST_NULL; });
        if (!all) return false;
      }
    }
    operation.requests.clear();
    if (operation.next_phase_ == operation.phases.size()) return true;
    operation.phases[operation.next_phase_++](operation);
  }
}

// Moves the lane's operations on; returns whether one was completed.
bool MpiTransport::advance(Lane& lane) {
  bool something_finished = false;
  while (!lane.empty()) {
    MpiOperation& operation = *lane.front();
    try {
      if (operation.next_phase_ == 0) {
        operation.start_seconds_ = now_seconds();
        note_collective(operation.number, collective_name(operation.kind), operation.what);
      }
      if (!advance(operation)) break;
    } catch (const std::exception& caught) {
      operation.error_ = caught.what();
    }
    if (operation.on_finished) operation.on_finished(operation, now_seconds() - operation.start_seconds_);
    operation.is_done_ = true;
    finished_.push_back(std::move(lane.front()));
    lane.pop_front();
    something_finished = true;
  }
  return something_finished;
}

bool MpiTransport::poll() {
  bool something_finished = false;
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    something_finished |= advance(lane->second);
    lane = lane->second.empty() ? lanes_.erase(lane) : std::next(lane);
  }
  return something_finished;
}

void MpiTransport::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (lanes_.empty()) {
      if (stopping_) return;
      work_arrived_.wait(lock);
      continue;
    }
    if (num_callers_waiting_ == 0) poll();
    lock.unlock();
    std::this_thread::sleep_for(kThreadSleep);
    lock.lock();
  }
}

}  // namespace r1::comm

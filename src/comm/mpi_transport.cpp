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
// Polls before the thread sleeps, and how long it sleeps: a message between ranks on one node takes some microseconds.
constexpr int kEagerPolls = 20;
constexpr std::chrono::microseconds kShortSleep{20}, kLongSleep{100};

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
    transport.work_finished_.wait(lock, [&] { return is_done_; });
  }
  lock.unlock();
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
  std::vector<std::shared_ptr<MpiOperation>> finished;
  {
    std::lock_guard lock(mutex_);
    arrived_.push_back(std::move(operation));
    finished.swap(finished_);
  }
  work_arrived_.notify_one();
}

// Returns false when there is no further phase.
bool MpiTransport::start_next_phase(MpiOperation& operation) {
  operation.requests.clear();
  if (operation.next_phase_ == operation.phases.size()) return false;
  operation.phases[operation.next_phase_++](operation);
  return true;
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
    if (!start_next_phase(operation)) return true;
  }
}

void MpiTransport::finish(const std::shared_ptr<MpiOperation>& finished, std::string error) {
  MpiOperation& operation = *finished;
  if (operation.on_finished) operation.on_finished(operation, now_seconds() - operation.start_seconds_);
  operation.phases.clear();
  {
    std::lock_guard lock(mutex_);
    operation.error_ = std::move(error);
    operation.is_done_ = true;
    finished_.push_back(finished);
  }
  work_finished_.notify_all();
}

void MpiTransport::run() {
  std::map<MPI_Comm, std::deque<std::shared_ptr<MpiOperation>>> lanes;
  int idle_polls = 0;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (lanes.empty() && arrived_.empty()) work_arrived_.wait(lock, [&] { return stopping_ || !arrived_.empty(); });
      if (stopping_ && lanes.empty() && arrived_.empty()) return;
      for (auto& operation : arrived_) lanes[operation->comm].push_back(std::move(operation));
      arrived_.clear();
    }
    bool something_finished = false;
    for (auto lane = lanes.begin(); lane != lanes.end();) {
      MpiOperation& operation = *lane->second.front();
      std::string error;
      bool is_complete = true;
      try {
        if (operation.next_phase_ == 0) {
          operation.start_seconds_ = now_seconds();
          note_collective(operation.number, collective_name(operation.kind), operation.what);
        }
        is_complete = advance(operation);
      } catch (const std::exception& caught) {
        error = caught.what();
      }
      if (is_complete) {
        finish(lane->second.front(), std::move(error));
        something_finished = true;
        lane->second.pop_front();
      }
      lane = lane->second.empty() ? lanes.erase(lane) : std::next(lane);
    }
    if (something_finished) {
      idle_polls = 0;
    } else if (++idle_polls > kEagerPolls) {
      std::this_thread::sleep_for(idle_polls > 50 * kEagerPolls ? kLongSleep : kShortSleep);
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace r1::comm

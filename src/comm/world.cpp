#include "comm/world.h"

#include <mpi.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "comm/activity.h"
#include "comm/control_channel.h"
#include "comm/mpi_communicator.h"

namespace r1::comm {
namespace {

constexpr int kStartSeconds = 120;

/// Ends the process when the ranks do not find each other: a rank that never starts would leave the others in MPI_Init for good.
class StartGuard {
 public:
  StartGuard(std::string program, int rank)
      : thread_([this, program = std::move(program), rank] {
          std::unique_lock lock(mutex_);
          if (finished_.wait_for(lock, std::chrono::seconds(kStartSeconds), [this] { return is_finished_; })) return;
          log::error("{}: rank {} is there, but the job's ranks have not all started within {} s", program, rank, kStartSeconds);
          _exit(exit_code(ErrorKind::kComm));
        }) {}
  ~StartGuard() {
    {
      std::lock_guard lock(mutex_);
      is_finished_ = true;
    }
    finished_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable finished_;
  bool is_finished_ = false;
  std::thread thread_;
};

// Ranks wait for each other many times a step, and on a busy node each wake-up queues behind the others' turns of milliseconds. Asking
// for turns of a tenth of one brings a woken rank to a processor sooner; its share of the time stays the same. Linux 6.12 and later;
// elsewhere nothing happens. (The C library has no declaration of the call.)
void ask_for_short_turns() {
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime_nanoseconds, deadline, period;
  } attributes{};
  attributes.size = sizeof attributes;
  if (sched_getscheduler(0) != SCHED_OTHER) return;
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  attributes.runtime_nanoseconds = 100'000;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

// Every rank's text on every rank, before there is a communicator of ours.
std::vector<std::string> exchange_texts(const std::string& mine, int size) {
  const int length = static_cast<int>(mine.size());
  std::vector<int> lengths(static_cast<std::size_t>(size)), offsets(static_cast<std::size_t>(size));
  MPI_Allgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, MPI_COMM_WORLD);
  int total = 0;
  for (std::size_t r = 0; r < lengths.size(); ++r) {
    offsets[r] = total;
    total += lengths[r];
  }
  std::string all(static_cast<std::size_t>(total), ' ');
  MPI_Allgatherv(mine.data(), length, MPI_CHAR, all.data(), lengths.data(), offsets.data(), MPI_CHAR, MPI_COMM_WORLD);
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < lengths.size(); ++r)
    texts.push_back(all.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(lengths[r])));
  return texts;
}

bool wants_call_check() {
  const char* value = std::getenv("R1_COMM_CHECK");
  return value != nullptr && std::string_view(value) != "0" && *value != '\0';
}

/// A counter that rank 0 keeps.
class ChannelCounter : public SharedCounter {
 public:
  ChannelCounter(ControlChannel& channel, std::string name) : channel_(channel), name_(std::move(name)) {}
  std::int64_t fetch_add(std::int64_t amount) override { return channel_.fetch_add(name_, amount); }

 private:
  ControlChannel& channel_;
  std::string name_;
};

}  // namespace

struct World::Impl {
  std::unique_ptr<ControlChannel> channel;
  std::shared_ptr<MpiTransport> transport;
};

World::World(std::string program, const Topology& topology) : topology_(topology), program_(std::move(program)) {
  if (topology.world_size == 1) {
    communicator_ = make_self_communicator();
    return;
  }
  const StartGuard guard(program_, topology.rank);
  ask_for_short_turns();
  // Ranks that share cores must not spin in the few blocking calls; ROMIO writes several times faster than the default.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*overwrite=*/0);
  setenv("OMPI_MCA_io", "romio321", /*overwrite=*/0);
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  if (provided < MPI_THREAD_MULTIPLE) r1::fail(ErrorKind::kComm, "this MPI library does not offer MPI_THREAD_MULTIPLE, which is needed");
  MPI_Comm_rank(MPI_COMM_WORLD, &topology_.rank);
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size != topology.world_size) {
    r1::fail(ErrorKind::kComm, "the launcher ({}) says {} ranks, MPI found {}: was the program built with another MPI than the launcher's?",
             topology.launcher, topology.world_size, size);
  }
  log::set_rank(topology_.rank);
  impl_ = std::make_unique<Impl>();
  impl_->channel = std::make_unique<ControlChannel>(
      ControlOptions{program_, topology_.rank, size, [size](const std::string& mine) { return exchange_texts(mine, size); }});
  impl_->transport = std::make_shared<MpiTransport>();
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MpiCommunicatorOptions options;
  options.check_calls = wants_call_check();
  options.make_counter = [channel = impl_->channel.get()](const std::string& name) {
    return std::make_unique<ChannelCounter>(*channel, name);
  };
  communicator_ = make_mpi_communicator(impl_->transport, comm, "world", std::move(options));
}

World::~World() = default;

void World::watch(double seconds) {
  if (impl_) impl_->channel->watch(seconds);
}

void World::finish() {
  if (!impl_) return;
  {
    const Phase phase("end");
    communicator_->barrier("end");
  }
  impl_->channel->close();
  communicator_.reset();
  impl_->transport.reset();
  impl_.reset();
  MPI_Finalize();
}

int World::fail(int exit_code, const std::string& message) {
  if (impl_) impl_->channel->fail_everywhere(exit_code, message);
  log::error("{}: {}", program_, message);
  return exit_code;
}

}  // namespace r1::comm

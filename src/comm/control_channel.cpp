#include "comm/control_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "base/error.h"
#include "base/log.h"
#include "base/profile.h"
#include "comm/control_impl.h"

namespace r1::comm {
namespace {

// Heartbeats carry what a rank does: often enough that the last one tells where it died, seldom enough for rank 0 of a large job.
constexpr double kLongestRound = 1.0, kLongestRoundOfFewRanks = 0.25;
constexpr int kFewRanks = 64;

// A launcher that loses a rank sends SIGTERM to the others at once: time to say which rank it was.
std::atomic<double> g_terminated{-1};
std::atomic<int> g_wake_of_signal{-1};

void on_terminate(int) {
  g_terminated = now_seconds();
  const std::uint64_t one = 1;
  if (const int wake = g_wake_of_signal; wake >= 0) [[maybe_unused]]
    const ssize_t written = write(wake, &one, sizeof one);
}

}  // namespace

std::string describe_activity(const Activity& activity) {
  std::string text = fmt::format("in phase '{}' for {:.1f} s", activity.phase, activity.phase_seconds);
  text += activity.collective_number == 0 ? ", before its first collective"
                                          : fmt::format(", {} collective #{} {}", activity.is_waiting ? "waiting in" : "last",
                                                        activity.collective_number, activity.collective);
  return text;
}

ControlChannel::Impl::Impl(ControlOptions options) : options_(std::move(options)) {
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0) r1::fail(ErrorKind::kComm, "control channel: no eventfd");
  g_wake_of_signal = wake_;
  struct sigaction before {};
  sigaction(SIGTERM, nullptr, &before);
  if (before.sa_handler == SIG_DFL) {
    struct sigaction action {};
    action.sa_handler = on_terminate;
    action.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &action, nullptr);
  }
}

ControlChannel::Impl::~Impl() {
  g_wake_of_signal = -1;
  ::close(wake_);
}

void ControlChannel::Impl::start() {
  thread_ = std::thread([this] {
    try {
      while (!closing_ && round()) {
      }
    } catch (const std::exception& error) {
      print(error.what());
      leave(exit_code(ErrorKind::kComm));
    }
  });
}

void ControlChannel::Impl::stop() {
  closing_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

void ControlChannel::Impl::close() {
  stop();
  say_goodbye();
}

void ControlChannel::Impl::fail_everywhere(int exit_code, const std::string& message) {
  {
    std::lock_guard lock(failure_mutex_);
    if (!failure_) failure_ = Failure{options_.rank, exit_code, message, now_seconds()};
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
  if (closing_) {  // the job was over: nobody is left to tell
    print(message);
    leave(exit_code);
  }
  while (true) pause();  // the thread ends the process
}

std::optional<ControlChannel::Impl::Failure> ControlChannel::Impl::own_failure() {
  const std::string transfers = failure_of_device_transfers();  // the main thread may wait for them for good
  std::lock_guard lock(failure_mutex_);
  if (!failure_ && !transfers.empty()) failure_ = Failure{options_.rank, exit_code(ErrorKind::kComm), transfers, now_seconds()};
  return failure_;
}

double ControlChannel::Impl::seconds_since_termination() const { return g_terminated < 0 ? -1 : now_seconds() - g_terminated; }

double ControlChannel::Impl::wait_seconds() const {
  if (g_terminated >= 0) return 0.05;
  const double seconds = watchdog_seconds_, longest = options_.world_size <= kFewRanks ? kLongestRoundOfFewRanks : kLongestRound;
  return seconds > 0 ? std::clamp(seconds / 6, 0.05, longest) : longest;
}

void ControlChannel::Impl::wait_for(std::vector<int> descriptors) {
  std::vector<pollfd> waiting;
  descriptors.push_back(wake_);
  for (const int descriptor : descriptors) waiting.push_back({descriptor, POLLIN, 0});
  poll(waiting.data(), waiting.size(), static_cast<int>(wait_seconds() * 1000));
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_, &count, sizeof count);
}

void ControlChannel::Impl::print(const std::string& message) const { log::error("{}: {}", options_.program, message); }

void ControlChannel::Impl::leave(int exit_code) {
  std::fflush(nullptr);
  _exit(exit_code);
}

ControlChannel::ControlChannel(ControlOptions options) {
  const bool is_hub = options.rank == 0;
  if (is_hub) {
    impl_ = std::make_unique<Hub>(std::move(options));
  } else {
    // "host" of every rank first: ranks that share one talk through a Unix socket. Then rank 0's address.
    options.exchange(host_name());
    const std::vector<std::string> addresses = options.exchange("");
    impl_ = std::make_unique<Member>(std::move(options), addresses.at(0));
  }
}

ControlChannel::~ControlChannel() = default;

void ControlChannel::watch(double seconds) { impl_->watch(seconds); }
void ControlChannel::fail_everywhere(int exit_code, const std::string& message) { impl_->fail_everywhere(exit_code, message); }
std::int64_t ControlChannel::fetch_add(const std::string& name, std::int64_t amount) { return impl_->fetch_add(name, amount); }
void ControlChannel::close() { impl_->close(); }

}  // namespace r1::comm

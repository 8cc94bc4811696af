// The two sides of the control channel.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "comm/control_channel.h"
#include "comm/control_socket.h"

namespace r1::comm {

/// What both sides share: the thread, its wake-up, the failure that the main thread reports, the terminating signal.
struct ControlChannel::Impl {
  explicit Impl(ControlOptions options);
  virtual ~Impl();

  virtual std::int64_t fetch_add(const std::string& name, std::int64_t amount) = 0;
  virtual void say_goodbye() = 0;

  struct Failure {
    int rank = 0, exit_code = 1;
    std::string message;
    double noticed = 0;
  };
  [[noreturn]] void fail_everywhere(int exit_code, const std::string& message);
  void watch(double seconds) { watchdog_seconds_ = seconds; }
  void close();

 protected:
  /// One round: waits for at most wait_seconds() on its sockets, then acts. False ends the thread.
  virtual bool round() = 0;
  void start();
  void stop();
  std::optional<Failure> own_failure();
  /// How long since this process was asked to terminate (SIGTERM); negative: it was not.
  double seconds_since_termination() const;
  double wait_seconds() const;
  /// Polls the descriptors and the wake-up.
  void wait_for(std::vector<int> descriptors);
  /// One line to standard error, as errors are printed everywhere.
  void print(const std::string& message) const;
  [[noreturn]] static void leave(int exit_code);

  const ControlOptions options_;
  std::atomic<double> watchdog_seconds_{0};
  std::atomic<bool> closing_{false};

 private:
  std::mutex failure_mutex_;
  std::optional<Failure> failure_;
  int wake_ = -1;
  std::thread thread_;
};

/// Rank 0's side.
class ControlChannel::Hub : public ControlChannel::Impl {
 public:
  explicit Hub(ControlOptions options);
  ~Hub() override { stop(); }
  std::int64_t fetch_add(const std::string& name, std::int64_t amount) override;
  void say_goodbye() override;

 private:
  struct Member {
    std::unique_ptr<ControlSocket> socket;  // null: rank 0 itself, or gone
    int rank = 0;
    std::int64_t process_id = 0;
    std::string host;
    double last_heard = 0;
    Activity activity;
    bool said_goodbye = false, is_silent = false;
  };
  bool round() override;
  void handle(Member& member, const ControlMessage& message);
  std::optional<Failure> find_lost_rank(double now);
  std::optional<Failure> find_rank_that_fell_behind(double now);
  std::string describe(const Member& member) const;
  [[noreturn]] void end_job(const Failure& failure);

  std::vector<Member> members_;  // by rank
  std::optional<Failure> failure_of_member_;
  double last_round_ = 0, last_beat_ = 0;
  std::mutex counters_mutex_;
  std::map<std::string, std::int64_t> counters_;
};

/// The other ranks' side.
class ControlChannel::Member : public ControlChannel::Impl {
 public:
  Member(ControlOptions options, const std::string& hub_address);
  ~Member() override { stop(); }
  std::int64_t fetch_add(const std::string& name, std::int64_t amount) override;
  void say_goodbye() override;

 private:
  bool round() override;
  [[noreturn]] void hub_is_lost(const std::string& how);

  std::unique_ptr<ControlSocket> socket_;
  std::string hub_host_;
  std::int64_t hub_process_id_ = 0;
  double last_heard_ = 0, last_beat_ = 0, last_round_ = 0, reported_ = 0;
  Activity hub_activity_;
  std::mutex counter_call_mutex_, counter_mutex_;
  std::condition_variable counter_arrived_;
  std::optional<std::int64_t> counter_value_;
};

/// "in phase 'step 12' for 3.2 s, last collective #381 all_to_all 'layers.3'".
std::string describe_activity(const Activity& activity);

}  // namespace r1::comm

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "base/error.h"
#include "base/profile.h"
#include "base/signals.h"
#include "comm/control_impl.h"

namespace r1::comm {
namespace {

constexpr double kConnectSeconds = 120;
constexpr double kAnswerSeconds = 5;  // for rank 0 to end the job after this rank's error
constexpr double kOthersSpeakSeconds = 1.5;
constexpr double kTerminationSeconds = 1;  // longer than rank 0's, which then speaks first

}  // namespace

ControlChannel::Member::Member(ControlOptions options, const std::string& hub_address) : Impl(std::move(options)) {
  ControlMessage hello;
  hello.kind = ControlMessage::Kind::kHello;
  hello.rank = options_.rank;
  hello.number = getpid();
  std::string token;
  socket_ = std::make_unique<ControlSocket>(connect_to(hub_address, token));
  hello.text = token + " " + host_name();
  if (!socket_->send(hello)) r1::fail(ErrorKind::kComm, "control channel: rank 0 closed the connection");
  std::vector<ControlMessage> messages;
  const double deadline = now_seconds() + kConnectSeconds;
  while (messages.empty() && now_seconds() < deadline) {
    if (!socket_->receive(messages)) break;
    if (messages.empty()) wait_for({socket_->descriptor()});
  }
  if (messages.empty() || messages[0].kind != ControlMessage::Kind::kHello)
    r1::fail(ErrorKind::kComm, "control channel: rank 0 did not answer");
  hub_process_id_ = messages[0].number;
  hub_host_ = messages[0].text;
  last_heard_ = last_round_ = now_seconds();
  start();
}

std::int64_t ControlChannel::Member::fetch_add(const std::string& name, std::int64_t amount) {
  std::lock_guard one_call(counter_call_mutex_);
  ControlMessage question;
  question.kind = ControlMessage::Kind::kCounterAdd;
  question.number = amount;
  question.text = name;
  std::unique_lock lock(counter_mutex_);
  counter_value_.reset();
  if (!socket_->send(question)) r1::fail(ErrorKind::kComm, "control channel: rank 0 does not take a question");
  counter_arrived_.wait(lock, [&] { return counter_value_.has_value(); });
  return *counter_value_;
}

void ControlChannel::Member::say_goodbye() { socket_->send({ControlMessage::Kind::kGoodbye}); }

// Without rank 0 nobody decides who speaks: rank 1 does, the others only when the launcher does not end them after it.
void ControlChannel::Member::hub_is_lost(const std::string& how) {
  const double deadline = now_seconds() + (options_.rank > 1 ? kOthersSpeakSeconds + 0.1 * options_.rank : 0);
  while (now_seconds() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (seconds_since_termination() >= 0 || signals::stop_requested()) leave(exit_code(ErrorKind::kComm));
  }
  print(fmt::format("rank 0 (host {}, process {}) {}; it was {}", hub_host_, hub_process_id_, how, describe_activity(hub_activity_)));
  leave(exit_code(ErrorKind::kComm));
}

bool ControlChannel::Member::round() {
  wait_for({socket_->descriptor()});
  const double now = now_seconds();
  if (now - last_round_ > 2 * wait_seconds() + 0.5) last_heard_ = now;  // this process itself was stopped
  last_round_ = now;
  std::vector<ControlMessage> messages;
  const bool open = socket_->receive(messages);
  for (const ControlMessage& message : messages) {
    last_heard_ = now;
    switch (message.kind) {
      case ControlMessage::Kind::kAbort:
        leave(static_cast<int>(message.number));
      case ControlMessage::Kind::kBeat:
        hub_activity_ = message.activity;
        break;
      case ControlMessage::Kind::kGoodbye:
        return false;
      case ControlMessage::Kind::kCounterValue: {
        std::lock_guard lock(counter_mutex_);
        counter_value_ = message.number;
        counter_arrived_.notify_all();
        break;
      }
      default:
        break;
    }
  }
  const auto own = own_failure();
  if (own && reported_ == 0) {
    reported_ = now;
    ControlMessage error;
    error.kind = ControlMessage::Kind::kError;
    error.number = own->exit_code;
    error.text = own->message;
    socket_->send(error);
  }
  if (own && (now - reported_ > kAnswerSeconds || !open)) {
    print(own->message);
    leave(own->exit_code);
  }
  if (!open) hub_is_lost("died");
  const double limit = watchdog_seconds_;
  if (limit > 0 && now - last_heard_ > limit)
    hub_is_lost(fmt::format("has given no sign of life for {:.1f} s (watchdog_seconds {})", now - last_heard_, limit));
  if (now - last_beat_ >= 0.5 * wait_seconds()) {
    last_beat_ = now;
    ControlMessage beat;
    beat.rank = options_.rank;
    beat.activity = current_activity();
    socket_->send(beat);
  }
  if (seconds_since_termination() > kTerminationSeconds) {
    std::signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
  }
  return true;
}

}  // namespace r1::comm

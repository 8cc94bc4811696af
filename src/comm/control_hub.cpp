#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "base/profile.h"
#include "base/strings.h"
#include "comm/control_impl.h"

namespace r1::comm {
namespace {

constexpr double kConnectSeconds = 120;
// A member's error waits so long for rank 0 to meet the same one: then it is everybody's, and told without a rank.
constexpr double kSameErrorSeconds = 0.15;
// After SIGTERM: time for the sockets of a dead rank to tell.
constexpr double kTerminationSeconds = 0.3;
constexpr double kLeaveSeconds = 1.5;

}  // namespace

ControlChannel::Hub::Hub(ControlOptions options) : Impl(std::move(options)) {
  const std::vector<std::string> hosts = options_.exchange(host_name());
  const bool one_host = std::all_of(hosts.begin(), hosts.end(), [&](const std::string& host) { return host == hosts[0]; });
  ControlListener listener(one_host);
  options_.exchange(listener.address());
  members_.resize(static_cast<std::size_t>(options_.world_size));
  members_[0].process_id = getpid();
  members_[0].host = host_name();
  const double deadline = now_seconds() + kConnectSeconds;
  for (int connected = 1; connected < options_.world_size;) {
    const int descriptor = listener.accept(std::max(0.0, deadline - now_seconds()));
    if (descriptor < 0) {
      r1::fail(ErrorKind::kComm,
               "control channel: {} of {} ranks reached rank 0 (host {}) within {:.0f} s; check the firewall between the nodes", connected,
               options_.world_size, host_name(), kConnectSeconds);
    }
    auto socket = std::make_unique<ControlSocket>(descriptor);
    std::vector<ControlMessage> messages;
    while (now_seconds() < deadline && socket->receive(messages) && messages.empty()) wait_for({descriptor});
    if (messages.empty() || messages[0].kind != ControlMessage::Kind::kHello) continue;
    const ControlMessage& hello = messages[0];
    const std::vector<std::string> words = split(hello.text, ' ');
    if (words.size() != 2 || words[0] != listener.token() || hello.rank < 1 || hello.rank >= options_.world_size) continue;
    Member& member = members_[static_cast<std::size_t>(hello.rank)];
    if (member.socket != nullptr) continue;
    member.socket = std::move(socket);
    member.process_id = hello.number;
    member.host = words[1];
    ++connected;
  }
  const double now = last_round_ = now_seconds();
  for (std::size_t r = 0; r < members_.size(); ++r) {
    members_[r].rank = static_cast<int>(r);
    members_[r].last_heard = now;
    if (!members_[r].socket) continue;
    ControlMessage answer;
    answer.kind = ControlMessage::Kind::kHello;
    answer.number = getpid();
    answer.text = members_[0].host;
    members_[r].socket->send(answer);
  }
  start();
}

std::int64_t ControlChannel::Hub::fetch_add(const std::string& name, std::int64_t amount) {
  std::lock_guard lock(counters_mutex_);
  return std::exchange(counters_[name], counters_[name] + amount);
}

void ControlChannel::Hub::say_goodbye() {
  for (Member& member : members_) {
    if (member.socket) member.socket->send({ControlMessage::Kind::kGoodbye});
  }
}

std::string ControlChannel::Hub::describe(const Member& member) const {
  return fmt::format("rank {} (host {}, process {})", member.rank, member.host, member.process_id);
}

void ControlChannel::Hub::handle(Member& member, const ControlMessage& message) {
  switch (message.kind) {
    case ControlMessage::Kind::kBeat:
      member.activity = message.activity;
      break;
    case ControlMessage::Kind::kError:
      if (!failure_of_member_) failure_of_member_ = Failure{member.rank, static_cast<int>(message.number), message.text, now_seconds()};
      break;
    case ControlMessage::Kind::kGoodbye:
      member.said_goodbye = true;
      break;
    case ControlMessage::Kind::kCounterAdd: {
      ControlMessage answer;
      answer.kind = ControlMessage::Kind::kCounterValue;
      answer.number = fetch_add(message.text, message.number);
      if (member.socket) member.socket->send(answer);
      break;
    }
    default:
      break;
  }
}

std::optional<ControlChannel::Impl::Failure> ControlChannel::Hub::find_lost_rank(double now) {
  const double limit = watchdog_seconds_;
  for (Member& member : members_) {
    if (member.rank == 0 || member.said_goodbye) continue;
    const double quiet = now - member.last_heard;
    if (!member.socket) {
      return Failure{member.rank, exit_code(ErrorKind::kComm),
                     fmt::format("{} died {} (seen {:.1f} s ago); see its node's log (out of memory?) and its standard error",
                                 describe(member), describe_activity(member.activity), quiet),
                     now};
    }
    if (limit > 0 && quiet > limit) {
      member.is_silent = true;
      return Failure{
          member.rank, exit_code(ErrorKind::kComm),
          fmt::format("{} has given no sign of life for {:.1f} s (watchdog_seconds {}); it was {}: its process is stopped or its "
                      "node is lost",
                      describe(member), quiet, limit, describe_activity(member.activity)),
          now};
    }
  }
  return std::nullopt;
}

std::optional<ControlChannel::Impl::Failure> ControlChannel::Hub::find_rank_that_fell_behind(double now) {
  const double limit = watchdog_seconds_;
  if (limit <= 0) return std::nullopt;
  const Member* waiting = nullptr;
  const Member* behind = nullptr;
  const Member* elsewhere = nullptr;  // waits in another collective than the first that waits
  bool all_wait = true;
  for (const Member& member : members_) {
    const bool is_still = member.activity.still_seconds > limit;
    if (member.activity.is_waiting && is_still) {
      if (waiting == nullptr) waiting = &member;
      if (member.activity.collective_number != waiting->activity.collective_number ||
          member.activity.collective != waiting->activity.collective)
        elsewhere = &member;
    } else {
      all_wait = false;
      if (is_still && !member.activity.is_waiting && !member.activity.is_patient) behind = &member;
    }
  }
  if (waiting == nullptr || (behind == nullptr && !all_wait)) return std::nullopt;
  const int code = exit_code(ErrorKind::kComm);
  const auto waits = [&](const Member& member) {
    return fmt::format("{} waits in collective #{} {}", describe(member), member.activity.collective_number, member.activity.collective);
  };
  if (behind != nullptr) {
    return Failure{behind->rank, code,
                   fmt::format("{} has done nothing for {:.1f} s (watchdog_seconds {}), {}, while {}", describe(*behind),
                               behind->activity.still_seconds, limit, describe_activity(behind->activity), waits(*waiting)),
                   now};
  }
  if (elsewhere != nullptr) {
    return Failure{
        elsewhere->rank, code,
        fmt::format("ranks wait in different collectives for {:.1f} s (watchdog_seconds {}): {}, {}; R1_COMM_CHECK=1 finds the first "
                    "call that differs",
                    waiting->activity.still_seconds, limit, waits(*waiting), waits(*elsewhere)),
        now};
  }
  return Failure{
      waiting->rank, code,
      fmt::format("no data has arrived for {:.1f} s (watchdog_seconds {}): {}, and so do all ranks; the network between the nodes "
                  "stands still",
                  waiting->activity.still_seconds, limit, waits(*waiting)),
      now};
}

bool ControlChannel::Hub::round() {
  std::vector<int> descriptors;
  for (const Member& member : members_) {
    if (member.socket) descriptors.push_back(member.socket->descriptor());
  }
  wait_for(std::move(descriptors));
  const double now = now_seconds();
  // This process itself was stopped, or got no time: silence says nothing about the others.
  const bool was_paused = now - last_round_ > 2 * wait_seconds() + 0.5;
  last_round_ = now;
  for (Member& member : members_) {
    if (!member.socket) continue;
    if (was_paused) member.last_heard = now;
    std::vector<ControlMessage> messages;
    const bool open = member.socket->receive(messages);
    if (!messages.empty()) member.last_heard = now;
    for (const ControlMessage& message : messages) handle(member, message);
    if (!open) member.socket.reset();
  }
  members_[0].activity = current_activity();
  if (now - last_beat_ >= 0.5 * wait_seconds()) {
    last_beat_ = now;
    ControlMessage beat;
    beat.activity = members_[0].activity;
    for (Member& member : members_) {
      if (member.socket) member.socket->send(beat);
    }
  }
  const auto own = own_failure();
  if (own && (!failure_of_member_ || own->noticed <= failure_of_member_->noticed || own->message == failure_of_member_->message))
    end_job(*own);
  if (failure_of_member_ && (own || now - failure_of_member_->noticed > kSameErrorSeconds)) {
    Failure tagged = *failure_of_member_;
    tagged.message =
        fmt::format("rank {} (host {}): {}", tagged.rank, members_[static_cast<std::size_t>(tagged.rank)].host, tagged.message);
    end_job(tagged);
  }
  if (failure_of_member_) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return true;
  }
  if (const auto lost = find_lost_rank(now)) end_job(*lost);
  if (!was_paused) {
    if (const auto behind = find_rank_that_fell_behind(now)) end_job(*behind);
  }
  if (seconds_since_termination() > kTerminationSeconds) {
    std::signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
  }
  return true;
}

void ControlChannel::Hub::end_job(const Failure& failure) {
  print(failure.message);
  ControlMessage abort;
  abort.kind = ControlMessage::Kind::kAbort;
  abort.number = failure.exit_code;
  for (Member& member : members_) {
    if (member.socket) member.socket->send(abort);
  }
  const double deadline = now_seconds() + kLeaveSeconds;
  const auto is_still_there = [](const Member& member) { return member.socket != nullptr && !member.is_silent; };
  while (now_seconds() < deadline && std::any_of(members_.begin(), members_.end(), is_still_there)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    for (Member& member : members_) {
      std::vector<ControlMessage> messages;
      if (member.socket && !member.socket->receive(messages)) member.socket.reset();
    }
  }
  // A stopped process cannot leave by itself: the launcher ends it when it sees this exit code.
  leave(failure.exit_code);
}

}  // namespace r1::comm

// What the control channel carries: small messages on a stream socket.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/activity.h"

namespace r1::comm {

struct ControlMessage {
  enum class Kind : std::uint32_t { kHello = 1, kBeat, kError, kAbort, kGoodbye, kCounterAdd, kCounterValue };
  Kind kind = Kind::kBeat;
  std::int64_t rank = 0;
  std::int64_t number = 0;  // hello: process id; error, abort: exit code; counter: amount or value
  std::string text;         // hello: token and host; error: the message; counter: its name
  Activity activity;        // beat
};

std::string encode(const ControlMessage& message);
/// Takes the first whole message off the front of the buffer; nothing when there is none yet. Throws Error(kComm) on garbage.
std::optional<ControlMessage> decode(std::string& buffer);

}  // namespace r1::comm

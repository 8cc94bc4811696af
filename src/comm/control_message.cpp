#include "comm/control_message.h"

#include <cstring>

#include "base/error.h"

namespace r1::comm {
namespace {

constexpr std::uint32_t kMagic = 0x52314331;  // "R1C1"
constexpr std::uint32_t kLargest = 1 << 20;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put(std::string& out, const std::string& text) {
  put(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  T value() {
    T result;
    const std::string_view part = take(sizeof result);
    std::memcpy(&result, part.data(), sizeof result);
    return result;
  }
  std::string text() { return std::string(take(value<std::uint32_t>())); }

 private:
  std::string_view take(std::size_t count) {
    if (count > bytes_.size()) fail(ErrorKind::kComm, "control channel: a message is shorter than it says");
    const std::string_view part = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return part;
  }
  std::string_view bytes_;
};

}  // namespace

std::string encode(const ControlMessage& message) {
  std::string body;
  put(body, static_cast<std::uint32_t>(message.kind));
  put(body, message.rank);
  put(body, message.number);
  put(body, message.text);
  const Activity& activity = message.activity;
  put(body, activity.phase);
  put(body, activity.phase_seconds);
  put(body, activity.is_patient);
  put(body, activity.collective_number);
  put(body, activity.collective);
  put(body, activity.is_waiting);
  put(body, activity.still_seconds);
  std::string out;
  put(out, kMagic);
  put(out, body);
  return out;
}

std::optional<ControlMessage> decode(std::string& buffer) {
  constexpr std::size_t kHeader = 2 * sizeof(std::uint32_t);
  if (buffer.size() < kHeader) return std::nullopt;
  Reader header(buffer);
  if (header.value<std::uint32_t>() != kMagic) fail(ErrorKind::kComm, "control channel: not a message of this program");
  const auto size = header.value<std::uint32_t>();
  if (size > kLargest) fail(ErrorKind::kComm, "control channel: a message of {} bytes", size);
  if (buffer.size() < kHeader + size) return std::nullopt;
  const std::string body = buffer.substr(kHeader, size);
  buffer.erase(0, kHeader + size);
  Reader reader(body);
  ControlMessage message;
  message.kind = static_cast<ControlMessage::Kind>(reader.value<std::uint32_t>());
  message.rank = reader.value<std::int64_t>();
  message.number = reader.value<std::int64_t>();
  message.text = reader.text();
  message.activity.phase = reader.text();
  message.activity.phase_seconds = reader.value<double>();
  message.activity.is_patient = reader.value<bool>();
  message.activity.collective_number = reader.value<std::uint64_t>();
  message.activity.collective = reader.text();
  message.activity.is_waiting = reader.value<bool>();
  message.activity.still_seconds = reader.value<double>();
  return message;
}

}  // namespace r1::comm

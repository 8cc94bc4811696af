#include "comm/control_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/strings.h"

namespace r1::comm {
namespace {

[[noreturn]] void fail_system(const char* what) { fail(ErrorKind::kComm, "control channel: {}: {}", what, std::strerror(errno)); }

std::string random_token() {
  unsigned char bytes[16];
  if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) fail_system("getrandom");
  std::string token;
  for (const unsigned char byte : bytes) token += fmt::format("{:02x}", byte);
  return token;
}

sockaddr_un abstract_address(const std::string& name, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, sizeof address.sun_path - 1);  // a leading zero: no file
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

// IPv4 addresses of the interfaces that are up, the loopback left out.
std::vector<std::string> own_addresses() {
  std::vector<std::string> result;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return result;
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    if ((entry->ifa_flags & IFF_LOOPBACK) != 0 || (entry->ifa_flags & IFF_UP) == 0) continue;
    char text[INET_ADDRSTRLEN];
    const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
    if (inet_ntop(AF_INET, &address->sin_addr, text, sizeof text) != nullptr) result.emplace_back(text);
  }
  freeifaddrs(first);
  return result;
}

bool connect_within(int descriptor, const sockaddr* address, socklen_t length, int milliseconds) {
  fcntl(descriptor, F_SETFL, O_NONBLOCK);
  if (connect(descriptor, address, length) != 0) {
    if (errno != EINPROGRESS && errno != EAGAIN) return false;
    pollfd waiting{descriptor, POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&waiting, 1, milliseconds) <= 0) return false;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return false;
  }
  return true;
}

}  // namespace

std::string host_name() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return host;
}

ControlSocket::~ControlSocket() { ::close(descriptor_); }

bool ControlSocket::send(const ControlMessage& message) {
  const std::string bytes = encode(message);
  std::lock_guard lock(send_mutex_);
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t now = ::send(descriptor_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (now > 0) {
      sent += static_cast<std::size_t>(now);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return false;
    // The buffer is full: the other side has not read for long. Nothing of this message was sent: leave it out. Else finish it.
    pollfd room{descriptor_, POLLOUT, 0};
    if (sent == 0 || poll(&room, 1, 1000) <= 0) return false;
  }
  return true;
}

bool ControlSocket::receive(std::vector<ControlMessage>& messages) {
  char bytes[4096];
  bool open = true;
  while (true) {
    const ssize_t now = ::recv(descriptor_, bytes, sizeof bytes, MSG_DONTWAIT);
    if (now > 0) {
      buffer_.append(bytes, static_cast<std::size_t>(now));
      continue;
    }
    if (now < 0 && errno == EINTR) continue;
    open = now < 0 && errno == EAGAIN;
    break;
  }
  while (auto message = decode(buffer_)) messages.push_back(std::move(*message));
  return open;
}

ControlListener::ControlListener(bool only_this_host) : token_(random_token()) {
  descriptor_ = socket(only_this_host ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor_ < 0) fail_system("socket");
  if (only_this_host) {
    const std::string name = "r1-control-" + random_token();
    socklen_t length = 0;
    const sockaddr_un address = abstract_address(name, length);
    if (bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), length) != 0) fail_system("bind");
    address_ = fmt::format("unix {} {}", token_, name);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t length = sizeof address;
    if (bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), length) != 0) fail_system("bind");
    if (getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &length) != 0) fail_system("getsockname");
    address_ = fmt::format("tcp {} {} {}", token_, ntohs(address.sin_port), join(own_addresses(), " "));
  }
  if (listen(descriptor_, 1024) != 0) fail_system("listen");
}

ControlListener::~ControlListener() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int ControlListener::accept(double timeout_seconds) {
  pollfd waiting{descriptor_, POLLIN, 0};
  if (poll(&waiting, 1, static_cast<int>(timeout_seconds * 1000)) <= 0) return -1;
  return ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC);
}

int connect_to(const std::string& address, std::string& token) {
  const std::vector<std::string> words = split(address, ' ');
  if (words.size() < 3) fail(ErrorKind::kComm, "control channel: rank 0 offers no address ('{}')", address);
  token = words[1];
  constexpr int kTimeoutMilliseconds = 10000;
  if (words[0] == "unix") {
    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_system("socket");
    socklen_t length = 0;
    const sockaddr_un target = abstract_address(words[2], length);
    if (connect(descriptor, reinterpret_cast<const sockaddr*>(&target), length) == 0) return descriptor;
    ::close(descriptor);
    fail_system("connect to rank 0");
  }
  const auto port = parse_int(words[2]);
  for (std::size_t i = 3; i < words.size(); ++i) {
    sockaddr_in target{};
    target.sin_family = AF_INET;
    target.sin_port = htons(static_cast<std::uint16_t>(port.value_or(0)));
    if (inet_pton(AF_INET, words[i].c_str(), &target.sin_addr) != 1) continue;
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_system("socket");
    if (connect_within(descriptor, reinterpret_cast<const sockaddr*>(&target), sizeof target, kTimeoutMilliseconds)) {
      const int on = 1;
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return descriptor;
    }
    ::close(descriptor);
  }
  fail(ErrorKind::kComm, "control channel: {} reaches rank 0 on none of its addresses ({}); check the firewall between the nodes",
       host_name(), address.substr(address.find(words[2])));
}

}  // namespace r1::comm

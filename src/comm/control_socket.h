// Stream sockets of the control channel.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "comm/control_message.h"

namespace r1::comm {

/// One connection. send() may be called from several threads, receive() from one.
class ControlSocket {
 public:
  explicit ControlSocket(int descriptor) : descriptor_(descriptor) {}
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  int descriptor() const { return descriptor_; }
  /// False when the other side is gone or takes nothing.
  bool send(const ControlMessage& message);
  /// Reads what has arrived. False at the end of the stream.
  bool receive(std::vector<ControlMessage>& messages);

 private:
  int descriptor_;
  std::mutex send_mutex_;
  std::string buffer_;
};

/// Listens where the other ranks can reach it. address() is what they need to connect: hosts, port or name, and a random token
/// that every hello must carry.
class ControlListener {
 public:
  /// only_this_host: a Unix socket in the abstract name space; otherwise TCP on all interfaces.
  explicit ControlListener(bool only_this_host);
  ~ControlListener();
  ControlListener(const ControlListener&) = delete;
  ControlListener& operator=(const ControlListener&) = delete;
  const std::string& address() const { return address_; }
  const std::string& token() const { return token_; }
  /// The next connection within the time, or -1.
  int accept(double timeout_seconds);

 private:
  int descriptor_ = -1;
  std::string address_, token_;
};

/// Throws Error(kComm) with what was tried. Sets the token from the address.
int connect_to(const std::string& address, std::string& token);

std::string host_name();

}  // namespace r1::comm

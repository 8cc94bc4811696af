// A small HTTP/1.1 server on 127.0.0.1 that misbehaves on request.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace r1::test {

struct ServerRequest {
  std::string path, authorization;
  std::uint64_t range_begin = 0;
};

struct ServerAnswer {
  int status = 200;
  std::string body;
  std::string location;         // of a redirect
  std::int64_t cut_after = -1;  // bytes of the body after which the connection is dropped
};

/// One connection at a time; stops with the object.
class LoopbackServer {
 public:
  using Handler = std::function<ServerAnswer(const ServerRequest&)>;

  explicit LoopbackServer(Handler handler) : handler_(std::move(handler)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (socket_ < 0 || ::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(socket_, 16) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~LoopbackServer() {
    stop_ = true;
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<ServerRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  static std::string header_value(const std::string& text, const std::string& name) {
    const std::size_t at = text.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const std::size_t begin = at + name.size() + 4;
    return text.substr(begin, text.find("\r\n", begin) - begin);
  }

  void serve() {
    while (!stop_) {
      const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      answer(connection);
      ::close(connection);
    }
  }

  void answer(int connection) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
      if (count <= 0) return;
      text.append(buffer, static_cast<std::size_t>(count));
    }
    ServerRequest request;
    request.path = text.substr(4, text.find(' ', 4) - 4);
    request.authorization = header_value(text, "Authorization");
    if (const std::string range = header_value(text, "Range"); range.starts_with("bytes="))
      request.range_begin = std::strtoull(range.c_str() + 6, nullptr, 10);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    ServerAnswer reply = handler_(request);
    std::string body = reply.body;
    std::string head;
    if (reply.status == 200 && request.range_begin > 0 && request.range_begin < body.size()) {
      head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " + std::to_string(request.range_begin) + "-" +
             std::to_string(body.size() - 1) + "/" + std::to_string(body.size()) + "\r\n";
      body = body.substr(request.range_begin);
    } else {
      head = "HTTP/1.1 " + std::to_string(reply.status) + " X\r\n";
    }
    if (!reply.location.empty()) head += "Location: " + reply.location + "\r\n";
    head += "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n";
    if (reply.cut_after >= 0 && static_cast<std::size_t>(reply.cut_after) < body.size())
      body.resize(static_cast<std::size_t>(reply.cut_after));
    const std::string whole = head + body;
    for (std::size_t sent = 0; sent < whole.size();) {
      const ssize_t count = ::send(connection, whole.data() + sent, whole.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<std::size_t>(count);
    }
  }

  Handler handler_;
  int socket_ = -1, port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  mutable std::mutex mutex_;
  std::vector<ServerRequest> requests_;
};

}  // namespace r1::test

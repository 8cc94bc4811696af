// The few things that fetching from a hub needs of HTTP, over libcurl.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace r1::hub {

struct HttpResponse {
  long status = 0;        // 0: no answer
  std::string body;       // when no sink was given
  std::string problem;    // libcurl's words when the transfer failed
  bool complete = false;  // the whole body arrived
};

struct HttpRequest {
  std::string url;
  std::string bearer_token;       // not sent on to another host by a redirect
  std::uint64_t range_begin = 0;  // > 0: Range: bytes=<begin>-
  /// Receives the body of a successful answer (status 200 or 206); false stops the transfer. Empty: the body is collected.
  std::function<bool(long status, std::string_view piece)> sink;
};

/// http and https only, at most 5 redirects; a transfer that stalls for a minute fails.
HttpResponse http_get(const HttpRequest& request);

/// "a b" → "a%20b"; '/' stays.
std::string url_path(std::string_view path);

}  // namespace r1::hub

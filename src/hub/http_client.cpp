#include "hub/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>
#include <mutex>

#include "base/error.h"

namespace r1::hub {
namespace {

constexpr std::size_t kMaxBodyBytes = std::size_t{64} << 20;

struct Transfer {
  const HttpRequest* request;
  HttpResponse response;
  CURL* handle;
  bool stopped = false;
};

size_t receive(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  const std::string_view piece(data, size * count);
  long status = 0;
  curl_easy_getinfo(transfer->handle, CURLINFO_RESPONSE_CODE, &status);
  const bool success = status == 200 || status == 206;
  if (success && transfer->request->sink) {
    // libcurl is C: no exception may pass through it.
    try {
      if (transfer->request->sink(status, piece)) return piece.size();
    } catch (...) {
    }
    transfer->stopped = true;
    return 0;
  }
  if (transfer->response.body.size() + piece.size() > kMaxBodyBytes) return 0;
  transfer->response.body += piece;
  return piece.size();
}

struct Cleanup {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

}  // namespace

HttpResponse http_get(const HttpRequest& request) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  const std::unique_ptr<CURL, Cleanup> handle(curl_easy_init());
  if (!handle) fail(ErrorKind::kInternal, "libcurl could not be started");
  Transfer transfer{&request, {}, handle.get()};
  const std::unique_ptr<curl_slist, Cleanup> headers(
      request.bearer_token.empty() ? nullptr : curl_slist_append(nullptr, ("Authorization: Bearer " + request.bearer_token).c_str()));
  char reason[CURL_ERROR_SIZE] = "";
  CURL* const curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "open-r1-hpc");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  if (headers) curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  if (request.range_begin > 0) curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(request.range_begin));
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer.response.status);
  transfer.response.complete = code == CURLE_OK;
  if (code != CURLE_OK && !transfer.stopped) transfer.response.problem = reason[0] != '\0' ? reason : curl_easy_strerror(code);
  return std::move(transfer.response);
}

std::string url_path(std::string_view path) {
  std::string url;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-_.~/").find(c) != std::string_view::npos;
    if (plain) url += c;
    else url += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return url;
}

}  // namespace r1::hub

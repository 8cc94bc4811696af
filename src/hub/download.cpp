#include "hub/download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/profile.h"
#include "base/strings.h"
#include "hub/http_client.h"

namespace r1::hub {
namespace {

namespace fs = std::filesystem;

struct RemoteFile {
  std::string name;
  std::string hash;  // sha256 (64 digits) or git's sha1 (40 digits)
  std::uint64_t size = 0;
};

struct RemoteRepository {
  std::string commit;
  std::vector<RemoteFile> files;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

ErrorKind error_kind(const DownloadOptions& options) { return options.kind == Repository::kModel ? ErrorKind::kModel : ErrorKind::kData; }

bool is_hash(std::string_view text, std::size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Names come from the network: none may leave the snapshot's folder.
bool is_safe_name(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\\') != std::string_view::npos || name.find('\0') != std::string_view::npos)
    return false;
  for (const std::string& part : split(name, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

std::string host_of(std::string_view url) {
  const std::size_t begin = url.find("://");
  if (begin == std::string_view::npos) return "";
  std::string_view host = url.substr(begin + 3);
  host = host.substr(0, host.find('/'));
  if (host.starts_with('[')) return std::string(host.substr(0, host.find(']') + 1));
  return std::string(host.substr(0, host.find(':')));
}

bool may_send_token(std::string_view endpoint) {
  const std::string host = host_of(endpoint);
  return endpoint.starts_with("https://") || host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

bool is_transient(const HttpResponse& response) {
  return !response.complete || response.status == 0 || response.status == 408 || response.status == 429 || response.status >= 500;
}

[[noreturn]] void fail_response(const DownloadOptions& options, const std::string& url, const HttpResponse& response) {
  const char* what = options.kind == Repository::kModel ? "model" : "data set";
  if (response.status == 401 || response.status == 403) {
    fail(error_kind(options), "{} (status {}): no right to read the {} '{}'; {}", url, response.status, what, options.name,
         options.token.empty() ? "set HF_TOKEN to a token that has it" : "the token in HF_TOKEN does not have it");
  }
  if (response.status == 404) {
    fail(error_kind(options), "{} (status 404): there is no {} '{}' at revision {}; check the name{}", url, what, options.name,
         options.revision, options.kind == Repository::kModel ? ", or give --dataset for a data set" : "");
  }
  fail(error_kind(options), "{}: {} after {} attempts; try again later, or set HF_ENDPOINT to a mirror", url,
       response.problem.empty() ? fmt::format("status {}", response.status) : response.problem, options.max_attempts);
}

void wait_before_retry(const DownloadOptions& options, int attempt) {
  std::this_thread::sleep_for(std::chrono::duration<double>(options.first_retry_seconds * static_cast<double>(1 << attempt)));
}

RemoteRepository list_repository(const DownloadOptions& options) {
  const std::string url =
      fmt::format("{}/api/{}/{}/revision/{}?blobs=true", options.endpoint, options.kind == Repository::kModel ? "models" : "datasets",
                  url_path(options.name), replace_all(url_path(options.revision), "/", "%2F"));
  HttpResponse response;
  for (int attempt = 0; attempt < options.max_attempts; ++attempt) {
    if (attempt > 0) wait_before_retry(options, attempt - 1);
    response = http_get({.url = url, .bearer_token = options.token, .range_begin = 0, .sink = {}});
    if (!is_transient(response)) break;
  }
  if (!response.complete || response.status != 200) fail_response(options, url, response);
  const Json info = parse_json(response.body, url, error_kind(options));
  RemoteRepository repository;
  repository.commit = info.value("sha", "");
  if (!is_hash(repository.commit, 40))
    fail(error_kind(options), "{}: expected a commit of 40 digits under 'sha', found '{}'", url, repository.commit);
  for (const Json& sibling : info.value("siblings", Json::array())) {
    RemoteFile file;
    file.name = sibling.value("rfilename", "");
    if (!is_safe_name(file.name)) fail(error_kind(options), "{}: lists a file called '{}', which would leave the folder", url, file.name);
    if (!is_wanted_file(options.kind, file.name)) continue;
    const auto lfs = sibling.find("lfs");
    const bool large = lfs != sibling.end() && lfs->is_object();
    file.hash = large ? lfs->value("sha256", "") : sibling.value("blobId", "");
    file.size = large ? lfs->value("size", std::uint64_t{0}) : sibling.value("size", std::uint64_t{0});
    if (!is_hash(file.hash, large ? 64 : 40)) fail(error_kind(options), "{}: {}: expected a hash, found '{}'", url, file.name, file.hash);
    repository.files.push_back(std::move(file));
  }
  if (repository.files.empty()) fail(error_kind(options), "{}: '{}' holds no file that can be used here", url, options.name);
  return repository;
}

// Of a file's content; git's hash is over "blob <size>\0" and the content.
std::string content_hash(const std::string& path, bool large) {
  const MappedFile file(path);
  if (large) return to_hex(sha256(file.text()));
  const std::string prefix = fmt::format("blob {}", file.text().size()) + '\0';
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool ok = context != nullptr && EVP_DigestInit_ex(context, EVP_sha1(), nullptr) == 1 &&
                  EVP_DigestUpdate(context, prefix.data(), prefix.size()) == 1 &&
                  EVP_DigestUpdate(context, file.text().data(), file.text().size()) == 1 && EVP_DigestFinal_ex(context, digest, &size) == 1;
  EVP_MD_CTX_free(context);
  R1_ASSERT(ok, "libcrypto has no sha1");
  return to_hex(std::string_view(reinterpret_cast<const char*>(digest), size));
}

/// <hash>.incomplete, which a broken transfer leaves behind and the next one continues.
class PartialFile {
 public:
  explicit PartialFile(std::string path) : path_(std::move(path)) {
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file_ < 0) fail_write("create", errno);
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(file_);
      fail(ErrorKind::kDisk, "{}: another process is fetching this file; wait for it", path_);
    }
    size_ = static_cast<std::uint64_t>(::lseek(file_, 0, SEEK_END));
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() { ::close(file_); }

  std::uint64_t size() const { return size_; }
  void clear() {
    if (::ftruncate(file_, 0) != 0 || ::lseek(file_, 0, SEEK_SET) < 0) fail_write("empty", errno);
    size_ = 0;
  }
  /// False when the disk refuses; why() then says so.
  bool append(std::string_view piece) {
    while (!piece.empty()) {
      const ssize_t count = ::write(file_, piece.data(), piece.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        error_ = count < 0 ? errno : ENOSPC;
        return false;
      }
      piece.remove_prefix(static_cast<std::size_t>(count));
      size_ += static_cast<std::uint64_t>(count);
    }
    return true;
  }
  void sync_and_rename(const std::string& final_path) {
    if (error_ != 0) fail_write("write", error_);
    if (::fsync(file_) != 0) fail_write("fsync", errno);
    if (::rename(path_.c_str(), final_path.c_str()) != 0) fail_write("rename", errno);
    sync_directory(fs::path(final_path).parent_path().string());
  }
  void check_written() const {
    if (error_ != 0) fail_write("write", error_);
  }
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail_write(const char* action, int error) const {
    fail(ErrorKind::kDisk, "{}: cannot {} this file: {} ({} bytes free there)", path_, action, std::strerror(error),
         free_disk_bytes(path_));
  }
  std::string path_;
  int file_ = -1, error_ = 0;
  std::uint64_t size_ = 0;
};

void fetch_file(const DownloadOptions& options, const RemoteRepository& repository, const RemoteFile& file, const std::string& blob,
                DownloadResult& result) {
  const std::string url = fmt::format("{}/{}{}/resolve/{}/{}", options.endpoint, options.kind == Repository::kModel ? "" : "datasets/",
                                      url_path(options.name), repository.commit, url_path(file.name));
  PartialFile partial(blob + ".incomplete");
  HttpResponse response;
  double last_line = now_seconds();
  for (int attempt = 0; attempt < options.max_attempts && (attempt == 0 || partial.size() < file.size || !response.complete); ++attempt) {
    if (attempt > 0) wait_before_retry(options, attempt - 1);
    if (partial.size() > file.size) partial.clear();
    if (partial.size() == file.size && file.size > 0) {
      response.complete = true;
      response.status = 200;
      break;
    }
    const std::uint64_t begin = partial.size();
    bool first = true;
    response = http_get({.url = url, .bearer_token = options.token, .range_begin = begin, .sink = [&](long status, std::string_view piece) {
                           if (first && status == 200 && begin > 0) partial.clear();  // a server without ranges starts again
                           first = false;
                           if (partial.size() + piece.size() > file.size) return false;
                           result.fetched_bytes += piece.size();
                           if (now_seconds() - last_line > 10) {
                             last_line = now_seconds();
                             log::info("{}: {:.0f} % of {}", file.name,
                                       100.0 * static_cast<double>(partial.size()) / static_cast<double>(file.size),
                                       format_bytes(static_cast<double>(file.size)));
                           }
                           return partial.append(piece);
                         }});
    partial.check_written();
    if (response.complete && response.status != 200 && response.status != 206 && !is_transient(response)) break;
  }
  if (partial.size() != file.size || (response.status != 200 && response.status != 206)) fail_response(options, url, response);
  const std::string found = content_hash(partial.path(), file.hash.size() == 64);
  if (found != file.hash) {
    partial.clear();
    fail(error_kind(options), "{}: expected content with the hash {}, found {}: damaged on the way; fetch again", url, file.hash, found);
  }
  partial.sync_and_rename(blob);
  ++result.num_fetched;
}

void check_room(const DownloadOptions& options, const std::vector<RemoteFile>& files, const fs::path& blobs) {
  std::uint64_t missing = 0;
  std::error_code error;
  for (const RemoteFile& file : files) {
    if (!fs::exists(blobs / file.hash, error)) missing += file.size;
  }
  const std::uint64_t room = free_disk_bytes(options.cache);
  if (missing > room) {
    fail(ErrorKind::kDisk, "{}: {} are to be fetched and {} are free; make room or set HF_HOME to another disk", options.cache,
         format_bytes(static_cast<double>(missing)), format_bytes(static_cast<double>(room)));
  }
}

// snapshots/<commit>/<file> → ../../blobs/<hash>, as many levels up as the name has.
void link_into_snapshot(const fs::path& snapshot, const RemoteFile& file) {
  const fs::path link = snapshot / file.name;
  make_directories(link.parent_path().string());
  fs::path target = fs::path("..") / "..";
  for (const char c : file.name) {
    if (c == '/') target /= "..";
  }
  target = target / "blobs" / file.hash;
  std::error_code error;
  if (fs::is_symlink(link, error) && fs::read_symlink(link, error) == target) return;
  const fs::path temporary = link.string() + fmt::format(".tmp.{}", ::getpid());
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (!error) fs::rename(temporary, link, error);
  if (error) fail(ErrorKind::kDisk, "{}: cannot create this link: {}", link.string(), error.message());
}

}  // namespace

bool is_wanted_file(Repository kind, std::string_view file) {
  const std::size_t slash = file.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? file : file.substr(slash + 1);
  if (name == ".gitattributes" || name == ".gitignore") return false;
  if (kind == Repository::kDataset) return true;
  static constexpr std::string_view kForeign[] = {".bin",     ".pt",   ".pth",       ".pkl",  ".ckpt",   ".h5",
                                                  ".msgpack", ".onnx", ".onnx_data", ".gguf", ".tflite", ".ot",
                                                  ".mlmodel", ".npz",  ".zip",       ".tar",  ".gz",     ".py"};
  return std::none_of(std::begin(kForeign), std::end(kForeign), [&](std::string_view suffix) { return name.ends_with(suffix); });
}

DownloadOptions with_environment(DownloadOptions options) {
  if (options.endpoint.empty()) options.endpoint = environment("HF_ENDPOINT");
  if (options.endpoint.empty()) options.endpoint = "https://huggingface.co";
  while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  if (options.token.empty()) options.token = environment("HF_TOKEN");
  if (options.token.empty()) {
    std::string home = environment("HF_HOME");
    if (home.empty()) home = environment("HOME") + "/.cache/huggingface";
    const std::string path = home + "/token";
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) {
      if ((info.st_mode & 077) == 0) options.token = std::string(trim(read_file(path)));
      else log::notice("{}: not used, because others can read it; chmod 600 it, or set HF_TOKEN", path);
    }
  }
  if (options.cache.empty()) options.cache = cache_folder();
  return options;
}

DownloadResult download(const DownloadOptions& given) {
  DownloadOptions options = with_environment(given);
  if (!options.token.empty() && !may_send_token(options.endpoint)) {
    log::notice("HF_TOKEN is not sent to {}: the connection is not encrypted", options.endpoint);
    options.token.clear();
  }
  const RemoteRepository repository = list_repository(options);
  const fs::path entry = fs::path(options.cache) / cache_entry_name(options.kind, options.name);
  const fs::path blobs = entry / "blobs", snapshot = entry / "snapshots" / repository.commit;
  make_directories(blobs.string());
  make_directories(snapshot.string());
  check_room(options, repository.files, blobs);
  DownloadResult result;
  result.commit = repository.commit;
  result.folder = snapshot.string();
  for (const RemoteFile& file : repository.files) {
    std::error_code error;
    const fs::path blob = blobs / file.hash;
    if (!fs::exists(blob, error)) {
      log::info("fetching {} ({})", file.name, format_bytes(static_cast<double>(file.size)));
      fetch_file(options, repository, file, blob.string(), result);
    }
    link_into_snapshot(snapshot, file);
    ++result.num_files;
  }
  // Last, so that a name resolves to whole snapshots only.
  if (options.revision != repository.commit) {
    const fs::path ref = entry / "refs" / options.revision;
    make_directories(ref.parent_path().string());
    write_file_atomically(ref.string(), repository.commit);
  }
  return result;
}

}  // namespace r1::hub

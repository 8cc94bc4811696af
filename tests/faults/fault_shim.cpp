// Preloaded into a program: the R1_FAULT_AT-th of the calls that change a checkpoint (write, pwrite, fsync, rename, ftruncate) fails with
// R1_FAULT_KIND (ENOSPC, EIO, SHORT: half of a write is done). R1_FAULT_COUNT names a file that gets the number of calls at exit.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<long> calls{0};

template <typename Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool is_watched_path(const char* path) { return std::strstr(path, "/checkpoint-") != nullptr || std::strstr(path, "/latest") != nullptr; }

bool is_watched(int file) {
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = '\0';
  return is_watched_path(path);
}

enum class Fault { kNone, kError, kShort };

// Counts a call; the chosen one gets its fault.
Fault next_fault() {
  static const long at = std::getenv("R1_FAULT_AT") != nullptr ? std::atol(std::getenv("R1_FAULT_AT")) : 0;
  static const char* kind = std::getenv("R1_FAULT_KIND");
  if (++calls != at || kind == nullptr) return Fault::kNone;
  if (std::strcmp(kind, "SHORT") == 0) return Fault::kShort;
  errno = std::strcmp(kind, "EIO") == 0 ? EIO : ENOSPC;
  return Fault::kError;
}

template <typename Write>
ssize_t faulty_write(int file, size_t count, const Write& write) {
  if (!is_watched(file)) return write(count);
  switch (next_fault()) {
    case Fault::kError:
      return -1;
    case Fault::kShort:
      return write(count > 1 ? count / 2 : count);
    default:
      return write(count);
  }
}

struct Report {
  ~Report() {
    const char* path = std::getenv("R1_FAULT_COUNT");
    if (path == nullptr) return;
    if (std::FILE* file = std::fopen(path, "w")) {
      std::fprintf(file, "%ld\n", calls.load());
      std::fclose(file);
    }
  }
} report;

}  // namespace

extern "C" {

ssize_t write(int file, const void* data, size_t count) {
  static const auto call = real<ssize_t (*)(int, const void*, size_t)>("write");
  return faulty_write(file, count, [&](size_t n) { return call(file, data, n); });
}
ssize_t pwrite(int file, const void* data, size_t count, off_t offset) {
  static const auto call = real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return faulty_write(file, count, [&](size_t n) { return call(file, data, n, offset); });
}
ssize_t pwrite64(int file, const void* data, size_t count, off64_t offset) {
  static const auto call = real<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return faulty_write(file, count, [&](size_t n) { return call(file, data, n, offset); });
}
int fsync(int file) {
  static const auto call = real<int (*)(int)>("fsync");
  return is_watched(file) && next_fault() == Fault::kError ? -1 : call(file);
}
int ftruncate(int file, off_t length) {
  static const auto call = real<int (*)(int, off_t)>("ftruncate");
  return is_watched(file) && next_fault() == Fault::kError ? -1 : call(file, length);
}
int ftruncate64(int file, off64_t length) {
  static const auto call = real<int (*)(int, off64_t)>("ftruncate64");
  return is_watched(file) && next_fault() == Fault::kError ? -1 : call(file, length);
}
int rename(const char* from, const char* to) {
  static const auto call = real<int (*)(const char*, const char*)>("rename");
  return is_watched_path(to) && next_fault() == Fault::kError ? -1 : call(from, to);
}
}

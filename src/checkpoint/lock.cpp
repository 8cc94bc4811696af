#include "checkpoint/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"

namespace r1::checkpoint {
namespace {

constexpr double kKeepAliveSeconds = 30;
constexpr int kAttempts = 10, kAttemptsOfSameJob = 400;
constexpr std::chrono::milliseconds kPause{80};

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

struct Holder {
  std::string job, host;
  std::int64_t pid = 0;
};

Holder read_holder(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    return {json.at("job").get<std::string>(), json.at("host").get<std::string>(), json.at("pid").get<std::int64_t>()};
  } catch (const Json::exception&) {
    return {};  // empty, or torn while it was written: its writer is dead
  }
}

}  // namespace

std::string job_name() {
  const char* job = std::getenv("SLURM_JOB_ID");
  return job != nullptr && *job != '\0' ? std::string(job) : fmt::format("pid{}", getpid());
}

RunLock::RunLock(const std::string& folder) : path_(folder + "/run.lock") {
  bool is_locked = false;
  int error = 0;
  struct stat info {};
  // The processes of a killed job need a moment to end, longer when the same job has been requeued; another job is refused within the
  // second.
  const auto num_attempts = [&] { return read_holder(read_file(path_)).job == job_name() ? kAttemptsOfSameJob : kAttempts; };
  for (int attempt = 0; !is_locked && (attempt == 0 || attempt < num_attempts()); ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kPause);
    do {  // a holder that ends between open and flock has removed the file that was opened
      if (file_ >= 0) ::close(file_);
      file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
      if (file_ < 0) fail(ErrorKind::kDisk, "{}: cannot create this file: {}", path_, std::strerror(errno));
      is_locked = ::flock(file_, LOCK_EX | LOCK_NB) == 0;
      error = errno;
      ::fstat(file_, &info);
    } while (is_locked && info.st_nlink == 0);
    if (!is_locked && error != EWOULDBLOCK) break;  // this file system has no locks
  }
  const std::string text = read_file(path_);
  const Holder holder = read_holder(text);
  const double age = now() - static_cast<double>(info.st_mtime);
  // Without kernel locks (some network file systems) the last sign of life decides.
  const bool is_elsewhere = !holder.host.empty() && (holder.host != host_name() || !is_locked) && holder.job != job_name();
  if ((!is_locked && error == EWOULDBLOCK) || (is_elsewhere && age < kStaleSeconds)) {
    ::close(file_);
    fail(ErrorKind::kUsage,
         "{}: this folder is in use by job {} (host {}, process {}, last sign of life {:.0f} s ago); wait for it, stop it, or choose "
         "another "
         "output_dir",
         folder, holder.job, holder.host, holder.pid, age);
  }
  if (!holder.host.empty())
    log::notice("{}: taken over from job {} (host {}, process {}), which ended without releasing it", path_, holder.job, holder.host,
                holder.pid);
  const std::string mine = Json({{"job", job_name()}, {"host", host_name()}, {"pid", getpid()}}).dump() + "\n";
  if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, mine.data(), mine.size(), 0) != static_cast<ssize_t>(mine.size())) {
    const std::string reason = std::strerror(errno);
    ::close(file_);
    fail(ErrorKind::kDisk, "{}: cannot write: {} ({} bytes free there)", path_, reason, free_disk_bytes(path_));
  }
  last_sign_ = now();
}

RunLock::~RunLock() {
  ::unlink(path_.c_str());
  ::close(file_);
}

void RunLock::keep_alive() {
  if (now() - last_sign_ < kKeepAliveSeconds) return;
  last_sign_ = now();
  ::futimens(file_, nullptr);
}

}  // namespace r1::checkpoint

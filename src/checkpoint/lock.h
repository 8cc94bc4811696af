// One job at a time in an output folder.
#pragma once

#include <string>

namespace r1::checkpoint {

/// Holds folder/run.lock from construction to destruction: a file with job, host and process, locked by the kernel, so that the lock of a
/// killed process is free at once on its host. Another host's lock, where the file system does not carry kernel locks, counts as
/// held for kStaleSeconds after its last keep_alive(), unless it is the same job's (requeued). Throws Error(kUsage) naming the
/// holder. Rank 0 alone holds one.
class RunLock {
 public:
  explicit RunLock(const std::string& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  /// Renews the sign of life when the last one is some seconds old.
  void keep_alive();

  static constexpr double kStaleSeconds = 600;

 private:
  std::string path_;
  int file_ = -1;
  double last_sign_ = 0;
};

/// $SLURM_JOB_ID, else "pid<pid>": what temporary folders of this run are called.
std::string job_name();

}  // namespace r1::checkpoint

// What this machine and this process have.
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/profile.h"
#include "base/thread_pool.h"
#include "plan/job_plan.h"

namespace r1::plan {

double measure_memory_bandwidth(ThreadPool& threads) {
  constexpr std::size_t kWords = std::size_t{8} << 20;  // 64 MiB: beyond most caches' reach for one of these passes
  constexpr int kTries = 3;
  std::vector<std::uint64_t> words(kWords, 1);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads.num_threads()) * 8, 0);
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const double start = now_seconds();
    threads.parallel_for(static_cast<std::int64_t>(kWords), [&](std::int64_t begin, std::int64_t end, int thread) {
      std::uint64_t sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum += words[static_cast<std::size_t>(i)];
      sums[static_cast<std::size_t>(thread) * 8] += sum;
    });
    best = std::max(best, static_cast<double>(kWords * sizeof words[0]) / (now_seconds() - start));
  }
  return sums[0] > 0 ? best : 0;
}

double process_bytes() {
  std::ifstream status("/proc/self/status");
  double bytes = 0;
  for (std::string key; status >> key;) {
    std::string rest;
    if (key == "RssAnon:" || key == "RssFile:") {
      double kibibytes = 0;
      status >> kibibytes;
      bytes += 1024 * kibibytes;
    }
    std::getline(status, rest);
  }
  return bytes;
}

double machine_bytes() {
  double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  struct sysinfo information {};
  if (sysinfo(&information) == 0) bytes += static_cast<double>(information.totalswap) * information.mem_unit;
  double limit = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit) bytes = std::min(bytes, limit);
  return bytes;
}

}  // namespace r1::plan

#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>

#include "base/error.h"

namespace r1::log {
namespace {

std::atomic<Level> g_level{Level::kInfo};
std::atomic<int> g_rank{0};
std::atomic<void (*)()> g_before_line{nullptr};
std::mutex g_mutex;

std::string_view prefix(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug: ";
    case Level::kNotice:
      return "notice: ";
    case Level::kWarning:
      return "warning: ";
    case Level::kError:
      return "error: ";
    default:
      return "";
  }
}

}  // namespace

Level level_from_name(std::string_view name) {
  if (name == "debug" || name == "detail") return Level::kDebug;
  if (name == "info" || name == "passive") return Level::kInfo;
  if (name == "notice") return Level::kNotice;
  if (name == "warning") return Level::kWarning;
  if (name == "error" || name == "critical") return Level::kError;
  if (name == "off") return Level::kOff;
  fail(ErrorKind::kUsage, "log_level: expected debug, info, notice, warning, error or off, found '{}'", name);
}

void set_level(Level level) { g_level = level; }
void set_rank(int rank) { g_rank = rank; }
bool enabled(Level level) { return level >= g_level && (g_rank == 0 || level >= Level::kError); }
void set_before_line(void (*callback)()) { g_before_line = callback; }

void write(Level level, std::string_view message) {
  std::string line;
  if (g_rank != 0) line += fmt::format("rank {}: ", g_rank.load());
  line += prefix(level);
  line += message;
  line += '\n';
  std::lock_guard lock(g_mutex);
  if (auto callback = g_before_line.load()) callback();
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t written = ::write(STDERR_FILENO, line.data() + done, line.size() - done);
    if (written <= 0) return;  // a closed log must not end the run
    done += static_cast<std::size_t>(written);
  }
}

void notice_once(std::string_view key, const std::string& message) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> seen;
  {
    std::lock_guard lock(mutex);
    if (!seen.emplace(key).second) return;
  }
  if (enabled(Level::kNotice)) write(Level::kNotice, message);
}

}  // namespace r1::log

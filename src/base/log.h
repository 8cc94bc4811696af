// Logging to standard error: one line per event, quiet on every rank but 0.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace r1::log {

enum class Level { kDebug, kInfo, kNotice, kWarning, kError, kOff };

/// The level of a name as accepted by --log_level (debug, info, notice, warning, error, off, and Hugging Face's
/// passive = info, critical = error, detail = debug). Throws Error(kUsage) for another name.
Level level_from_name(std::string_view name);

/// Lines below the level are dropped. A rank other than 0 shows errors only.
void set_level(Level level);
void set_rank(int rank);
bool enabled(Level level);

/// One whole line to standard error, written with a single call. Thread-safe.
void write(Level level, std::string_view message);

/// Lets a progress bar clear itself before a line is written; null removes it.
void set_before_line(void (*callback)());

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug)) write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
/// Something that the user should know once: an alias taken, a key without effect here.
template <typename... Args>
void notice(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kNotice)) write(Level::kNotice, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kWarning)) write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kError)) write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

/// Shows the notice the first time that key is seen in this process.
void notice_once(std::string_view key, const std::string& message);

}  // namespace r1::log

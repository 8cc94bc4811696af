// The line that tells how a run goes: a bar on a terminal, plain lines at intervals in a log file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace r1::report {

/// What a progress line shows. Fields without a value are left out.
struct ProgressState {
  std::int64_t done = 0;
  std::int64_t total = 0;  // 0: unknown; then there is no bar and no estimate
  std::optional<double> loss = {};
  std::optional<double> reward = {};
  std::optional<double> tokens_per_second = {};
  std::optional<double> fraction_of_peak = {};                 // of the device's arithmetic peak, 0…1
  std::optional<double> seconds_left = {};                     // filled in by Progress
  std::vector<std::pair<std::string, std::string>> more = {};  // further "name value" pairs
};

/// "step 120/900 · loss 0.412 · 9.8 K tokens/s · 41 % of peak · 3 min 20 s left".
std::string progress_line(std::string_view unit, const ProgressState& state);

/// The same with a bar before it, cut to `width` columns.
std::string progress_bar(std::string_view unit, const ProgressState& state, int width);

struct ProgressOptions {
  std::string unit = "step";             // what is counted: step, row, sample
  double line_interval_seconds = 10;     // between plain lines; the first and the last are always shown
  double redraw_interval_seconds = 0.1;  // between two drawings of the bar
  std::optional<bool> on_terminal = {};  // nothing: standard error is a terminal
  double (*clock)() = nullptr;           // seconds; null: the monotonic clock
};

/// Shows progress on standard error, through r1::log (so it follows --log_level and is silent on ranks other than 0).
/// One at a time in a process: a bar clears itself before a log line is written and comes back with the next update.
/// update() is to be called from one thread; log lines may come from any.
class Progress {
 public:
  explicit Progress(ProgressOptions options = {});
  ~Progress();  // finish()
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// state.seconds_left is computed here, from the speed of the last 20 updates, unless the caller sets it.
  void update(ProgressState state);
  /// Shows the last state once more as a plain line that stays, and removes the bar. Later calls do nothing.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace r1::report

// What a run leaves behind in numbers: metrics.jsonl, TensorBoard event files, and the history of both in memory.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace r1::report {

using MetricValue = std::variant<std::int64_t, double, bool, std::string>;

/// An ordered list of named values; setting a name again replaces its value in place.
class MetricRow {
 public:
  template <typename T>
  requires std::same_as<T, bool>
  void set(std::string name, T value) { put(std::move(name), MetricValue(value)); }
  template <std::integral T>
  requires(!std::same_as<T, bool>) void set(std::string name, T value) {
    put(std::move(name), MetricValue(static_cast<std::int64_t>(value)));
  }
  template <std::floating_point T>
  void set(std::string name, T value) {
    put(std::move(name), MetricValue(static_cast<double>(value)));
  }
  void set(std::string name, std::string value) { put(std::move(name), MetricValue(std::move(value))); }
  void set(std::string name, const char* value) { put(std::move(name), MetricValue(std::string(value))); }
  /// Sets the value only when there is one.
  template <typename T>
  void set(std::string name, const std::optional<T>& value) {
    if (value) set(std::move(name), *value);
  }

  /// The value as a number (integers and booleans too); nothing when the name is absent or a text.
  std::optional<double> number(std::string_view name) const;
  const std::vector<std::pair<std::string, MetricValue>>& values() const { return values_; }
  bool empty() const { return values_.empty(); }

 private:
  void put(std::string name, MetricValue value);
  std::vector<std::pair<std::string, MetricValue>> values_;
};

/// One line of metrics.jsonl.
struct LoggedRow {
  std::int64_t step = 0;
  double epoch = 0;
  MetricRow values;  // without step and epoch
};

struct MetricsOptions {
  std::string output_dir;
  bool tensorboard = true;
  /// Set when the run continues from a checkpoint of this step: earlier lines are read back into history(), later ones
  /// (of the try that died) move to metrics.jsonl.lost-<unix seconds>. Without it an existing metrics.jsonl is replaced.
  std::optional<std::int64_t> resumed_from_step = {};
};

/// Writes the logged rows of a run. Rank 0 alone owns one. Not thread-safe. A write that fails throws Error(kDisk);
/// a metrics.jsonl that cannot be read back on resume throws Error(kData) with file:line.
class MetricsSink {
 public:
  /// Creates output_dir, opens output_dir/metrics.jsonl and output_dir/runs/events.out.tfevents.*.
  explicit MetricsSink(const MetricsOptions& options);
  ~MetricsSink();
  MetricsSink(const MetricsSink&) = delete;
  MetricsSink& operator=(const MetricsSink&) = delete;

  /// Appends {"step", "epoch", values…} to metrics.jsonl with one write call (a killed process loses nothing), and each
  /// number to TensorBoard, as train/<name>; names eval_<x> become eval/<x>. NaN and infinities are null in the JSON.
  void log(std::int64_t step, double epoch, const MetricRow& values);

  /// Everything logged so far, rows read back on resume included.
  const std::vector<LoggedRow>& history() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Moves the rows of a JSONL file whose "step" is greater than `step` to path.lost-<unix seconds>; returns their number
/// (0: the file is as it was). A torn last line counts as lost. A missing file is 0.
std::int64_t cut_rows_after_step(const std::string& path, std::int64_t step);

}  // namespace r1::report

// Flags that every executable has, and what comes with a loaded configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/fields.h"

namespace r1::config {

enum class DeviceChoice { kAuto, kCpu, kCuda };
std::span<const std::string_view> enum_names(DeviceChoice);

/// --plan: off, on (data checks read the first 1,000 rows), full (all rows).
enum class PlanMode { kOff, kSample, kFull };
std::span<const std::string_view> enum_names(PlanMode);

enum class PlanFormat { kText, kJson };
std::span<const std::string_view> enum_names(PlanFormat);

/// Precision of weights on disk or in the generator.
enum class DTypeChoice { kAuto, kBFloat16, kFloat16, kFloat32 };
std::span<const std::string_view> enum_names(DTypeChoice);

struct CommonConfig {
  std::optional<std::string> config;  // the recipe
  DeviceChoice device = DeviceChoice::kAuto;
  std::int64_t seed = 42;
  int num_threads = 0;  // 0: all processors that the process may use
  std::string log_level = "info";
  double watchdog_seconds = 60;
  PlanMode plan = PlanMode::kOff;
  std::optional<int> nodes, ntasks_per_node;  // of the planned job
  std::optional<ByteSize> device_memory;
  PlanFormat plan_format = PlanFormat::kText;
  std::string peak_tflops = "measured";                      // of a rank, or a number
  std::optional<ByteSize> memory_bandwidth, link_bandwidth;  // of a rank, bytes a second

  // Filled by the loader.
  int world_size = 1;                              // the real one, or the planned job's under --plan
  std::vector<ConfigRow> effective_configuration;  // for --plan and report.html
  std::vector<std::string> notices;                // already logged

  bool planning() const { return plan != PlanMode::kOff; }
  /// The row of a key, or null.
  const ConfigRow* row(std::string_view key) const;
  /// True when a flag or the recipe gave the key.
  bool given(std::string_view key) const;
  /// "recipes/demo.yaml:14: 'learning_rate'", "--learning_rate" or "learning_rate (default)": for error messages.
  std::string place_of(std::string_view key) const;
};

void add_common_fields(FieldList& fields, CommonConfig& config);

}  // namespace r1::config

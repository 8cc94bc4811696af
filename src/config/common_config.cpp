#include "config/common_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace r1::config {

std::span<const std::string_view> enum_names(DeviceChoice) {
  static constexpr std::string_view kNames[] = {"auto", "cpu", "cuda"};
  return kNames;
}

std::span<const std::string_view> enum_names(PlanMode) {
  static constexpr std::string_view kNames[] = {"false", "true", "full"};
  return kNames;
}

std::span<const std::string_view> enum_names(PlanFormat) {
  static constexpr std::string_view kNames[] = {"text", "json"};
  return kNames;
}

std::span<const std::string_view> enum_names(DTypeChoice) {
  static constexpr std::string_view kNames[] = {"auto", "bfloat16", "float16", "float32"};
  return kNames;
}

const ConfigRow* CommonConfig::row(std::string_view key) const {
  const auto found =
      std::find_if(effective_configuration.begin(), effective_configuration.end(), [&](const ConfigRow& row) { return row.key == key; });
  return found == effective_configuration.end() ? nullptr : &*found;
}

bool CommonConfig::given(std::string_view key) const {
  const ConfigRow* found = row(key);
  return found != nullptr && found->given;
}

std::string CommonConfig::place_of(std::string_view key) const {
  const ConfigRow* found = row(key);
  if (found == nullptr) return std::string(key);
  if (found->origin == "flag") return fmt::format("--{}", key);
  if (found->given) return fmt::format("{}: '{}'", found->origin, key);
  return fmt::format("{} ({})", key, found->origin);
}

void add_common_fields(FieldList& fields, CommonConfig& config) {
  fields.group("Run", "apps");
  fields.add("config", config.config, "Recipe: a YAML file with the keys of these flags; flags win over it.").used_by("config");
  fields.add("device", config.device, "Where to compute; auto: the GPU that the process was given, else the CPU.")
      .shown_default("R1_DEVICE, else auto")
      .used_by("tensor/device");
  fields.add("seed", config.seed, "Seed of initialisation, data order and sampling.").at_least(0).used_by("train, engine");
  fields.add("num_threads", config.num_threads, "Threads per rank; 0: all processors that the process may use.").at_least(0);
  fields.add("log_level", config.log_level, "What is logged to standard error.")
      .choices({"debug", "info", "notice", "warning", "error", "off", "passive", "critical", "detail"})
      .used_by("base/log");
  fields
      .add("watchdog_seconds", config.watchdog_seconds, "A rank without a sign of life for so long ends the job with exit code 5; 0: off.")
      .at_least(0)
      .used_by("comm/watchdog");
  fields.add("plan", config.plan, "Check everything, print memory, communication and time, and stop; full: read all data rows.")
      .bare("true")
      .choice_alias("no", "false")
      .choice_alias("yes", "true")
      .choice_alias("off", "false")
      .choice_alias("on", "true")
      .choice_alias("0", "false")
      .choice_alias("1", "true")
      .used_by("plan, preflight");
  fields.add("nodes", config.nodes, "Nodes of the planned job (with --plan).").at_least(1).used_by("plan");
  fields.add("ntasks_per_node", config.ntasks_per_node, "Ranks per node of the planned job (with --plan).").at_least(1).used_by("plan");
  fields.add("device_memory", config.device_memory, "Memory of one device of the planned job, such as 80GB (with --plan).").used_by("plan");
  fields.add("plan_format", config.plan_format, "A page to read, or one JSON object (with --plan).").used_by("plan");
  fields.add("peak_tflops", config.peak_tflops, "Arithmetic peak of a rank for the plan's times: a number, or measured here (with --plan).")
      .used_by("plan");
  fields.add("memory_bandwidth", config.memory_bandwidth, "Bytes a second that a rank reads from its memory, such as 3.3TB (with --plan).")
      .used_by("plan");
  fields.add("link_bandwidth", config.link_bandwidth, "Bytes a second that a rank sends to others, such as 50GB (with --plan).")
      .used_by("plan");
}

}  // namespace r1::config

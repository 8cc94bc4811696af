// The table of benchmarks.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/task.h"

namespace r1::eval {

/// A row of the table: one file task_<name>.cpp each.
struct TaskEntry {
  const char* name;
  std::vector<std::string> aliases;  // also accepted by --tasks, and folders below --data-dir
  const char* summary;
  Task (*open)(const TaskSettings& settings);
};
std::span<const TaskEntry> task_table();

/// A name or alias of the table, builtin/<task>[:options], or the path of a YAML file (task_custom.cpp). Throws Error(kUsage) for an
/// unknown name, with the nearest; Error(kData) where the data is not there or lacks columns.
Task open_task(const std::string& name, const TaskSettings& settings);

/// The tasks of --tasks: commas inside a built-in name's options, where the command line was cut, are put back; each task stands once.
/// Throws Error(kUsage).
std::vector<std::string> task_names(const std::vector<std::string>& pieces);

// The files of the table's rows, and of what has no row.
Task open_math_500(const TaskSettings& settings);
Task open_aime24(const TaskSettings& settings);
Task open_aime25(const TaskSettings& settings);
Task open_gpqa_diamond(const TaskSettings& settings);
Task open_gsm8k(const TaskSettings& settings);
Task open_builtin_task(const std::string& name);
Task open_custom_task(const std::string& yaml_path, const TaskSettings& settings);

}  // namespace r1::eval

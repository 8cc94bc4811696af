#include "eval/task_registry.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "data/builtin_tasks.h"

namespace r1::eval {

std::span<const TaskEntry> task_table() {
  static const std::vector<TaskEntry> table{
      {"math_500", {"math500", "MATH-500"}, "500 problems of the MATH test set", open_math_500},
      {"aime24", {"aime_2024", "aime2024"}, "30 problems of AIME 2024", open_aime24},
      {"aime25", {"aime_2025", "aime2025"}, "30 problems of AIME 2025", open_aime25},
      {"gpqa:diamond", {"gpqa_diamond", "gpqa"}, "198 multiple choice questions of science; your own file", open_gpqa_diamond},
      {"gsm8k", {"gsm8k:main"}, "1,319 word problems", open_gsm8k},
  };
  return table;
}

Task open_task(const std::string& name, const TaskSettings& settings) {
  if (data::is_builtin(name)) return open_builtin_task(name);
  if (name.ends_with(".yaml") || name.ends_with(".yml")) return open_custom_task(name, settings);
  std::vector<std::string> known;
  for (const TaskEntry& entry : task_table()) {
    if (name == entry.name || std::ranges::count(entry.aliases, name) > 0) return entry.open(settings);
    known.emplace_back(entry.name);
  }
  for (const std::string& task : data::builtin_task_names()) known.push_back(std::string(data::kBuiltinPrefix) + task);
  const auto nearest = nearest_name(name, known);
  fail(ErrorKind::kUsage, "unknown task '{}'{}; there are {}, and YAML files (docs/benchmarks.md)", name,
       nearest ? fmt::format(" — did you mean '{}'?", *nearest) : "", join(known, ", "));
}

std::vector<std::string> task_names(const std::vector<std::string>& pieces) {
  std::vector<std::string> names;
  for (const std::string& piece : pieces) {
    const bool is_option = piece.find('=') != std::string::npos && piece.find('/') == std::string::npos;
    if (is_option && !names.empty() && data::is_builtin(names.back())) {
      names.back() += "," + piece;
    } else {
      names.push_back(piece);
    }
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::count(names.begin(), names.end(), names[i]) > 1) fail(ErrorKind::kUsage, "--tasks: '{}' stands twice", names[i]);
  }
  return names;
}

}  // namespace r1::eval

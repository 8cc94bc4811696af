// A task from a YAML file: data, prompt and answer kind, without compiling. docs/benchmarks.md has the keys.
#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "config/yaml_reader.h"
#include "data/open_dataset.h"
#include "eval/task_data.h"
#include "eval/task_registry.h"
#include "text/chat_template.h"

namespace r1::eval {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kKeys[] = {"name",   "data",        "split",           "config",      "prompt",
                                      "answer", "answer_kind", "generation_size", "num_samples", "system_prompt"};

/// The scalars of a flat map, every key known.
class TaskFile {
 public:
  explicit TaskFile(const std::string& path) : path_(path), document_(config::read_yaml_file(path)) {
    const std::vector<std::string> known(std::begin(kKeys), std::end(kKeys));
    if (!document_.is_map()) fail(ErrorKind::kConfig, "{}: expected a map with the keys {}", path, join(known, ", "));
    for (std::size_t i = 0; i < document_.keys.size(); ++i) {
      const std::string& key = document_.keys[i];
      if (std::ranges::count(known, key) == 0) {
        const auto nearest = nearest_name(key, known);
        fail(ErrorKind::kConfig, "{}:{}: unknown key '{}'{}; the keys are {}", path, document_.items[i].line, key,
             nearest ? fmt::format(" — did you mean '{}'?", *nearest) : "", join(known, ", "));
      }
      if (!document_.items[i].is_scalar() && !document_.items[i].is_null()) {
        fail(ErrorKind::kConfig, "{}:{}: '{}': expected a text, found {}", path, document_.items[i].line, key,
             config::describe(document_.items[i]));
      }
    }
  }

  std::optional<std::string> optional(std::string_view key) const {
    const config::Value* value = document_.find(key);
    return value == nullptr || value->is_null() ? std::nullopt : std::optional(value->text);
  }
  std::string required(std::string_view key) const {
    auto value = optional(key);
    if (!value || value->empty()) fail(ErrorKind::kConfig, "{}: the key '{}' is missing", path_, key);
    return *value;
  }
  std::int64_t count(std::string_view key, std::int64_t absent) const {
    const auto text = optional(key);
    if (!text) return absent;
    const auto number = parse_int(*text);
    if (!number || *number < 1 || *number > 1'000'000'000) {
      fail(ErrorKind::kConfig, "{}: expected a whole number of at least 1, found '{}'", place(key), *text);
    }
    return *number;
  }
  std::string place(std::string_view key) const {
    const config::Value* value = document_.find(key);
    return fmt::format("{}:{}: '{}'", path_, value == nullptr ? 1 : value->line, key);
  }

 private:
  std::string path_;
  config::Value document_;
};

AnswerKind kind_of(const TaskFile& file) {
  const std::string name = file.optional("answer_kind").value_or("math");
  const auto names = answer_kind_names();
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    fail(ErrorKind::kConfig, "{}: expected one of {}, found '{}'", file.place("answer_kind"), fmt::join(names, ", "), name);
  }
  return static_cast<AnswerKind>(found - names.begin());
}

/// Beside the task file, below --data-dir, or as any data set's name.
std::string data_name(const TaskFile& file, const std::string& yaml_path, const TaskSettings& settings) {
  const std::string name = file.required("data");
  std::vector<fs::path> folders{fs::path(yaml_path).parent_path()};
  if (settings.data_dir) folders.emplace_back(*settings.data_dir);
  for (const fs::path& folder : folders)
    if (fs::exists(folder / name)) return (folder / name).string();
  return name;
}

std::function<std::string(const Json&, std::int64_t)> renderer(const std::string& source, const std::string& place,
                                                               const data::DatasetPtr& dataset) {
  const text::ChatTemplate parsed = text::ChatTemplate::from_text(source, place);
  return [parsed, place, dataset](const Json& row, std::int64_t index) {
    text::RenderOptions options;
    options.arguments = row;
    std::string text = parsed.render(Json::array(), options).text;
    if (trim(text).empty()) fail(ErrorKind::kData, "{}: {} gives nothing for this row", dataset->where(index), place);
    return text;
  };
}

}  // namespace

Task open_custom_task(const std::string& yaml_path, const TaskSettings& settings) {
  const TaskFile file(yaml_path);
  Task task;
  task.name = file.optional("name").value_or(fs::path(yaml_path).stem().string());
  task.suite = "custom";
  task.answer_kind = kind_of(file);
  const std::string name = data_name(file, yaml_path, settings);
  const auto splits = data::dataset_splits(name, file.optional("config"));
  const std::string split = file.optional("split").value_or(std::ranges::count(splits, "test") > 0 ? "test" : splits.front());
  task.dataset = data::open_dataset({name, file.optional("config"), split});
  task.prompt = [render = renderer(file.required("prompt"), file.place("prompt"), task.dataset)](
                    const Json& row, std::int64_t index) -> Json { return render(row, index); };
  if (task.answer_kind == AnswerKind::kCountdown) {
    for (const char* column : {"nums", "target"}) data::require_column(*task.dataset, name, column, "for answer_kind countdown");
    task.gold = [](const Json& row, std::int64_t) { return row["target"].dump(); };
  } else {
    task.gold = renderer(file.required("answer"), file.place("answer"), task.dataset);
  }
  task.system_prompt = file.optional("system_prompt");
  task.generation_size = file.optional("generation_size") ? file.count("generation_size", 1) : 0;
  task.sample_counts = {static_cast<int>(file.count("num_samples", 1))};
  return task;
}

}  // namespace r1::eval

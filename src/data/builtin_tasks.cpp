#include "data/builtin_tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/strings.h"

namespace r1::data {
namespace {

/// Reads typed options out of a name and refuses what is left over.
class OptionReader {
 public:
  explicit OptionReader(const BuiltinName& name) : name_(name) {}

  template <typename Integer>
  void integer(const std::string& key, Integer& value, std::int64_t lowest, std::int64_t highest) {
    const std::string* text = take(key);
    if (text == nullptr) return;
    const auto parsed = parse_int(*text);
    if (!parsed || *parsed < lowest || *parsed > highest) {
      fail(ErrorKind::kUsage, "builtin/{}: {}: expected a whole number from {} to {}, found '{}'", name_.task, key, lowest, highest, *text);
    }
    value = static_cast<Integer>(*parsed);
  }

  void share(const std::string& key, double& value) {
    const std::string* text = take(key);
    if (text == nullptr) return;
    const auto parsed = parse_double(*text);
    if (!parsed || !(*parsed >= 0 && *parsed <= 1)) {
      fail(ErrorKind::kUsage, "builtin/{}: {}: expected a share from 0 to 1, found '{}'", name_.task, key, *text);
    }
    value = *parsed;
  }

  /// True for the second choice.
  void choice(const std::string& key, bool& second, const std::string& first_name, const std::string& second_name) {
    const std::string* text = take(key);
    if (text == nullptr) return;
    if (*text != first_name && *text != second_name) {
      fail(ErrorKind::kUsage, "builtin/{}: {}: expected {} or {}, found '{}'", name_.task, key, first_name, second_name, *text);
    }
    second = *text == second_name;
  }

  void finish() const {
    for (const auto& [key, value] : name_.options) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      const auto nearest = nearest_name(key, known_);
      fail(ErrorKind::kUsage, "builtin/{}: unknown option '{}'{}; the options are {}", name_.task, key,
           nearest ? fmt::format(" — did you mean '{}'?", *nearest) : "", join(known_, ", "));
    }
  }

 private:
  const std::string* take(const std::string& key) {
    known_.push_back(key);
    const auto found = name_.options.find(key);
    return found == name_.options.end() ? nullptr : &found->second;
  }

  const BuiltinName& name_;
  std::vector<std::string> known_;
};

constexpr std::int64_t kMaxRows = 1'000'000'000'000;
constexpr std::int64_t kMaxSeed = std::int64_t{1} << 62;

ChainOptions read_chain_options(const BuiltinName& name) {
  ChainOptions options;
  OptionReader reader(name);
  reader.integer("steps", options.steps, 1, 1000);
  reader.integer("rows", options.rows, 1, kMaxRows);
  reader.integer("seed", options.seed, 0, kMaxSeed);
  reader.integer("test_rows", options.test_rows, 1, kMaxRows);
  reader.integer("test_seed", options.test_seed, 0, kMaxSeed);
  options.hj = std::min(options.hj, options.steps);
  reader.integer("hj", options.hj, 0, options.steps);
  reader.integer("thr", options.thr, 0, 1000);
  reader.share("easy", options.easy);
  reader.share("careful", options.careful);
  reader.share("noise", options.noise);
  reader.choice("format", options.prompt_completion, "messages", "prompt_completion");
  reader.finish();
  return options;
}

CountdownOptions read_countdown_options(const BuiltinName& name) {
  CountdownOptions options;
  OptionReader reader(name);
  reader.integer("numbers", options.numbers, 2, 8);
  reader.integer("largest", options.largest, 2, 1000);
  reader.integer("max_target", options.max_target, 1, 100'000);
  reader.integer("rows", options.rows, 1, kMaxRows);
  reader.integer("seed", options.seed, 0, kMaxSeed);
  reader.integer("test_rows", options.test_rows, 1, kMaxRows);
  reader.integer("test_seed", options.test_seed, 0, kMaxSeed);
  reader.finish();
  return options;
}

Json message(const char* role, std::string content) { return {{"role", role}, {"content", std::move(content)}}; }

Json chain_row(const ChainOptions& options, bool test, std::int64_t index) {
  const ChainProblem problem = chain_problem(options, test, index);
  const std::string answer = std::to_string(problem.values.back());
  Json question = message("user", problem.text + "=");
  Json reply = message("assistant", chain_trace(options, test, index, problem));
  Json row = Json::object();
  if (options.prompt_completion) {
    row["prompt"] = Json::array({std::move(question)});
    row["completion"] = Json::array({std::move(reply)});
  } else {
    row["prompt"] = problem.text + "=";
    row["messages"] = Json::array({std::move(question), std::move(reply)});
  }
  row["answer"] = answer;
  row["solution"] = fmt::format("${}$", answer);
  return row;
}

Json countdown_row(const CountdownOptions& options, bool test, std::int64_t index) {
  const CountdownProblem problem = countdown_problem(options, test, index);
  const std::string prompt = fmt::format(
      "Use the numbers {} to reach {}. Each number may be used at most once, with +, -, *, / and parentheses. "
      "Think first, then write the expression alone between <answer> and </answer>.",
      fmt::join(problem.nums, ", "), problem.target);
  const std::string reply =
      fmt::format("<think>\n{}\n</think>\n<answer>\n{}\n</answer>", fmt::join(problem.steps, "\n"), problem.expression);
  Json row = Json::object();
  row["prompt"] = prompt;
  row["messages"] = Json::array({message("user", prompt), message("assistant", reply)});
  row["nums"] = problem.nums;
  row["target"] = problem.target;
  row["answer"] = problem.expression;
  row["solution"] = fmt::format("${}$", problem.target);
  return row;
}

class BuiltinDataset final : public Dataset {
 public:
  using MakeRow = std::function<Json(std::int64_t)>;
  BuiltinDataset(std::string label, std::int64_t rows, const std::string& identity, MakeRow make_row)
      : label_(std::move(label)), rows_(rows), make_row_(std::move(make_row)) {
    const Json first_row = make_row_(0);
    for (const auto& item : first_row.items()) columns_.push_back(item.key());
    Xxh3Stream hash;
    hash.update(identity);
    hash_ = hash.hex_digest();
  }
  std::int64_t num_rows() const override { return rows_; }
  const std::vector<std::string>& column_names() const override { return columns_; }
  Json row(std::int64_t index) const override { return make_row_(index); }
  std::string where(std::int64_t index) const override { return fmt::format("{} row {}", label_, index); }
  const std::string& content_hash() const override { return hash_; }

 private:
  std::string label_;
  std::int64_t rows_;
  MakeRow make_row_;
  std::vector<std::string> columns_;
  std::string hash_;
};

struct BuiltinTask {
  const char* name;
  DatasetPtr (*open)(const BuiltinName& name, const std::string& label, bool test);
};

// Part of the cache key: raise it when a generator changes what it writes.
constexpr int kGeneratorVersion = 1;

DatasetPtr open_chain(const BuiltinName& name, const std::string& label, bool test) {
  const ChainOptions o = read_chain_options(name);
  const std::string identity =
      fmt::format("chain {} {} {} {} {} {} {} {} {} {} {} {}", kGeneratorVersion, test, o.steps, o.rows, o.seed, o.test_rows, o.test_seed,
                  o.hj, o.thr, o.easy, o.careful, fmt::format("{} {}", o.noise, o.prompt_completion));
  return std::make_shared<BuiltinDataset>(label, test ? o.test_rows : o.rows, identity,
                                          [o, test](std::int64_t index) { return chain_row(o, test, index); });
}

DatasetPtr open_countdown(const BuiltinName& name, const std::string& label, bool test) {
  const CountdownOptions o = read_countdown_options(name);
  const std::string identity = fmt::format("countdown {} {} {} {} {} {} {} {} {}", kGeneratorVersion, test, o.numbers, o.largest,
                                           o.max_target, o.rows, o.seed, o.test_rows, o.test_seed);
  return std::make_shared<BuiltinDataset>(label, test ? o.test_rows : o.rows, identity,
                                          [o, test](std::int64_t index) { return countdown_row(o, test, index); });
}

constexpr BuiltinTask kTasks[] = {{"chain", open_chain}, {"countdown", open_countdown}};

}  // namespace

std::optional<Difficulty> builtin_difficulty(std::string_view dataset_name, const Json& row) {
  if (!is_builtin(dataset_name)) return std::nullopt;
  const std::string task = parse_builtin_name(dataset_name).task;
  if (task == "countdown") return Difficulty{"numbers", static_cast<std::int64_t>(row.at("nums").size())};
  const Json& prompt = row.at("prompt");
  const std::string text = prompt.is_string() ? prompt.get<std::string>() : prompt.at(0).at("content").get<std::string>();
  return Difficulty{"multiplications", std::ranges::count(text, '*')};
}

bool is_builtin(std::string_view name) { return name.starts_with(kBuiltinPrefix); }

std::vector<std::string> builtin_task_names() {
  std::vector<std::string> names;
  for (const BuiltinTask& task : kTasks) names.emplace_back(task.name);
  return names;
}

BuiltinName parse_builtin_name(std::string_view name) {
  R1_ASSERT(is_builtin(name), "not a built-in name");
  const std::string_view rest = name.substr(kBuiltinPrefix.size());
  const std::size_t colon = rest.find(':');
  BuiltinName parsed;
  parsed.task = rest.substr(0, colon);
  if (colon == std::string_view::npos) return parsed;
  for (const std::string& option : split(rest.substr(colon + 1), ',')) {
    const std::size_t equals = option.find('=');
    if (equals == std::string::npos || equals == 0) {
      fail(ErrorKind::kUsage, "{}: expected options as key=value separated by commas, found '{}'", name, option);
    }
    const std::string key(trim(option.substr(0, equals)));
    if (!parsed.options.emplace(key, trim(option.substr(equals + 1))).second) {
      fail(ErrorKind::kUsage, "{}: the option '{}' stands twice", name, key);
    }
  }
  return parsed;
}

DatasetPtr open_builtin(std::string_view name, std::string_view split_name) {
  const BuiltinName parsed = parse_builtin_name(name);
  const auto tasks = builtin_task_names();
  for (const BuiltinTask& task : kTasks) {
    if (parsed.task != task.name) continue;
    if (split_name != "train" && split_name != "test") {
      fail(ErrorKind::kUsage, "{}: expected the split train or test, found '{}'", name, split_name);
    }
    return task.open(parsed, fmt::format("{} ({})", name, split_name), split_name == "test");
  }
  const auto nearest = nearest_name(parsed.task, tasks);
  fail(ErrorKind::kUsage, "{}: unknown built-in task '{}'{}; there are {}", name, parsed.task,
       nearest ? fmt::format(" — did you mean '{}'?", *nearest) : "", join(tasks, ", "));
}

}  // namespace r1::data

#include "eval/results.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "config/loader.h"
#include "io/parquet_file.h"

namespace r1::eval {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMetadataKey = "open_r1_hpc";

void put(Json& object, const std::string& name, const Estimate& estimate) {
  object[name] = estimate.mean;
  object[name + "_stderr"] = estimate.standard_error ? Json(*estimate.standard_error) : Json();
}

Json scores_json(const Task& task, const TaskScores& scores) {
  Json json = Json::object();
  if (task.metric == "extractive_match") {
    put(json, task.metric, scores.pass_at_1);
  } else {
    for (const auto& [n, estimate] : scores.first_n) put(json, fmt::format("{}:{}_samples", task.metric, n), estimate);
  }
  for (const auto& [k, estimate] : scores.pass_at_k) put(json, fmt::format("pass@{}", k), estimate);
  put(json, fmt::format("cons@{}", scores.num_samples), scores.consensus);
  json["num_problems"] = scores.num_problems;
  json["num_samples"] = scores.num_samples;
  json["mean_tokens"] = scores.mean_tokens;
  json["truncated_share"] = scores.truncated_share;
  json["no_answer_share"] = scores.no_answer_share;
  json["prompts_too_long"] = scores.prompts_too_long;
  json["over_budget"] = scores.over_budget;
  json["golds_not_found"] = scores.golds_not_found;
  return json;
}

Json details_schema() {
  return {{"row", "int64"},   {"sample", "int64"}, {"prompt", "string"},  {"completion", "string"},    {"extracted", "string"},
          {"gold", "string"}, {"correct", "bool"}, {"verdict", "string"}, {"finish_reason", "string"}, {"num_tokens", "int64"}};
}

std::string file_part(const std::string& task_name) {
  std::string part;
  for (const char c : task_name) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '=';
    part += is_plain ? c : '_';
  }
  return part;
}

std::string details_path(const std::string& base, const std::string& model_path, const std::string& timestamp, const std::string& task) {
  return fmt::format("{}/details/{}/{}/details_{}_{}.parquet", base, model_path, timestamp, file_part(task), timestamp);
}

std::string results_path(const std::string& base, const std::string& model_path, const std::string& timestamp) {
  return fmt::format("{}/results/{}/results_{}.json", base, model_path, timestamp);
}

/// A run that was killed between its details and its results leaves details (or a part of them under a temporary name) which belong to
/// no results: the run that goes on writes them anew under its own time, and whoever globs the folder would count each sample twice.
void remove_orphans(const std::string& base, const std::string& model_path, const std::string& task) {
  std::vector<fs::path> orphans;
  const std::string details = fmt::format("{}/details/{}", base, model_path), results = fmt::format("{}/results/{}", base, model_path);
  if (fs::is_directory(details)) {
    for (const fs::directory_entry& run : fs::directory_iterator(details)) {
      const std::string timestamp = run.path().filename().string();
      if (!run.is_directory() || fs::exists(results_path(base, model_path, timestamp))) continue;
      const std::string path = details_path(base, model_path, timestamp, task);
      for (const fs::directory_entry& file : fs::directory_iterator(run)) {
        if (file.path().string() == path || file.path().string().starts_with(path + ".tmp.")) orphans.push_back(file.path());
      }
    }
  }
  if (fs::is_directory(results)) {
    for (const fs::directory_entry& file : fs::directory_iterator(results)) {
      const std::string name = file.path().filename().string();
      if (name.starts_with("results_") && name.find(".json.tmp.") != std::string::npos) orphans.push_back(file.path());
    }
  }
  for (const fs::path& path : orphans) {
    log::info("{}: left by a run that was stopped before it wrote its results; removed, the same rows follow", path.string());
    fs::remove(path);
    if (fs::is_empty(path.parent_path()) && path.parent_path().string() != results) fs::remove(path.parent_path());
  }
}

/// The newest results_*.json below a folder; all of one model.
std::string newest_results(const std::string& folder) {
  std::vector<fs::path> found;
  const fs::path results = fs::path(folder) / "results";
  for (const auto& entry : fs::recursive_directory_iterator(fs::is_directory(results) ? results : fs::path(folder))) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && name.starts_with("results_") && name.ends_with(".json")) found.push_back(entry.path());
  }
  if (found.empty()) fail(ErrorKind::kData, "{}: expected results/<model>/results_<timestamp>.json below it, found none", folder);
  std::set<std::string> folders;
  for (const fs::path& path : found) folders.insert(path.parent_path().string());
  if (folders.size() > 1) {
    fail(ErrorKind::kData, "{} holds results of several models: name one of {}", folder, fmt::join(folders, ", "));
  }
  return std::ranges::max_element(found, {}, [](const fs::path& path) { return path.filename().string(); })->string();
}

std::vector<ProblemOutcome> read_details(const std::string& path) {
  if (!fs::exists(path)) fail(ErrorKind::kData, "{}: the details of the results are not there", path);
  const io::ParquetFile file(path);
  std::vector<ProblemOutcome> problems;
  for (std::int64_t group = 0; group < file.num_row_groups(); ++group) {
    for (const std::string& line : file.read_row_group(group)) {
      const Json row = parse_json(line, path);
      const std::size_t index = row.at("row").get<std::size_t>();
      if (index >= problems.size()) problems.resize(index + 1);
      problems[index].gold = row.at("gold").get<std::string>();
      problems[index].correct.push_back(row.at("correct").get<bool>());
    }
  }
  return problems;
}

}  // namespace

std::string model_path_of(const std::string& model) {
  std::vector<std::string> parts;
  for (const std::string& part : split(model, '/'))
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
  return parts.empty() ? "model" : join(parts, "/");
}

std::string timestamp_now() {
  const auto now = std::chrono::system_clock::now();
  const auto micro = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1'000'000;
  return fmt::format("{:%Y-%m-%dT%H-%M-%S}.{:06}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)), micro);
}

std::string write_results(const std::string& output_dir, const RunFacts& facts, const std::vector<PreparedTask>& tasks,
                          const std::vector<ScoredTask>& scored) {
  const std::string model_path = model_path_of(facts.model);
  Json results = Json::object(), versions = Json::object(), config_tasks = Json::object();
  Estimate all;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const PreparedTask& prepared = tasks[i];
    remove_orphans(output_dir, model_path, prepared.task.name);
    const std::string path = details_path(output_dir, model_path, facts.timestamp, prepared.task.name);
    make_directories(fs::path(path).parent_path().string());
    io::write_parquet(path, scored[i].details, {.schema = details_schema(), .metadata = {{kMetadataKey, prepared.job.dump()}}});
    results[prepared.key()] = scores_json(prepared.task, scored[i].scores);
    versions[prepared.key()] = 1;
    config_tasks[prepared.key()] = prepared.job;
    all.mean += scored[i].scores.pass_at_1.mean / static_cast<double>(tasks.size());
  }
  results["all"] = Json{{"pass@1", all.mean}};
  Json general{{"model_name", facts.model},
               {"start_time", facts.start_time},
               {"end_time", facts.end_time},
               {"total_evaluation_time_secondes", fmt::format("{:.3f}", facts.end_time - facts.start_time)},
               {"model_path", model_path}};
  general.update(facts.general);
  const Json document{{"config_general", std::move(general)},
                      {"results", std::move(results)},
                      {"versions", std::move(versions)},
                      {"config_tasks", std::move(config_tasks)}};
  const std::string path = results_path(output_dir, model_path, facts.timestamp);
  make_directories(fs::path(path).parent_path().string());
  write_file_atomically(path, document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  return path;
}

StoredResults read_results(const std::string& path) {
  StoredResults stored;
  if (!fs::exists(path)) fail(ErrorKind::kData, "{}: no such file or folder", path);
  stored.path = fs::is_directory(path) ? newest_results(path) : path;
  const Json document = read_json_file(stored.path);
  if (!document.is_object() || !document.contains("config_general") || !document.contains("config_tasks") ||
      !document["config_general"].contains("model_path")) {
    fail(ErrorKind::kData, "{}: expected the results of r1_bench (config_general with model_path, config_tasks)", stored.path);
  }
  stored.model = document["config_general"].value("model_name", "");
  const std::string model_path = document["config_general"].at("model_path").get<std::string>();
  fs::path base = fs::absolute(stored.path).parent_path();  // <base>/results/<model_path>
  for (const auto& part : fs::path(model_path)) base = part.empty() ? base : base.parent_path();
  base = base.parent_path();
  std::string timestamp = fs::path(stored.path).stem().string();
  timestamp = timestamp.substr(std::min(timestamp.size(), std::string("results_").size()));
  for (const auto& [key, settings] : document["config_tasks"].items()) {
    StoredTask task;
    task.name = settings.at("task").get<std::string>();
    task.dataset_hash = settings.value("dataset_hash", "");
    task.settings = settings;
    task.problems = read_details(details_path(base.string(), model_path, timestamp, task.name));
    stored.tasks.push_back(std::move(task));
  }
  return stored;
}

}  // namespace r1::eval

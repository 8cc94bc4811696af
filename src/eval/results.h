// What a benchmark run leaves behind: lighteval's folders, and what can be read back from them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/task_scores.h"

namespace r1::eval {

/// The model's name as a path below results/ and details/: without empty parts, "." and "..".
std::string model_path_of(const std::string& model);

/// 2025-02-13T12-34-56.789012 in UTC, as lighteval names its files.
std::string timestamp_now();

struct RunFacts {
  std::string model;
  std::string timestamp;
  double start_time = 0, end_time = 0;  // seconds since 1970
  nlohmann::ordered_json general;       // further members of config_general
};

/// Writes <output_dir>/details/<model>/<timestamp>/details_<task>_<timestamp>.parquet and then
/// <output_dir>/results/<model>/results_<timestamp>.json, whose path it returns. Nothing in them depends on ranks, threads or restarts but
/// start_time, end_time and total_evaluation_time_secondes. Throws Error(kDisk), Error(kData).
std::string write_results(const std::string& output_dir, const RunFacts& facts, const std::vector<PreparedTask>& tasks,
                          const std::vector<ScoredTask>& scored);

/// The scores of one problem, read back.
struct ProblemOutcome {
  std::string gold;
  std::vector<bool> correct;  // by sample
};
struct StoredTask {
  std::string name;
  std::string dataset_hash;
  nlohmann::ordered_json settings;       // the task's member of config_tasks
  std::vector<ProblemOutcome> problems;  // by row
};
struct StoredResults {
  std::string path, model;
  std::vector<StoredTask> tasks;
};

/// Reads a results file, or of a folder the newest one below it. Throws Error(kData): nothing found, several models in one folder, details
/// that are missing or broken.
StoredResults read_results(const std::string& path);

}  // namespace r1::eval

#include "preflight/checks.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "base/strings.h"

namespace r1::preflight {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunFiles[] = {"metrics.jsonl",    "samples.jsonl",     "trainer_state.json", "train_results.json",
                                     "all_results.json", "eval_results.json", "report.html"};

// What an earlier run left, apart from weights.
std::vector<fs::path> files_of_a_run(const std::string& folder) {
  std::vector<fs::path> found;
  for (const char* name : kRunFiles) {
    if (fs::exists(fs::path(folder) / name)) found.push_back(fs::path(folder) / name);
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && (name.starts_with("checkpoint-") || name == "completions" || name == "runs" || name == "benchmarks"))
      found.push_back(entry.path());
  }
  return found;
}

fs::path nearest_existing(const std::string& folder) {
  fs::path path = fs::absolute(folder);
  while (!fs::exists(path) && path != path.parent_path()) path = path.parent_path();
  return path;
}

}  // namespace

void check_output_dir(const config::TrainerConfig& config) {
  const std::string& folder = config.output_dir;
  if (fs::exists(folder) && !fs::is_directory(folder))
    fail(ErrorKind::kDisk, "output_dir {}: expected a folder, found a file of that name", folder);
  const fs::path existing = nearest_existing(folder);
  if (access(existing.c_str(), W_OK | X_OK) != 0) {
    fail(ErrorKind::kDisk, "output_dir {}: cannot write in {}: {}; choose another output_dir or change its permissions", folder,
         existing.string(), std::strerror(errno));
  }
  if (!fs::exists(folder)) return;
  const std::vector<fs::path> left = files_of_a_run(folder);
  if (left.empty() && !fs::exists(folder + "/model.safetensors")) return;
  if (config.overwrite_output_dir) return;
  fail(ErrorKind::kUsage,
       "output_dir {} holds a run already ({}): continue it with --resume_from_checkpoint latest, or start over with "
       "--overwrite_output_dir, or choose "
       "another output_dir",
       folder, left.empty() ? "model.safetensors" : left.front().filename().string());
}

void prepare_output_dir(const config::TrainerConfig& config) {
  make_directories(config.output_dir);
  for (const fs::path& path : files_of_a_run(config.output_dir)) fs::remove_all(path);
}

void check_disk_space(const std::string& folder, std::uint64_t needed_bytes, const std::string& purpose) {
  const std::uint64_t free = free_disk_bytes(folder);
  if (free >= needed_bytes) return;
  fail(ErrorKind::kDisk, "{}: {} needs {}, {} are free there; make room or choose another folder", folder, purpose,
       format_bytes(static_cast<double>(needed_bytes)), format_bytes(static_cast<double>(free)));
}

}  // namespace r1::preflight

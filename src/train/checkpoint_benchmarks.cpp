#include "train/checkpoint_benchmarks.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/retention.h"

extern char** environ;

namespace r1::train {
namespace {

namespace fs = std::filesystem;

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

// A script of the project: under R1_HOME, the current folder, or beside the programs (build/bin).
std::optional<std::string> find_script(const std::string& name) {
  std::error_code error;
  std::vector<fs::path> roots;
  if (is_set("R1_HOME")) roots.emplace_back(std::getenv("R1_HOME"));
  roots.push_back(fs::current_path(error));
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  roots.push_back(program.parent_path().parent_path().parent_path());
  for (const fs::path& root : roots) {
    const fs::path script = root / "scripts" / name;
    if (access(script.c_str(), X_OK) == 0) return script.string();
  }
  return std::nullopt;
}

bool is_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path == nullptr ? "" : path, ':')) {
    if (!folder.empty() && access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// Starts a program with this process's output and no input. Signals are at their defaults there, and it is in a process group of its
// own, so that the scheduler's request to save does not end it.
pid_t start(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t process = -1;
  const int error = posix_spawn(&process, pointers[0], &actions, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) log::warning("{} could not be started: {}", arguments[0], std::strerror(error));
  return error == 0 ? process : -1;
}

}  // namespace

void check_benchmarks(const config::CommonConfig& common, const config::TrainerConfig& config) {
  if (config.benchmarks.empty()) return;
  const auto script = find_script("run_benchmarks");
  if (!script) return;  // the constructor says so
  // The names go through the environment: nothing of a recipe becomes a part of the command.
  setenv("R1_CHECKED_BENCHMARKS", join(config.benchmarks, ",").c_str(), 1);
  setenv("R1_CHECKING_SCRIPT", script->c_str(), 1);
  std::FILE* pipe =
      ::popen("\"$R1_CHECKING_SCRIPT\" --dry-run --model-id checkpoint --benchmarks=\"$R1_CHECKED_BENCHMARKS\" 2>&1 >/dev/null", "r");
  std::string message;
  int status = -1;
  if (pipe != nullptr) {
    char piece[512];
    while (std::fgets(piece, sizeof piece, pipe) != nullptr) message += piece;
    status = ::pclose(pipe);
  }
  unsetenv("R1_CHECKED_BENCHMARKS");
  unsetenv("R1_CHECKING_SCRIPT");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2) fail(ErrorKind::kConfig, "{}: {}", common.place_of("benchmarks"), trim(message));
}

CheckpointBenchmarks::CheckpointBenchmarks(const config::TrainerConfig& config) : output_dir_(config.output_dir) {
  if (config.benchmarks.empty()) return;
  std::string names;
  for (const std::string& name : config.benchmarks) names += name + "\n";
  const std::string later = "scripts/run_benchmarks --model-id CHECKPOINT --benchmarks " + join(config.benchmarks, " ");
  try {
    make_directories(output_dir_ + "/benchmarks");
    write_file_atomically(output_dir_ + "/benchmarks/names", names);
    write_file_atomically(output_dir_ + "/benchmarks/system_prompt", config.system_prompt.value_or(""));
  } catch (const Error& error) {
    log::warning("benchmarks: {}; no checkpoint is evaluated. On the cluster: {}", error.what(), later);
    return;
  }
  if (is_set("R1_STAGED_OUTPUT")) return;
  const auto script = find_script("evaluate_checkpoint");
  const char* missing = !is_set("SLURM_JOB_ID") ? "this is no Slurm job"
                        : !is_in_path("sbatch") ? "there is no sbatch on this node"
                                                : nullptr;
  if (missing == nullptr && !script) missing = "scripts/evaluate_checkpoint was not found (R1_HOME: the project's folder)";
  if (missing != nullptr) {
    log::notice("benchmarks: {}, so no evaluation is queued; every checkpoint has Hugging Face files. Later, on a cluster: {}", missing,
                later);
    return;
  }
  script_ = *script;
  is_active_ = true;
  for (const std::int64_t step : checkpoint::checkpoint_steps(output_dir_)) expect(step);
}

CheckpointBenchmarks::~CheckpointBenchmarks() = default;

void CheckpointBenchmarks::poll() {
  if (!is_active_) return;
  reap();
  std::erase_if(expected_, [&](std::int64_t step) {
    const std::string folder = checkpoint::checkpoint_folder(output_dir_, step);
    if (!fs::exists(folder + "/config.json")) return false;
    const pid_t process = start({script_, folder});
    if (process > 0) running_.emplace_back(process, folder);
    return true;
  });
}

void CheckpointBenchmarks::reap() {
  std::erase_if(running_, [](const auto& running) {
    int status = 0;
    const pid_t ended = waitpid(running.first, &status, WNOHANG);
    if (ended == 0) return false;
    if (ended < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      log::warning("the benchmarks of {} were not queued; the reason is above. Training goes on; by hand: scripts/evaluate_checkpoint {}",
                   running.second, running.second);
    }
    return true;
  });
}

void CheckpointBenchmarks::finish() {
  poll();
  const auto begin = std::chrono::steady_clock::now();
  while (!running_.empty()) {
    reap();
    if (std::chrono::steady_clock::now() - begin > std::chrono::duration<double>(kPatienceSeconds)) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (const auto& running : running_) {
    log::warning("queueing the benchmarks of {} takes more than {:.0f} s; not waited for. By hand: scripts/evaluate_checkpoint {}",
                 running.second, kPatienceSeconds, running.second);
  }
}

}  // namespace r1::train

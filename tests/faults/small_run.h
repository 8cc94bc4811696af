// A small training run that is disturbed: killed, signalled, made to fail.
#pragma once

#include <gmock/gmock.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/rng.h"
#include "checkpoint/manifest.h"
#include "checkpoint/retention.h"
#include "tests/support/on_ranks.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"

namespace r1::test {

/// All trials with R1_TEST_FULL=1, else a twentieth.
inline int num_trials(int full) { return std::getenv("R1_TEST_FULL") != nullptr ? full : std::max(1, full / 20); }

/// Starts a program in a process group of its own.
class Disturbed {
 public:
  Disturbed(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment, const std::string& log) {
    std::vector<char*> pointers;
    for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) {
      setpgid(pid_, pid_);
      return;
    }
    setpgid(0, 0);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    if (std::freopen(log.c_str(), "a", stderr) == nullptr || std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  pid_t pid() const { return pid_; }
  void signal_it(int signal) const { kill(pid_, signal); }
  void signal_group(int signal) const { kill(-pid_, signal); }
  /// Exit code, or 128 + signal.
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

class SmallRun : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string config = folder_.write("config.json", R"({"model_type": "qwen2", "vocab_size": 264, "hidden_size": 40,
      "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10,
      "max_position_embeddings": 128, "tie_word_embeddings": true, "eos_token_id": 257, "pad_token_id": 256})");
    const auto made =
        run_program(R1_BIN_DIR "/r1_inspect", {"init-model", "--config", config, "--tokenizer", source_folder() + "/assets/chain",
                                               "--output", folder_.file("model"), "--init", "scaled", "--seed", "3"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }

  std::string out(const std::string& name) const { return folder_.file(name); }

  /// Twelve rows a step on 1, 2, 3 or 4 ranks; later flags win.
  std::vector<std::string> command(const std::string& task, int num_ranks, const std::string& name,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments;
    if (num_ranks > 1) arguments = {"mpirun", "-n", std::to_string(num_ranks)};
    const std::vector<std::string> common{R1_BIN_DIR "/r1_train",
                                          task,
                                          "--model_name_or_path=" + folder_.file("model"),
                                          "--dataset_name=builtin/chain:rows=240",
                                          "--output_dir=" + out(name),
                                          "--per_device_train_batch_size=1",
                                          "--gradient_accumulation_steps=" + std::to_string(12 / num_ranks),
                                          "--logging_steps=1",
                                          "--learning_rate=1e-3",
                                          "--num_threads=1"};
    arguments.insert(arguments.end(), common.begin(), common.end());
    if (task == "grpo") {
      for (const char* flag : {"--num_generations=4", "--max_completion_length=8", "--reward_funcs=length", "--num_iterations=2"})
        arguments.emplace_back(flag);
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  /// The same with the ranks on two nodes, as far as they can tell: one rank on the first, the others on the second.
  static std::vector<std::string> on_two_nodes(const std::vector<std::string>& command) {
    const std::vector<std::string> program(command.begin() + 3, command.end());
    std::vector<std::string> arguments{"mpirun", "-n", "1", "env", "SLURMD_NODENAME=node0"};
    arguments.insert(arguments.end(), program.begin(), program.end());
    for (const std::string& word : {std::string(":"), std::string("-n"), std::to_string(std::stoi(command[2]) - 1), std::string("env"),
                                    std::string("SLURMD_NODENAME=node1")})
      arguments.push_back(word);
    arguments.insert(arguments.end(), program.begin(), program.end());
    return arguments;
  }
  std::map<std::string, std::string> environment() const { return mpi_environment({{"R1_CACHE", folder_.file("cache")}}); }

  /// To the end, undisturbed.
  int run(const std::vector<std::string>& command) const { return Disturbed(command, environment(), log()).wait(); }
  std::string log() const { return folder_.file("log"); }
  std::string log_text() const { return read_file(log()); }

  std::string weights(const std::string& name) const { return read_file(out(name) + "/model.safetensors"); }
  /// Steps in the metrics, in order of the lines, with their loss.
  std::vector<std::pair<std::int64_t, std::string>> losses(const std::string& name) const {
    std::ifstream lines(out(name) + "/metrics.jsonl");
    std::vector<std::pair<std::int64_t, std::string>> rows;
    for (std::string line; std::getline(lines, line);) {
      const Json row = Json::parse(line);
      rows.emplace_back(row.at("step").get<std::int64_t>(), row.at("loss").dump());
    }
    return rows;
  }
  /// The samples of each step in the audit log, in order of the lines.
  std::vector<std::pair<std::int64_t, std::vector<std::int64_t>>> samples(const std::string& name) const {
    std::ifstream lines(out(name) + "/samples.jsonl");
    std::vector<std::pair<std::int64_t, std::vector<std::int64_t>>> rows;
    for (std::string line; std::getline(lines, line);) {
      const Json row = Json::parse(line);
      rows.emplace_back(row.at("step").get<std::int64_t>(), row.at("samples").get<std::vector<std::int64_t>>());
    }
    return rows;
  }
  /// Every folder with a final name holds what its manifest says.
  void expect_whole_checkpoints(const std::string& name) const {
    for (const std::int64_t step : checkpoint::checkpoint_steps(out(name))) {
      const std::string folder = checkpoint::checkpoint_folder(out(name), step);
      EXPECT_THAT(checkpoint::find_damage(folder, checkpoint::read_manifest(folder)), ::testing::IsEmpty());
    }
  }

  TemporaryFolder folder_;
  RandomStream random_{7, "faults"};
};

inline void sleep_seconds(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

inline double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace r1::test

// r1_train sft of a small model under mpirun.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "tests/support/on_ranks.h"
#include "tests/support/paths.h"

namespace r1::test {

class TrainingJob : public ::testing::Test {
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

  /// Twelve micro-batches of 4 rows a step on any number of ranks that divides it; later flags win.
  ProgramResult train(int num_ranks, const std::string& name, const std::string& accelerate_config,
                      const std::vector<std::string>& more = {}) const {
    return run("sft", num_ranks, name, accelerate_config, more);
  }

  /// Twelve groups of 4 completions a step.
  ProgramResult train_grpo(int num_ranks, const std::string& name, const std::string& accelerate_config,
                           const std::vector<std::string>& more = {}) const {
    std::vector<std::string> flags{"--max_steps=5", "--num_generations=4", "--max_completion_length=16", "--reward_funcs=length"};
    flags.insert(flags.end(), more.begin(), more.end());
    return run("grpo", num_ranks, name, accelerate_config, flags);
  }

  ProgramResult run(const std::string& task, int num_ranks, const std::string& name, const std::string& accelerate_config,
                    const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{task,
                                       "--model_name_or_path=" + folder_.file("model"),
                                       "--dataset_name=builtin/chain:rows=960",
                                       "--output_dir=" + out(name),
                                       "--max_steps=20",
                                       "--per_device_train_batch_size=4",
                                       "--gradient_accumulation_steps=" + std::to_string(12 / num_ranks),
                                       "--logging_steps=1",
                                       "--learning_rate=1e-3",
                                       "--save_strategy=no",
                                       "--num_threads=1",
                                       "--accelerate_config=" + source_folder() + "/accelerate_configs/" + accelerate_config + ".yaml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::map<std::string, std::string> environment{{"R1_CACHE", folder_.file("cache")}};
    return num_ranks == 1 ? run_program(R1_BIN_DIR "/r1_train", arguments, "", environment)
                          : run_on_ranks(num_ranks, R1_BIN_DIR "/r1_train", arguments, environment);
  }

  std::string weights(const std::string& name) const { return read_file(out(name) + "/model.safetensors"); }

  /// The logged values that do not depend on time or memory, a line a step.
  std::string metrics(const std::string& name) const {
    std::ifstream lines(out(name) + "/metrics.jsonl");
    std::string line, result;
    while (std::getline(lines, line)) {
      Json row = Json::parse(line);
      for (const char* key : {"tokens_per_second", "mfu", "step_seconds", "peak_memory_bytes", "eval_runtime", "eval_samples_per_second",
                              "communication_seconds", "time/overlapped_seconds", "rollout/idle_slot_share", "rollout/tokens_per_second",
                              "rollout/preemptions", "eval_steps_per_second"})
        row.erase(key);
      for (const char* key : {"time/rollout_seconds", "time/reward_seconds", "time/logprob_seconds", "time/train_seconds"}) row.erase(key);
      result += row.dump() + "\n";
    }
    return result;
  }

  /// All files of completions/, one after another.
  std::string completions(const std::string& name) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(out(name) + "/completions")) {
      if (entry.path().extension() == ".jsonl") files[entry.path().filename()] = read_file(entry.path());
    }
    std::string all;
    for (const auto& [file, content] : files) all += file + "\n" + content;
    return all;
  }

  /// Process ids of r1_train with this output folder; rank -1: all.
  std::vector<pid_t> processes(const std::string& name, int rank) const {
    std::vector<pid_t> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
      const auto id = parse_int(entry.path().filename().string());
      if (!id) continue;
      const auto content = [&](const char* file) {
        std::ifstream stream(entry.path() / file, std::ios::binary);
        return std::string((std::istreambuf_iterator<char>(stream)), {});
      };
      const std::string command = content("cmdline");
      if (command.find(out(name)) == std::string::npos || command.find("/r1_train") == std::string::npos || command.starts_with("mpirun"))
        continue;
      if (rank < 0 || content("environ").find("OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + std::string(1, '\0')) != std::string::npos)
        found.push_back(static_cast<pid_t>(*id));
    }
    return found;
  }

  TemporaryFolder folder_;
};

}  // namespace r1::test

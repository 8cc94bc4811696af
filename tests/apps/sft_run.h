// A tiny model and short r1_train sft runs on it, for tests that look at the program from the outside.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"

namespace r1::test {

/// Qwen2 with the chain task's byte tokenizer: ids 0 to 263.
constexpr const char* kTinyConfig =
    R"({"model_type": "qwen2", "vocab_size": 264, "hidden_size": 40, "intermediate_size": 72, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10, "max_position_embeddings": 128, "tie_word_embeddings": true,
  "eos_token_id": 257, "pad_token_id": 256})";

class SftRun : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto made =
        run_program(R1_BIN_DIR "/r1_inspect", {"init-model", "--config", folder_.write("config.json", kTinyConfig), "--tokenizer",
                                               source_folder() + "/assets/chain", "--output", model(), "--init", "scaled", "--seed", "3"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }

  std::string model() const { return folder_.file("model"); }
  std::string out() const { return folder_.file("out"); }
  std::string in_model(const std::string& name) const { return model() + "/" + name; }

  /// r1_train sft with exactly these flags beside the model and the output folder; later flags win.
  ProgramResult sft(const std::vector<std::string>& flags) const {
    std::vector<std::string> arguments{"sft", "--model_name_or_path", model(), "--output_dir", out()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return run_program(R1_BIN_DIR "/r1_train", arguments, "", {{"R1_CACHE", folder_.file("cache")}});
  }

  /// Two steps of two rows.
  ProgramResult two_steps(const std::string& dataset, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> flags{"--dataset_name",    dataset,           "--max_steps=2", "--per_device_train_batch_size=2",
                                   "--logging_steps=1", "--learning_rate", "1e-3",          "--save_strategy=no"};
    flags.insert(flags.end(), more.begin(), more.end());
    return sft(flags);
  }

  /// Both steps were taken and logged, and the model stands there.
  void expect_trained(const ProgramResult& done) const {
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_TRUE(std::filesystem::exists(out() + "/model.safetensors"));
    EXPECT_EQ(read_json_file(out() + "/trainer_state.json")["global_step"], 2);
  }

  /// Ended with this code and a message that holds all of `parts`; the output folder was not even made.
  void expect_refused(const ProgramResult& done, int exit_code, const std::vector<std::string>& parts) const {
    EXPECT_EQ(done.exit_code, exit_code) << done.err;
    for (const std::string& part : parts) EXPECT_THAT(done.err, ::testing::HasSubstr(part));
    EXPECT_FALSE(std::filesystem::exists(out())) << "a refused run left something";
  }

  TemporaryFolder folder_;
};

}  // namespace r1::test

/// Skips aloud in a build without the Parquet module.
#define R1_REQUIRE_PARQUET() \
  if (!std::filesystem::exists(R1_BIN_DIR "/libr1_parquet.so")) GTEST_SKIP() << "built without the Parquet module"

// Where a job cannot fit, it ends within a second with exit code 7 and its plan: before it allocates, never by a crash.
#include <gmock/gmock.h>

#include <chrono>

#include "tests/apps/sft_run.h"

namespace r1 {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Memory : public test::SftRun {
 protected:
  /// The program's plan says how much it needs; with four fifths of it as the limit of its address space it is refused.
  void expect_refused_with_four_fifths(const std::string& program, const std::vector<std::string>& flags) const {
    std::vector<std::string> planning = flags;
    planning.insert(planning.end(), {"--plan", "--plan_format=json"});
    const auto planned = test::run_program(R1_BIN_DIR "/" + program, planning, "", environment());
    ASSERT_EQ(planned.exit_code, 0) << planned.err;
    const double needed = parse_json(planned.out, "plan")["memory_bytes_per_rank"]["needed"];
    ASSERT_GT(needed, 1e9) << "the limit must leave room for the process itself";

    std::vector<std::string> limited{"-c", "ulimit -v \"$0\"; exec \"$@\"", std::to_string(static_cast<std::int64_t>(needed * 0.8 / 1024)),
                                     R1_BIN_DIR "/" + program};
    limited.insert(limited.end(), flags.begin(), flags.end());
    const auto begin = std::chrono::steady_clock::now();
    const auto done = test::run_program("/bin/bash", limited, "", environment());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(done.exit_code, 7) << done.err;
    EXPECT_THAT(done.err, AllOf(HasSubstr("out of memory before it starts"), HasSubstr("ulimit -v"), HasSubstr("PLAN  " + program)));
    EXPECT_LT(seconds.count(), 10) << "a second on a quiet machine: nothing may be allocated or computed before";
    EXPECT_FALSE(std::filesystem::exists(folder_.file("out/model.safetensors")) || std::filesystem::exists(folder_.file("out/_journal")));
  }

  std::map<std::string, std::string> environment() const { return {{"R1_CACHE", folder_.file("cache")}}; }
};

TEST_F(Memory, OfADistillationIsRefusedBeforeItIsTaken) {
  expect_refused_with_four_fifths("r1_train", {"sft", "--model_name_or_path", model(), "--output_dir", out(), "--dataset_name",
                                               "builtin/chain:rows=20000", "--per_device_train_batch_size=20000", "--max_steps=2"});
}

TEST_F(Memory, OfAReinforcementIsRefusedBeforeItIsTaken) {
  expect_refused_with_four_fifths(
      "r1_train", {"grpo", "--model_name_or_path", model(), "--output_dir", out(), "--dataset_name", "builtin/chain:rows=2000",
                   "--reward_funcs", "exact_answer", "--num_generations=8", "--per_device_train_batch_size=8000", "--max_prompt_length=64",
                   "--max_completion_length=64", "--max_steps=1"});
}

TEST_F(Memory, OfAKvCacheIsRefusedBeforeItIsTakenAndOneThatAdaptsIsNot) {
  // 16 KiB of keys and values for a token: 64 MiB for a sequence of 4,096.
  folder_.write("wide.json", R"({"model_type": "qwen2", "vocab_size": 264, "hidden_size": 64, "intermediate_size": 72,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 4096,
    "tie_word_embeddings": true, "eos_token_id": 257, "pad_token_id": 256})");
  const std::string wide = folder_.file("wide");
  const auto made = test::run_program(R1_BIN_DIR "/r1_inspect", {"init-model", "--config", folder_.file("wide.json"), "--tokenizer",
                                                                 test::source_folder() + "/assets/chain", "--output", wide, "--seed", "3"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::vector<std::string> generate{
      "--model", wide, "--hf-dataset", "builtin/chain:rows=40", "--prompt-column", "prompt", "--max-new-tokens=4", "--hf-output-dataset",
      out()};
  std::vector<std::string> with_cache = generate;
  with_cache.emplace_back("--kv-cache-memory=2GB");
  expect_refused_with_four_fifths("r1_generate", with_cache);
  expect_refused_with_four_fifths("r1_bench", {"--model", wide, "--tasks", "builtin/chain:rows=40", "--max-new-tokens=4", "--output-dir",
                                               out(), "--kv-cache-memory=2GB"});

  std::vector<std::string> limited{"-c", "ulimit -v 1600000; exec \"$0\" \"$@\"", R1_BIN_DIR "/r1_generate"};
  limited.insert(limited.end(), generate.begin(), generate.end());
  const auto adapted = test::run_program("/bin/bash", limited, "", environment());
  EXPECT_EQ(adapted.exit_code, 0) << adapted.err;
}

TEST_F(Memory, OfTheDiskIsPlannedWithTheCheckpointsThatLieThereAtATime) {
  // 1.7e12 parameters: the model alone takes 6.7 TB, each of two checkpoints 20 TB.
  folder_.write("huge/config.json", R"({"model_type": "llama", "vocab_size": 32000, "hidden_size": 32768, "intermediate_size": 131072,
    "num_hidden_layers": 100, "num_attention_heads": 128, "num_key_value_heads": 128, "max_position_embeddings": 4096})");
  const auto planned =
      sft({"--model_name_or_path", folder_.file("huge"), "--dataset_name", "builtin/chain", "--max_length=64", "--max_steps=4",
           "--save_strategy=steps", "--save_steps=1", "--plan", "--device_memory=1000TB", "--nodes=1", "--ntasks_per_node=1"});
  EXPECT_EQ(planned.exit_code, 6) << planned.err;
  EXPECT_THAT(planned.out, HasSubstr("disk "));
  EXPECT_THAT(planned.err, AllOf(HasSubstr(out()), HasSubstr("TiB"), HasSubstr("free")));
}

}  // namespace
}  // namespace r1

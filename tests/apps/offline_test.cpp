// Compute nodes have no network: every program runs, from the model to its report, where not even the loopback interface is up.
#include "tests/apps/sft_run.h"

namespace r1 {
namespace {

class Offline : public test::SftRun {
 protected:
  void SetUp() override {
    if (in_namespace("/bin/true", {}).exit_code != 0) GTEST_SKIP() << "this machine refuses network namespaces (unshare --net)";
    SftRun::SetUp();
  }

  /// Runs a program in a network namespace of its own, in which every connection fails at once.
  test::ProgramResult in_namespace(const std::string& program, const std::vector<std::string>& flags) const {
    std::vector<std::string> arguments{"--user", "--map-root-user", "--net", program};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return test::run_program("/usr/bin/unshare", arguments, "", {{"R1_CACHE", folder_.file("cache")}, {"HF_HOME", folder_.file("hf")}});
  }
};

TEST_F(Offline, ADistillationItsReinforcementItsTextsAndItsBenchmarkNeedNoNetwork) {
  const auto distilled = in_namespace(R1_BIN_DIR "/r1_train", {"sft", "--model_name_or_path", model(), "--output_dir", folder_.file("sft"),
                                                               "--dataset_name", "builtin/chain:rows=8", "--max_steps", "2"});
  ASSERT_EQ(distilled.exit_code, 0) << distilled.err;
  const auto reinforced = in_namespace(R1_BIN_DIR "/r1_train", {"grpo",
                                                                "--model_name_or_path",
                                                                folder_.file("sft"),
                                                                "--output_dir",
                                                                folder_.file("grpo"),
                                                                "--dataset_name",
                                                                "builtin/chain:rows=8",
                                                                "--max_steps",
                                                                "1",
                                                                "--num_generations",
                                                                "4",
                                                                "--per_device_train_batch_size",
                                                                "4",
                                                                "--max_prompt_length",
                                                                "64",
                                                                "--max_completion_length",
                                                                "8",
                                                                "--reward_funcs",
                                                                "exact_answer",
                                                                "format"});
  ASSERT_EQ(reinforced.exit_code, 0) << reinforced.err;
  const auto generated = in_namespace(R1_BIN_DIR "/r1_generate",
                                      {"--model", folder_.file("grpo"), "--hf-dataset", "builtin/chain:rows=4", "--prompt-column", "prompt",
                                       "--max-new-tokens", "4", "--output-format", "jsonl", "--hf-output-dataset", folder_.file("texts")});
  EXPECT_EQ(generated.exit_code, 0) << generated.err;
  const auto scored =
      in_namespace(R1_BIN_DIR "/r1_bench", {"--model", folder_.file("grpo"), "--tasks", "builtin/chain:rows=4", "--max-samples", "4",
                                            "--max-new-tokens", "4", "--output-dir", folder_.file("scores")});
  EXPECT_EQ(scored.exit_code, 0) << scored.err;
}

TEST_F(Offline, AModelThatIsNotHereIsNamedAtOnceWithTheCommandThatFetchesIt) {
  const auto done = in_namespace(R1_BIN_DIR "/r1_train", {"sft", "--model_name_or_path", "Qwen/Qwen2.5-1.5B-Instruct", "--output_dir",
                                                          out(), "--dataset_name", "builtin/chain"});
  expect_refused(done, 3, {"'Qwen/Qwen2.5-1.5B-Instruct' was not found", "r1_inspect download Qwen/Qwen2.5-1.5B-Instruct"});
}

}  // namespace
}  // namespace r1

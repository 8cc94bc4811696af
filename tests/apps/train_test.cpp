// r1_train sft from the outside: the files it leaves, the bytes it promises, the exit codes of bad input.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"

namespace r1 {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kConfig =
    R"({"model_type": "qwen2", "vocab_size": 264, "hidden_size": 40, "intermediate_size": 72, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10, "max_position_embeddings": 128, "tie_word_embeddings": true,
  "eos_token_id": 257, "pad_token_id": 256})";

class Train : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string config = folder_.write("config.json", kConfig);
    const auto made = test::run_program(
        R1_BIN_DIR "/r1_inspect", {"init-model", "--config", config, "--tokenizer", test::source_folder() + "/assets/chain", "--output",
                                   model(), "--init", "scaled", "--seed", "3"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }

  std::string model() const { return folder_.file("model"); }
  std::string out(const std::string& name = "out") const { return folder_.file(name); }

  // A short run; later flags win, so `more` may replace any of these.
  test::ProgramResult train(const std::vector<std::string>& more, const std::map<std::string, std::string>& env = {}) const {
    std::vector<std::string> arguments{"sft",
                                       "--model_name_or_path",
                                       model(),
                                       "--dataset_name",
                                       "builtin/chain:rows=96",
                                       "--output_dir",
                                       out(),
                                       "--max_steps",
                                       "3",
                                       "--per_device_train_batch_size=4",
                                       "--gradient_accumulation_steps=3",
                                       "--logging_steps=1",
                                       "--learning_rate=1e-3",
                                       "--save_strategy=no"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::map<std::string, std::string> environment = env;
    environment.emplace("R1_CACHE", folder_.file("cache"));
    return test::run_program(R1_BIN_DIR "/r1_train", arguments, "", environment);
  }

  std::string weights(const std::string& name) const { return read_file(out(name) + "/model.safetensors"); }

  void expect_error(const test::ProgramResult& done, int exit_code, const ::testing::Matcher<std::string>& message) const {
    EXPECT_EQ(done.exit_code, exit_code) << done.err;
    EXPECT_THAT(done.err, message);
    EXPECT_FALSE(fs::exists(out() + "/model.safetensors")) << "a failed run left a model";
  }

  test::TemporaryFolder folder_;
};

TEST_F(Train, LeavesTheFilesThatTheReferenceTrainerLeaves) {
  const auto done = train({"--eval_strategy=steps", "--eval_steps=2", "--dataset_test_split=test"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "trainer_state.json",
                           "train_results.json", "all_results.json", "metrics.jsonl", "report.html", "runs"}) {
    EXPECT_TRUE(fs::exists(out() + "/" + name)) << name;
  }
  const Json state = read_json_file(out() + "/trainer_state.json");
  EXPECT_EQ(state["global_step"], 3);
  EXPECT_TRUE(state["log_history"][0].contains("loss"));
  std::ifstream metrics(out() + "/metrics.jsonl");
  std::string line;
  std::getline(metrics, line);
  const Json first = Json::parse(line);
  for (const char* key : {"step", "epoch", "loss", "grad_norm", "learning_rate", "tokens_per_second", "mfu", "peak_memory_bytes"})
    EXPECT_TRUE(first.contains(key)) << key;
  EXPECT_THAT(read_file(out() + "/report.html"), HasSubstr("builtin/chain"));
}

TEST_F(Train, GivesTheSameBytesTwiceWithAnyThreadsAndWithRecompute) {
  ASSERT_EQ(train({"--output_dir", out("a"), "--num_threads=1"}).exit_code, 0);
  ASSERT_EQ(train({"--output_dir", out("b"), "--num_threads=1"}).exit_code, 0);
  ASSERT_EQ(train({"--output_dir", out("c"), "--num_threads=2"}).exit_code, 0);
  ASSERT_EQ(train({"--output_dir", out("d"), "--num_threads=2", "--gradient_checkpointing"}).exit_code, 0);
  ASSERT_EQ(train({"--output_dir", out("e"), "--seed=43"}).exit_code, 0);
  EXPECT_EQ(weights("a"), weights("b"));
  EXPECT_EQ(weights("a"), weights("c"));
  EXPECT_EQ(weights("a"), weights("d"));
  EXPECT_NE(weights("a"), weights("e")) << "the data order should follow the seed";
}

TEST_F(Train, GivesTheSameBytesOnEveryInstructionSet) {
  ASSERT_EQ(train({"--output_dir", out("best")}).exit_code, 0);
  ASSERT_EQ(train({"--output_dir", out("portable"), "--max_steps=3"}, {{"R1_CPU_ISA", "portable"}}).exit_code, 0);
  EXPECT_EQ(weights("best"), weights("portable"));
}

TEST_F(Train, RunsUnderMpirunWithOneRankWithoutStartingMpi) {
  EXPECT_EQ(train({}, {{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}).exit_code, 0);
}

TEST_F(Train, PlanPrintsWhereEachValueComesFromAndWritesNothing) {
  const std::string recipe = folder_.write("recipe.yaml", "learning_rate: 5.0e-04\nwarmup_ratio: 0.1\n");
  const auto done = train({"--config", recipe, "--plan"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, AllOf(HasSubstr("recipe.yaml:2"), HasSubstr("flag"), HasSubstr("default"), HasSubstr("⟦"), HasSubstr("3 (")));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Train, NamesATypoInARecipeWithItsLineAndTheNearestKey) {
  const std::string recipe = folder_.write("recipe.yaml", "learning_rate: 5.0e-04\ngradient_acumulation_steps: 2\n");
  expect_error(train({"--config", recipe}), 2, AllOf(HasSubstr("recipe.yaml:2"), HasSubstr("gradient_accumulation_steps")));
}

TEST_F(Train, NamesAMissingRecipeModelOrDataSet) {
  expect_error(train({"--config", folder_.file("none.yaml")}), 2, HasSubstr("none.yaml"));
  expect_error(train({"--model_name_or_path", folder_.file("none")}), 3, HasSubstr("none"));
  expect_error(train({"--dataset_name", folder_.file("none.jsonl")}), 3, HasSubstr("none.jsonl"));
}

TEST_F(Train, RefusesATruncatedWeightFile) {
  fs::resize_file(model() + "/model.safetensors", fs::file_size(model() + "/model.safetensors") - 100);
  expect_error(train({}), 3, HasSubstr("model.safetensors"));
}

TEST_F(Train, NamesATensorOfTheWrongShape) {
  std::string config = read_file(model() + "/config.json");
  config.replace(config.find("\"intermediate_size\": 72"), 23, "\"intermediate_size\": 80");
  folder_.write("model/config.json", config);
  expect_error(train({}), 3, AllOf(HasSubstr("model.layers.0.mlp.gate_proj.weight: expected [80, 40]"), HasSubstr("has [72, 40]")));
}

TEST_F(Train, RefusesAnOutputFolderThatCannotBeWrittenOrHoldsARun) {
  const std::string file = folder_.write("file", "in the way");
  expect_error(train({"--output_dir", file + "/out"}), 6, HasSubstr("output_dir"));
  ASSERT_EQ(train({}).exit_code, 0);
  const std::string before = weights("out");
  const auto again = train({});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, AllOf(HasSubstr("--resume_from_checkpoint latest"), HasSubstr("--overwrite_output_dir")));
  EXPECT_EQ(train({"--overwrite_output_dir"}).exit_code, 0);
  EXPECT_EQ(weights("out"), before);
}

TEST_F(Train, StopsAtALossThatIsNotFinite) {
  // Exponent and mantissa of one weight become NaN: the last four bytes of the file belong to a tensor.
  std::fstream file(model() + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-4, std::ios::end);
  file.write("\xff\xff\xff\x7f", 4);
  file.close();
  expect_error(train({}), 4, AllOf(HasSubstr("step 1"), HasSubstr("must be finite")));
}

TEST_F(Train, SavesCheckpointsAndKeepsTheNewest) {
  const auto done = train({"--max_steps=6", "--save_strategy=steps", "--save_steps=2", "--save_total_limit=2", "--save_hf"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_FALSE(fs::exists(out() + "/checkpoint-2"));
  EXPECT_TRUE(fs::exists(out() + "/checkpoint-4/model.safetensors"));
  EXPECT_EQ(read_file(out() + "/checkpoint-6/model.safetensors"), weights("out"));
}

}  // namespace
}  // namespace r1

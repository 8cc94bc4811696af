// r1_train grpo from the outside: the files it leaves, the bytes it promises, what it says about bad input.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "tests/apps/sft_run.h"

namespace r1::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

std::vector<Json> json_lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(Json::parse(line));
  return rows;
}

/// A model that knows nothing writes noise: `length` is a reward that tells its completions apart all the same.
class Grpo : public SftRun {
 protected:
  ProgramResult grpo(const std::vector<std::string>& more, const std::map<std::string, std::string>& env = {}) const {
    std::vector<std::string> arguments{"grpo",
                                       "--model_name_or_path",
                                       model(),
                                       "--dataset_name",
                                       "builtin/chain:rows=64",
                                       "--output_dir",
                                       out(),
                                       "--max_steps=3",
                                       "--per_device_train_batch_size=4",
                                       "--gradient_accumulation_steps=2",
                                       "--num_generations=4",
                                       "--max_completion_length=12",
                                       "--reward_funcs=length",
                                       "--logging_steps=1",
                                       "--learning_rate=1e-2",
                                       "--save_strategy=no",
                                       "--beta=0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(R1_BIN_DIR "/r1_train", arguments, "", env);
  }

  std::string weights(const std::string& name) const { return read_file(folder_.file(name) + "/model.safetensors"); }
  std::vector<Json> metrics(const std::string& name = "out") const { return json_lines(folder_.file(name) + "/metrics.jsonl"); }

  void expect_no_mismatch(const std::string& name, std::size_t num_steps) const {
    const auto rows = metrics(name);
    ASSERT_EQ(rows.size(), num_steps);
    double moved = 0;
    for (const Json& row : rows) {
      EXPECT_EQ(row["rollout_logprob_max_abs_diff"], 0.0) << row.dump();
      moved += row["grad_norm"].get<double>();
    }
    EXPECT_GT(moved, 0) << "nothing was learnt: the weights the rollout saw never changed";
  }
};

TEST_F(Grpo, LeavesModelMetricsCompletionsAndReport) {
  const auto done = grpo({"--num_completions_to_print=2", "--eval_strategy=steps", "--eval_steps=2", "--beta=0.04",
                          "--dataset_test_split=test", "--dataset_name=builtin/chain:rows=64,test_rows=4"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  for (const char* name :
       {"model.safetensors", "config.json", "tokenizer.json", "trainer_state.json", "train_results.json", "report.html", "runs"})
    EXPECT_TRUE(fs::exists(out() + "/" + name)) << name;
  std::size_t evaluations = 0, steps = 0;
  for (const Json& row : metrics()) {
    if (row.contains("eval_reward")) {
      ++evaluations;
      continue;
    }
    ++steps;
    for (const char* key : {"loss", "grad_norm", "learning_rate", "tokens_per_second", "mfu", "peak_memory_bytes", "reward", "reward_std",
                            "rewards/length/mean", "kl", "entropy", "completions/mean_length", "completions/clipped_ratio",
                            "frac_reward_zero_std", "rollout_logprob_max_abs_diff", "rollout/idle_slot_share"})
      EXPECT_TRUE(row.contains(key)) << key;
    double seconds = 0;
    for (const char* part : {"rollout", "reward", "logprob", "train"})
      seconds += row["time/" + std::string(part) + "_seconds"].get<double>();
    EXPECT_GE(seconds, 0.98 * row["step_seconds"].get<double>());
  }
  EXPECT_EQ(steps, 3u);
  EXPECT_EQ(evaluations, 2u);

  const auto completions = json_lines(out() + "/completions/step-000002.jsonl");
  ASSERT_EQ(completions.size(), 8u);
  double sum = 0;
  for (const Json& row : completions) {
    for (const char* key : {"prompt", "completion", "num_tokens", "finish_reason", "rewards", "reward", "advantage"})
      EXPECT_TRUE(row.contains(key)) << key;
    sum += row["advantage"].get<double>();
  }
  EXPECT_NEAR(sum, 0, 1e-6);
  EXPECT_THAT(done.err, AllOf(HasSubstr("loss"), HasSubstr("first prompt"), HasSubstr(" → ")));
  EXPECT_THAT(read_file(out() + "/report.html"),
              AllOf(HasSubstr("rewards/length"), HasSubstr("advantage"), HasSubstr("length by multiplications")));
}

TEST_F(Grpo, GivesTheSameBytesTwiceAndWithOneAndTwoThreads) {
  const std::vector<std::string> flags{"--max_steps=50", "--logging_steps=50"};
  const auto run = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.begin(), flags.begin(), flags.end());
    more.push_back("--output_dir=" + folder_.file(name));
    const auto done = grpo(more);
    ASSERT_EQ(done.exit_code, 0) << done.err;
  };
  run("a", {"--num_threads=1"});
  run("b", {"--num_threads=1"});
  run("c", {"--num_threads=2", "--gradient_checkpointing"});
  run("d", {"--num_threads=1", "--seed=43"});
  EXPECT_EQ(weights("a"), weights("b"));
  EXPECT_EQ(weights("a"), weights("c"));
  EXPECT_NE(weights("a"), weights("d")) << "completions should follow the seed";
  EXPECT_EQ(read_file(folder_.file("a") + "/completions/step-000050.jsonl"),
            read_file(folder_.file("c") + "/completions/step-000050.jsonl"));
}

TEST_F(Grpo, SeesTheSameLogProbabilitiesInRolloutAndTrainingAtEachOfAHundredSteps) {
  ASSERT_EQ(grpo({"--max_steps=100"}).exit_code, 0);
  expect_no_mismatch("out", 100);
}

TEST_F(Grpo, SeesNoMismatchWithPreemptionAtAnyMicroBatchOrTemperature) {
  const std::string preempted = folder_.file("preempted");
  ASSERT_EQ(grpo({"--output_dir", preempted, "--kv_cache_memory=60KB", "--max_completion_length=40", "--temperature=0.7",
                  "--per_device_train_batch_size=1", "--gradient_accumulation_steps=16"})
                .exit_code,
            0);
  expect_no_mismatch("preempted", 3);
  double preemptions = 0;
  for (const Json& row : metrics("preempted")) preemptions += row["rollout/preemptions"].get<double>();
  EXPECT_GT(preemptions, 0) << "the cache was large enough after all";
  ASSERT_EQ(grpo({"--output_dir", folder_.file("roomy"), "--max_completion_length=40", "--temperature=0.7",
                  "--per_device_train_batch_size=1", "--gradient_accumulation_steps=16"})
                .exit_code,
            0);
  EXPECT_EQ(weights("preempted"), weights("roomy"));
}

TEST_F(Grpo, EveryLossSettingRunsAndChangesTheResult) {
  const std::vector<std::vector<std::string>> variants{
      {},
      {"--loss_type=grpo"},
      {"--loss_type=dr_grpo"},
      {"--scale_rewards=false"},
      {"--scale_rewards=batch"},
      {"--beta=0.1"},
      {"--beta=0.1", "--sync_ref_model", "--ref_model_sync_steps=1", "--ref_model_mixup_alpha=0.9"},
      {"--num_iterations=2"},
      {"--num_iterations=2", "--epsilon=0.01"},
      {"--num_iterations=2", "--importance_sampling_level=sequence"},
      {"--mask_truncated_completions"},
      {"--dynamic_sampling", "--num_generations=2"},
      {"--temperature=0.5"},
      {"--temperature=0.5", "--scale_log_probs_by_temperature=false"},
      {"--shuffle_dataset=false"},
      {"--top_k=5"},
      {"--min_p=0.02"},
      {"--repetition_penalty=1.3"}};
  std::vector<std::string> seen;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    std::string name;
    for (const std::string& flag : variants[i]) name += flag + " ";
    SCOPED_TRACE(name);
    std::vector<std::string> flags = variants[i];
    flags.push_back("--output_dir=" + folder_.file("v" + std::to_string(i)));
    const auto done = grpo(flags);
    ASSERT_EQ(done.exit_code, 0) << done.err;
    seen.push_back(weights("v" + std::to_string(i)));
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(seen[j], seen[i]) << "equal to variant " << j;
  }
}

TEST_F(Grpo, ShowsRewardsTheOpenedThinkTagAndStoresBothParts) {
  const std::string chat = "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}{{ '<|assistant|><think>\\n' }}";
  const auto done = grpo({"--chat_template", chat, "--reward_funcs", "length", "tag_count", "--max_steps=1"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.err, HasSubstr("<think>"));
  for (const Json& row : json_lines(out() + "/completions/step-000001.jsonl")) {
    EXPECT_EQ(row["opened"], "<think>\n");
    // A quarter for the one <think>⏎ that the template wrote, whatever the completion holds (another one would take it away).
    if (row["completion"].get<std::string>().find('<') == std::string::npos) EXPECT_EQ(row["rewards"]["tag_count"], 0.25) << row.dump();
  }
}

TEST_F(Grpo, CountsAGroupWithoutAnyRewardAndLearnsNothingFromIt) {
  // The first row's gold cannot be read, so accuracy has no value for its group.
  const std::string rows = folder_.write("rows.jsonl",
                                         "{\"prompt\": \"1+1=\", \"solution\": \"no number here\"}\n"
                                         "{\"prompt\": \"1+2=\", \"solution\": \"$3$\"}\n");
  const auto done = grpo({"--dataset_name", rows, "--reward_funcs=accuracy", "--max_steps=1"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.err, AllOf(HasSubstr("1 of 2 rows"), HasSubstr("rows.jsonl:1")));
  EXPECT_EQ(metrics()[0]["frac_reward_null_groups"], 0.5);
  EXPECT_EQ(metrics()[0]["rewards/accuracy/gold_unparsed"], 4);
  std::size_t null_rewards = 0;
  for (const Json& row : json_lines(out() + "/completions/step-000001.jsonl")) {
    if (!row["reward"].is_null()) continue;
    ++null_rewards;
    EXPECT_EQ(row["advantage"], 0.0);
  }
  EXPECT_EQ(null_rewards, 4u);
}

TEST_F(Grpo, RefusesBatchesSmallerThanAGroupAndNamesTheNearestThatFits) {
  expect_refused(grpo({"--num_generations=16"}), 2,
                 {"num_generations", "8 completions", "one group of 16", "gradient_accumulation_steps to at least 4"});
  const auto rest = grpo({"--num_generations=3", "--max_steps=1"});
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_THAT(rest.err, HasSubstr("groups of 3 use 6 of them, 2 are not generated"));
}

TEST_F(Grpo, RefusesUnknownAndCodeRewardsAndNamesTheNearest) {
  expect_refused(grpo({"--reward_funcs=lenght"}), 2, {"lenght", "length"});
  expect_refused(grpo({"--reward_funcs=ioi_code"}), 2, {"ioi_code", "sandbox"});
  expect_refused(grpo({"--reward_funcs=length", "--reward_weights", "1", "2"}), 2, {"reward_weights"});
}

TEST_F(Grpo, RefusesMissingColumnsAndGoldsThatCannotBeRead) {
  const std::string rows = folder_.write("rows.jsonl", "{\"prompt\": \"1+1=\", \"gold\": \"$2$\"}\n");
  expect_refused(grpo({"--dataset_name", rows, "--reward_funcs=accuracy"}), 3, {"solution", "reward_funcs"});
  expect_refused(grpo({"--dataset_name", rows, "--dataset_prompt_column=question"}), 3, {"question", "dataset_prompt_column"});
  const std::string unreadable = folder_.write("bad.jsonl",
                                               "{\"prompt\": \"1+1=\", \"solution\": \"two\"}\n"
                                               "{\"prompt\": \"1+2=\", \"solution\": \"three\"}\n");
  expect_refused(grpo({"--dataset_name", unreadable, "--reward_funcs=accuracy"}), 3, {"bad.jsonl:1", "gold"});
}

TEST_F(Grpo, HandlesPromptsOverTheLimitAsConfigured) {
  const std::vector<std::string> limit{"--max_prompt_length=8", "--max_steps=1"};
  const auto with = [&](const std::string& policy) {
    std::vector<std::string> flags = limit;
    flags.push_back("--overlong_rows=" + policy);
    return flags;
  };
  expect_refused(grpo(with("error")), 3, {"max_prompt_length 8", "16 tokens"});
  expect_refused(grpo(with("skip")), 3, {"no prompt is left", "max_prompt_length 8"});
  expect_refused(grpo({"--output_dir", folder_.file("long"), "--max_prompt_length=null", "--dataset_name=builtin/chain:steps=70,rows=8"}),
                 2, {"128 positions", "max_prompt_length"});
  const auto cut = grpo(limit);
  ASSERT_EQ(cut.exit_code, 0) << cut.err;
  EXPECT_THAT(cut.err, HasSubstr("64 cut on the left to max_prompt_length"));
}

TEST_F(Grpo, StopsAtARewardThatIsNotANumber) {
  const auto done = grpo({"--reward_weights=nan"});
  EXPECT_NE(done.exit_code, 0);
  EXPECT_THAT(done.err, HasSubstr("reward_weights"));
  EXPECT_FALSE(fs::exists(out() + "/model.safetensors"));
}

TEST_F(Grpo, StopsAfterTooManyStepsThatAreNotFiniteAndNamesTheirPrompts) {
  // At the first step policy and reference are the same; from the second on the KL term's gradient is beyond fp32.
  const auto done = grpo({"--beta=1e40", "--max_steps=20", "--max_nonfinite_steps=1"});
  EXPECT_EQ(done.exit_code, 4) << done.err;
  EXPECT_THAT(done.err, AllOf(HasSubstr("step 3"), HasSubstr("must be finite"), HasSubstr("Its prompts: builtin/chain"),
                              HasSubstr("update skipped (1 of at most 1")));
  EXPECT_FALSE(fs::exists(out() + "/model.safetensors"));
}

TEST_F(Grpo, SaysThatTheWeightsAreSpoiltWhenARolloutMeetsThem) {
  const auto done = grpo({"--learning_rate=1e18", "--max_grad_norm=0", "--max_steps=20"});
  EXPECT_EQ(done.exit_code, 4) << done.err;
  EXPECT_THAT(done.err, AllOf(HasSubstr("rollout of step 2"), HasSubstr("builtin/chain"), HasSubstr("lower learning_rate")));
}

TEST_F(Grpo, PlanShowsBatchPromptAndMemoryAndWritesNothing) {
  const auto done = grpo({"--plan", "--beta=0.04"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, AllOf(HasSubstr("2 prompts × 4 completions"), HasSubstr("reference model"), HasSubstr("KV cache"),
                              HasSubstr("<|user|>"), HasSubstr("length")));
  EXPECT_FALSE(fs::exists(out()));
}

}  // namespace
}  // namespace r1::test

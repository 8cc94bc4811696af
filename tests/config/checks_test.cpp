#include "config/checks.h"

#include "config/yaml_reader.h"
#include "tests/config/load_support.h"

namespace r1::config {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Checks, GrpoBatchNamesTheNearestExactValues) {
  // 8 × 1 × 3 = 24 = 3 groups of 8: exact.
  EXPECT_THAT(grpo({"--gradient_accumulation_steps", "3"}).notices, IsEmpty());
  const GrpoConfig config = grpo({"--gradient_accumulation_steps", "3", "--num_generations", "7"});
  EXPECT_THAT(
      config.notices,
      ElementsAre("per_device_train_batch_size 8 × 1 trainer × gradient_accumulation_steps 3 = 24 completions per step; groups of 7 use "
                  "21 of them, 3 are not generated; nearest exact values: num_generations 6 or 8, or gradient_accumulation_steps 7"));
  EXPECT_EQ(config.completions_per_step(), 24);
  EXPECT_EQ(config.groups_per_step(), 3);
  EXPECT_EQ(
      grpo_error({"--num_generations", "20", "--per_device_train_batch_size", "3"}, 2),
      "--num_generations: per_device_train_batch_size 3 × 2 trainers × gradient_accumulation_steps 1 = 6 completions per step, fewer than "
      "one group of 20; set gradient_accumulation_steps to at least 4, or num_generations to at most 6");
  EXPECT_THAT(grpo_error({"--num_generations", "1"}), HasSubstr("expected a whole number >= 2"));
}

TEST(Checks, NumProcessesSplitsTheWorldForGrpoOnly) {
  const GrpoConfig config = grpo({"--num_processes=7", "--num_generations", "7"}, 8);
  EXPECT_EQ(config.num_trainers, 7);
  EXPECT_EQ(config.num_generators, 1);
  EXPECT_EQ(config.completions_per_step(), 56);
  EXPECT_EQ(grpo({}, 8).num_generators, 0);
  EXPECT_EQ(grpo_error({"--num_processes", "9"}, 8), "--num_processes: expected 1 to 8 trainers (the world size), found 9");
  EXPECT_THAT(grpo_error({"--num_processes", "0"}, 8), HasSubstr("--num_processes: expected a whole number >= 1"));
  EXPECT_THAT(sft_error({"--num_processes", "8"}, 8), HasSubstr("only grpo has generators"));
  EXPECT_THAT(grpo_error({"--rollout_tensor_parallel_size", "3"}, 8), HasSubstr("expected a divisor of the 8 ranks that generate"));
}

TEST(Checks, AGenerationCadenceOfItsOwnIsRefused) {
  EXPECT_EQ(grpo_error({"--steps_per_generation", "1"}), "no error");
  EXPECT_EQ(grpo_error({"--generation_batch_size", "8"}), "no error");
  EXPECT_THAT(grpo_error({"--steps_per_generation", "4"}), HasSubstr("it can only be gradient_accumulation_steps 1; found 4"));
  EXPECT_THAT(grpo_error({"--generation_batch_size", "64"}), HasSubstr("it can only be 8; found 64"));
  EXPECT_THAT(grpo_error({"--generation_batch_size", "8", "--steps_per_generation", "1"}), HasSubstr("exclude each other"));
}

TEST(Checks, RewardsNeedAWeightEach) {
  EXPECT_EQ(grpo_error({"--reward_funcs", "accuracy", "format", "--reward_weights", "1.0"}),
            "--reward_weights: expected one weight per reward (2: accuracy, format), found 1");
  EXPECT_THAT(grpo({"--reward_funcs", "accuracy", "format", "--reward_weights", "1.0", "0.1"}).reward_weights, ElementsAre(1.0, 0.1));
  EXPECT_THAT(grpo({"--sync_ref_model", "--beta", "0"}).notices, Contains(HasSubstr("there is no reference model")));
  EXPECT_THAT(grpo_error({"--soft_punish_cache", "20000"}), HasSubstr("expected at most max_completion_len 16384"));
}

TEST(Checks, GrpoWordsOfOtherVersionsAreUnderstood) {
  EXPECT_EQ(grpo({"--loss_type", "dapo"}).loss_type, LossType::kBnpo);
  EXPECT_EQ(grpo({"--scale_rewards", "false"}).scale_rewards, ScaleRewards::kNone);
  EXPECT_EQ(grpo({"--scale_rewards=False"}).scale_rewards, ScaleRewards::kNone);
  EXPECT_EQ(grpo({"--scale_rewards", "--beta", "0"}).scale_rewards, ScaleRewards::kGroup);
  EXPECT_EQ(grpo({"--scale_rewards", "batch"}).scale_rewards, ScaleRewards::kBatch);
  EXPECT_THAT(grpo_error({"--loss_type", "cispo"}), HasSubstr("nearest: bnpo or dr_grpo"));
}

TEST(Checks, TheScheduleTakesItsOwnArguments) {
  EXPECT_EQ(sft_error({"--lr_scheduler_type", "cosine_with_min_lr", "--lr_scheduler_kwargs", R"({"min_lr_rate": 0.1})"}), "no error");
  EXPECT_THAT(sft_error({"--lr_scheduler_type", "cosine_with_min_lr"}), HasSubstr("needs either min_lr or min_lr_rate, found neither"));
  EXPECT_THAT(sft_error({"--lr_scheduler_type", "cosine_with_min_lr", "--lr_scheduler_kwargs", R"({"min_lr_rat": 0.1})"}),
              HasSubstr("unknown key 'min_lr_rat' for this lr_scheduler_type — did you mean 'min_lr_rate'?"));
  EXPECT_THAT(sft_error({"--lr_scheduler_kwargs", R"({"min_lr_rate": 0.1})"}), HasSubstr("only cosine_with_min_lr takes any"));
  EXPECT_THAT(sft_error({"--lr_scheduler_type", "cosine_with_min_lr", "--lr_scheduler_kwargs", R"({"min_lr": 1})"}),
              HasSubstr("expected a number from 0 to learning_rate 2e-05, found 1"));
}

TEST(Checks, StepsMayBeSharesOfTheRun) {
  EXPECT_EQ(step_interval(0.05, 1000), 50);
  EXPECT_EQ(step_interval(0.1, 7), 1);
  EXPECT_EQ(step_interval(0.3, 7), 3);
  EXPECT_EQ(step_interval(500, 7), 500);
  EXPECT_EQ(step_interval(1, 7), 1);
  EXPECT_EQ(warmup_steps_of(sft({"--warmup_ratio", "0.1"}), 101), 11);
  EXPECT_EQ(warmup_steps_of(sft({"--warmup_ratio", "0.1", "--warmup_steps", "5"}), 101), 5);
  EXPECT_THAT(sft_error({"--logging_steps", "1.5"}), HasSubstr("--logging_steps: expected a whole number of steps, or a share"));
  EXPECT_THAT(sft_error({"--save_steps", "0"}), HasSubstr("expected a number > 0"));
  EXPECT_THAT(sft_error({"--max_steps", "0"}), HasSubstr("above 0, or -1"));
}

TEST(Checks, KeysWithoutEffectAreNamed) {
  EXPECT_THAT(sft({"--max_steps", "5", "--num_train_epochs", "2"}).notices, Contains(HasSubstr("num_train_epochs has no effect")));
  EXPECT_THAT(sft({"--packing_strategy", "wrapped"}).notices, Contains("packing_strategy has no effect: packing is false"));
  EXPECT_THAT(sft({"--packing", "--packing_strategy", "wrapped"}).notices, IsEmpty());
  EXPECT_THAT(sft({"--eval_steps", "5"}).notices, Contains(HasSubstr("eval_strategy is no")));
  EXPECT_THAT(sft({"--warmup_steps", "5", "--warmup_ratio", "0.1"}).notices, Contains(HasSubstr("warmup_ratio has no effect")));
  EXPECT_THAT(sft({"--warmup_steps", "50", "--max_steps", "5"}).notices, Contains(HasSubstr("never reached")));
  EXPECT_THAT(sft_error({"--packing", "--max_length", "none"}), HasSubstr("packing needs blocks of max_length tokens"));
  EXPECT_THAT(sft_error({"--resume_from_checkpoint", "latest", "--overwrite_output_dir"}), HasSubstr("give one of them"));
  EXPECT_THAT(sft_error({"--save_only_model", "--save_hf=false"}), HasSubstr("drop save_hf: false"));
}

TEST(Checks, SavesHuggingFaceFilesWhenSomebodyNeedsThem) {
  EXPECT_FALSE(sft({}).saves_hugging_face());
  EXPECT_TRUE(sft({"--save_only_model"}).saves_hugging_face());
  EXPECT_TRUE(sft({"--benchmarks", "math_500"}).saves_hugging_face());
  EXPECT_THAT(error_of([] { sft({"--benchmarks", "math_500", "--save_hf", "false"}); }), HasSubstr("drop save_hf: false"));
}

std::string mixture_error(const std::string& yaml) {
  return error_of([&] { parse_dataset_mixture(Dict(parse_yaml(yaml, "m.yaml")), "m.yaml:1: 'dataset_mixture'"); });
}

TEST(Mixture, ReadsPartsWeightsAndColumns) {
  const DatasetMixture mixture = parse_dataset_mixture(
      Dict(parse_yaml("datasets:\n- id: a\n  config: c\n  columns: [x, y]\n  weight: 0.5\n- id: b\n  split: test\n  columns: [y, x]\n"
                      "seed: 7\ntest_split_size: 0.1\n",
                      "m.yaml")),
      "here");
  ASSERT_EQ(mixture.parts.size(), 2u);
  EXPECT_EQ(*mixture.parts[0].config, "c");
  EXPECT_EQ(mixture.parts[0].split, "train");
  EXPECT_DOUBLE_EQ(mixture.parts[0].weight, 0.5);
  EXPECT_DOUBLE_EQ(mixture.parts[1].weight, 1.0);
  EXPECT_EQ(mixture.seed, 7);
  EXPECT_DOUBLE_EQ(*mixture.test_split_size, 0.1);
}

TEST(Mixture, MistakesAreNamed) {
  EXPECT_EQ(mixture_error("seed: 1\n"),
            "m.yaml:1: 'dataset_mixture': expected a list 'datasets' of maps with an id each, found no such key");
  EXPECT_THAT(mixture_error("datasets: a\n"), HasSubstr("expected a list 'datasets' of maps with an id each, found 'a'"));
  EXPECT_THAT(mixture_error("datasets:\n- id: a\n  columns: [x, y]\n- id: b\n  columns: [x, z]\n"),
              HasSubstr("part 2: expected the columns of 'a' (x, y), 'b' has (x, z)"));
  EXPECT_THAT(mixture_error("datasets:\n- id: a\n  wieght: 1\n"), HasSubstr("part 1: unknown key 'wieght' — did you mean 'weight'?"));
  EXPECT_THAT(mixture_error("datasets:\n- config: a\n"), HasSubstr("part 1: expected an 'id'"));
  EXPECT_THAT(mixture_error("datasets:\n- id: a\n  weight: 2\n"), HasSubstr("expected a number > 0 and <= 1, found '2'"));
  EXPECT_THAT(mixture_error("datasets:\n- a\n"), HasSubstr("part 1: expected a map, found 'a'"));
  EXPECT_THAT(mixture_error("datasets:\n- id: a\nseeds: 1\n"), HasSubstr("unknown key 'seeds' — did you mean 'seed'?"));
  EXPECT_THAT(mixture_error("datasets:\n- id: a\ntest_split_size: 1.5\n"), HasSubstr("a fraction below 1 or a whole number of rows"));
}

TEST(Mixture, WinsOverTheNameAndNeedsATestSplitForEvaluation) {
  const std::string json = R"({"datasets": [{"id": "a"}]})";
  EXPECT_THAT(sft({"--dataset_mixture", json}).notices, Contains(HasSubstr("dataset_mixture wins")));
  EXPECT_THAT(sft_error({"--dataset_mixture", json, "--eval_strategy", "epoch"}), HasSubstr("give dataset_mixture a test_split_size"));
  EXPECT_EQ(sft_error({"--dataset_mixture", R"({"datasets": [{"id": "a"}], "test_split_size": 100})", "--do_eval"}), "no error");
}

TEST(Checks, ParallelSizesDivideTheWorld) {
  auto generate = [](Arguments others, int world) {
    Arguments arguments = {"--model=M", "--hf_dataset=D", "--hf_output_dataset=O"};
    arguments.insert(arguments.end(), others.begin(), others.end());
    return error_of([&] { load_generate(arguments, test_environment(world)); });
  };
  EXPECT_EQ(generate({"--tensor_parallel_size=2", "--pipeline_parallel_size=2"}, 8), "no error");
  EXPECT_THAT(generate({"--tensor_parallel_size=3"}, 8), HasSubstr("expected a divisor of the world size 8"));
  EXPECT_THAT(generate({"--min_new_tokens=9000"}, 1), HasSubstr("expected at most max_new_tokens 8192, found 9000"));
  EXPECT_THAT(generate({"--no_chat_template", "--system_prompt", "s"}, 1), HasSubstr("drop --system_prompt"));
}

}  // namespace
}  // namespace r1::config

#include "config/loader.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/config/load_support.h"

namespace r1::config {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Loader, AbsentKeysHaveTheValuesOfTrlAndOpenR1) {
  const SftConfig s = sft({});
  EXPECT_EQ(s.seed, 42);
  EXPECT_DOUBLE_EQ(s.learning_rate, 2e-5);
  EXPECT_EQ(s.max_length, 1024);
  EXPECT_FALSE(s.packing);
  EXPECT_EQ(s.packing_strategy, PackingStrategy::kBfd);
  EXPECT_EQ(s.packing_attention, PackingAttention::kBlockDiagonal);
  EXPECT_EQ(s.per_device_train_batch_size, 8);
  EXPECT_DOUBLE_EQ(s.num_train_epochs, 3);
  EXPECT_EQ(s.max_steps, -1);
  EXPECT_DOUBLE_EQ(s.max_grad_norm, 1);
  EXPECT_DOUBLE_EQ(s.adam_beta2, 0.999);
  EXPECT_DOUBLE_EQ(s.adam_epsilon, 1e-8);
  EXPECT_DOUBLE_EQ(s.logging_steps, 500);
  EXPECT_DOUBLE_EQ(s.save_steps, 500);
  EXPECT_EQ(s.lr_scheduler_type, LrSchedulerType::kLinear);
  EXPECT_EQ(s.accelerate.sharding_strategy, ShardingStrategy::kReplicated);

  const GrpoConfig g = grpo({});
  EXPECT_DOUBLE_EQ(g.learning_rate, 1e-6);
  EXPECT_DOUBLE_EQ(g.temperature, 1.0);
  EXPECT_DOUBLE_EQ(g.beta, 0.04);
  EXPECT_EQ(g.loss_type, LossType::kBnpo);
  EXPECT_EQ(g.num_generations, 8);
  EXPECT_EQ(g.max_prompt_length, 512);
  EXPECT_EQ(g.max_completion_length, 256);
  EXPECT_DOUBLE_EQ(g.epsilon, 0.2);
  EXPECT_EQ(g.scale_rewards, ScaleRewards::kGroup);
  EXPECT_DOUBLE_EQ(g.ref_model_mixup_alpha, 0.6);
  EXPECT_EQ(g.ref_model_sync_steps, 512);
  EXPECT_THAT(g.reward_funcs, ElementsAre("accuracy", "format", "tag_count"));
  EXPECT_TRUE(g.scale_log_probs_by_temperature);
  EXPECT_FALSE(g.dataset_prompt_column);
  EXPECT_FALSE(g.system_prompt);
}

TEST(Loader, CompatFeb25SetsTheDefaultsOfThatTime) {
  const GrpoConfig g = grpo({"--compat", "feb25"});
  EXPECT_DOUBLE_EQ(g.temperature, 0.9);
  EXPECT_DOUBLE_EQ(g.beta, 0.04);
  EXPECT_EQ(g.loss_type, LossType::kGrpo);
  EXPECT_FALSE(g.scale_log_probs_by_temperature);
  EXPECT_THAT(g.reward_funcs, ElementsAre("accuracy", "format"));
  EXPECT_EQ(*g.dataset_prompt_column, "problem");
  EXPECT_THAT(*g.system_prompt, StartsWith("A conversation between User and Assistant."));
  EXPECT_EQ(g.row("temperature")->origin, "compat feb25");
  EXPECT_DOUBLE_EQ(grpo({"--temperature", "0.7", "--compat=feb25"}).temperature, 0.7);

  const SftConfig s = sft({"--compat", "feb25"});
  EXPECT_EQ(s.packing_strategy, PackingStrategy::kWrapped);
  EXPECT_EQ(s.packing_attention, PackingAttention::kCausal);
}

TEST(Loader, FlagsWinOverTheRecipeAndEveryValueKnowsItsOrigin) {
  const test::TemporaryFolder folder;
  const std::string recipe =
      folder.write("r.yaml", "model_name_or_path: m\ndataset_name: d\noutput_dir: o\n\nlearning_rate: 1.0e-05\nmax_steps: 7\n");
  const SftConfig config = load_sft(Arguments{"--max_steps", "8", "--config=" + recipe, "--max-steps=9"}, test_environment());
  EXPECT_DOUBLE_EQ(config.learning_rate, 1e-5);
  EXPECT_EQ(config.max_steps, 9);
  EXPECT_EQ(config.row("learning_rate")->origin, recipe + ":5");
  EXPECT_EQ(config.row("max_steps")->origin, "flag");
  EXPECT_EQ(config.row("weight_decay")->origin, "default");
  EXPECT_TRUE(config.given("learning_rate"));
  EXPECT_FALSE(config.given("weight_decay"));
  EXPECT_EQ(config.place_of("learning_rate"), recipe + ":5: 'learning_rate'");
  EXPECT_EQ(config.place_of("max_steps"), "--max_steps");
  const std::string table = print_effective_configuration(config);
  EXPECT_THAT(table, HasSubstr(recipe + ":5"));
  EXPECT_THAT(table, HasSubstr("packing_attention"));
}

TEST(Loader, TheReadmesCommandWorksFromFlagsAlone) {
  const SftConfig config = load_sft(Arguments{"--model_name_or_path",
                                              "Qwen/Qwen2.5-1.5B-Instruct",
                                              "--dataset_name",
                                              "HuggingFaceH4/Bespoke-Stratos-17k",
                                              "--learning_rate",
                                              "2.0e-5",
                                              "--num_train_epochs",
                                              "1",
                                              "--packing",
                                              "--max_seq_length",
                                              "4096",
                                              "--per_device_train_batch_size",
                                              "2",
                                              "--gradient_accumulation_steps",
                                              "8",
                                              "--gradient_checkpointing",
                                              "--bf16",
                                              "--output_dir",
                                              "data/Qwen2.5-1.5B-Open-R1-Distill",
                                              "--accelerate_config",
                                              "recipes/accelerate_configs/zero3.yaml"},
                                    test_environment(8));
  EXPECT_TRUE(config.packing && config.gradient_checkpointing && config.bf16);
  EXPECT_EQ(config.max_length, 4096);
  EXPECT_EQ(config.accelerate.sharding_strategy, ShardingStrategy::kZero3);
  EXPECT_THAT(config.notices, ElementsAre("--max_seq_length: the key is now max_length"));
}

TEST(Loader, MistakesInARecipeNameFileLineAndNearestKey) {
  const test::TemporaryFolder folder;
  auto error = [&](const std::string& text) {
    const std::string path = folder.write("r.yaml", "model_name_or_path: m\ndataset_name: d\noutput_dir: o\n" + text);
    return error_of([&] { load_sft(Arguments{"--config", path}, test_environment()); }).substr(path.size());
  };
  EXPECT_EQ(error("gradient_acumulation_steps: 8\n"),
            ":4: unknown key 'gradient_acumulation_steps' — did you mean 'gradient_accumulation_steps'?");
  EXPECT_EQ(error("learning_rate: fast\n"), ":4: 'learning_rate': expected a number >= 0, found 'fast'");
  EXPECT_EQ(error("packing: perhaps\n"), ":4: 'packing': expected true or false, found 'perhaps'");
  EXPECT_EQ(error("max_steps: [1, 2]\n"), ":4: 'max_steps': expected a whole number >= -1, found a list");
  EXPECT_EQ(error("gradient_accumulation_steps:\n"), ":4: 'gradient_accumulation_steps': expected a whole number >= 1, found nothing");
  EXPECT_EQ(error("adam_beta2: 1.0\n"), ":4: 'adam_beta2': expected a number >= 0 and < 1, found '1.0'");
  EXPECT_EQ(
      error("lr_scheduler_type: cosin\n"),
      ":4: 'lr_scheduler_type': expected one of linear, cosine, cosine_with_min_lr, constant, constant_with_warmup; found 'cosin' — did "
      "you mean 'cosine'?");
  EXPECT_EQ(error("env: 3\n"), ":4: 'env': expected a map (in YAML), or JSON text such as '{\"min_lr_rate\": 0.1}', found '3'");
  EXPECT_EQ(error("config: other.yaml\n"), ":4: 'config' cannot stand in a recipe; write its keys here");
  EXPECT_EQ(error("output_dir: p\n"), ":4: duplicate key 'output_dir', first given in line 3; remove one");
  EXPECT_EQ(error("save_steps: 2.5\n"), ":4: 'save_steps': expected a whole number of steps, or a share of all steps below 1; found 2.5");
}

TEST(Loader, MistakesOnTheCommandLineNameTheFlag) {
  EXPECT_EQ(sft_error({"--learning-rat", "1"}), "unknown flag '--learning_rat' — did you mean '--learning_rate'?");
  EXPECT_EQ(sft_error({"--max_steps", "x"}), "--max_steps: expected a whole number >= -1, found 'x'");
  EXPECT_EQ(sft_error({"stray"}), "unexpected argument 'stray'; flags begin with '--'");
  EXPECT_EQ(sft_error({"--config", "nowhere.yaml"}), "nowhere.yaml: expected a YAML file, found none there");
  EXPECT_THAT(error_of([] { load_sft(Arguments{}, test_environment()); }), StartsWith("missing: --model_name_or_path, --output_dir"));
  EXPECT_THAT(error_of([] {
                load_sft(Arguments{"--model_name_or_path=m", "--output_dir=o"}, test_environment());
              }),
              StartsWith("missing: --dataset_name"));
}

TEST(Loader, UnsupportedKeysNameTheNearestWay) {
  for (const char* flag : {"--use_peft", "--load_in_4bit", "--load_in_8bit", "--fp16", "--load_best_model_at_end", "--group_by_length"}) {
    EXPECT_THAT(sft_error({flag}), HasSubstr("is not supported: ")) << flag;
    EXPECT_THAT(sft_error({flag, "false"}), "no error") << flag;
  }
  EXPECT_THAT(sft_error({"--optim", "paged_adamw_8bit"}), HasSubstr("'paged_adamw_8bit' is not supported: use adamw_torch"));
  EXPECT_THAT(sft_error({"--fsdp", "full_shard"}), HasSubstr("--accelerate_config zero3"));
  EXPECT_THAT(sft_error({"--deepspeed", "ds.json"}), HasSubstr("ZeRO stage"));
  EXPECT_THAT(sft_error({"--hub_token", "secret"}), HasSubstr("HF_TOKEN"));
  EXPECT_THAT(sft_error({"--hub_token", "secret"}), Not(HasSubstr("secret;")));
  EXPECT_THAT(grpo_error({"--reward_funcs", "accuracy", "code"}),
              HasSubstr("--reward_funcs: 'code' is not supported: code is not executed here"));
  EXPECT_THAT(grpo_error({"--vllm_guided_decoding_regex", "x"}), HasSubstr("is not supported"));
}

TEST(Loader, KeysOfThePythonStackAreAcceptedWithOneNoticeEach) {
  const GrpoConfig config = grpo({"--use_vllm", "--vllm_device", "auto", "--attn_implementation", "sdpa", "--report_to", "wandb",
                                  "tensorboard", "--wandb_project", "p", "--push_to_hub", "--vllm_device=cuda:7"});
  EXPECT_THAT(config.notices, Contains(HasSubstr("--num_processes=<world size - 1>")));
  EXPECT_THAT(config.notices, Contains("--vllm_device has no effect here: generation is built in, on every rank").Times(1));
  EXPECT_THAT(config.notices, Contains(HasSubstr("--attn_implementation")));
  EXPECT_EQ(*config.wandb_project, "p");
}

TEST(Loader, TheDeviceComesFromFlagRecipeOrR1Device) {
  Environment environment = test_environment();
  environment.variables["R1_DEVICE"] = "cpu";
  EXPECT_EQ(load_sft(training({}), environment).device, DeviceChoice::kCpu);
  EXPECT_EQ(load_sft(training({}), environment).row("device")->origin, "R1_DEVICE");
  EXPECT_EQ(load_sft(training({"--device", "cuda"}), environment).device, DeviceChoice::kCuda);
  environment.variables["R1_DEVICE"] = "tpu";
  EXPECT_THAT(error_of([&] { load_sft(training({}), environment); }), HasSubstr("R1_DEVICE: expected one of auto, cpu, cuda; found 'tpu'"));
}

TEST(Loader, EnvIsExportedAndItsSecretsAreHidden) {
  Environment environment = test_environment();
  environment.export_env = true;
  const SftConfig config =
      load_sft(training({"--env", R"({"R1_CONFIG_TEST_VALUE": "seven", "MY_TOKEN": "canary-123", "R1_DEVICE": "cpu"})"}), environment);
  EXPECT_STREQ(std::getenv("R1_CONFIG_TEST_VALUE"), "seven");
  EXPECT_EQ(config.device, DeviceChoice::kCpu);
  EXPECT_THAT(print_effective_configuration(config), Not(HasSubstr("canary-123")));
  for (const ConfigRow& row : config.effective_configuration) EXPECT_THAT(row.value, Not(HasSubstr("canary-123")));
  unsetenv("R1_CONFIG_TEST_VALUE");
  unsetenv("MY_TOKEN");
  unsetenv("R1_DEVICE");
}

TEST(Loader, PlanTakesALayoutOfItsOwn) {
  const SftConfig config = sft({"--plan", "--nodes", "2", "--ntasks-per-node", "8", "--device-memory", "80GB"});
  EXPECT_EQ(config.plan, PlanMode::kSample);
  EXPECT_EQ(config.world_size, 16);
  EXPECT_EQ(config.device_memory->bytes, 80'000'000'000);
  EXPECT_EQ(sft({"--plan", "full"}).plan, PlanMode::kFull);
  EXPECT_EQ(sft({"--plan", "--packing"}).plan, PlanMode::kSample);
  EXPECT_EQ(sft({"--plan=false"}).plan, PlanMode::kOff);
  EXPECT_EQ(sft({"--plan", "--device_memory", "1.5GiB"}).device_memory->bytes, 1'610'612'736);
  EXPECT_THAT(sft_error({"--device_memory", "80 apples"}), HasSubstr("expected a size such as 80GB"));
  EXPECT_THAT(sft({"--nodes", "2"}, 3).notices, Contains(HasSubstr("no effect without --plan")));
  EXPECT_EQ(sft({"--nodes", "2"}, 3).world_size, 3);
}

TEST(Loader, TheLogLevelAndResumeWordsAreUnderstood) {
  EXPECT_EQ(*sft({"--resume_from_checkpoint", "latest"}).resume_from_checkpoint, "latest");
  EXPECT_EQ(*sft({"--resume_from_checkpoint", "true"}).resume_from_checkpoint, "latest");
  EXPECT_EQ(*sft({"--resume_from_checkpoint", "o/checkpoint-7"}).resume_from_checkpoint, "o/checkpoint-7");
  EXPECT_EQ(sft({"--log_level", "passive"}).log_level, "passive");
  EXPECT_THAT(sft_error({"--log_level", "loud"}), HasSubstr("expected one of debug, info"));
}

TEST(Loader, GenerateTakesItsFlagsAndTheOriginals) {
  const GenerateConfig config = load_generate(Arguments{"--model",
                                                        "M",
                                                        "--hf-dataset",
                                                        "AI-MO/NuminaMath-TIR",
                                                        "--prompt-column",
                                                        "problem",
                                                        "--prompt-template",
                                                        "Put the answer within \\boxed{}:\n{{ instruction }}",
                                                        "--temperature",
                                                        "0.6",
                                                        "--max-new-tokens",
                                                        "8192",
                                                        "--num-generations",
                                                        "4",
                                                        "--hf-output-dataset",
                                                        "username/r1-dataset",
                                                        "--vllm-server-url",
                                                        "http://localhost:8000/v1",
                                                        "--private",
                                                        "--no-chat-template",
                                                        "--dtype",
                                                        "int8",
                                                        "--stop",
                                                        "a",
                                                        "b",
                                                        "--kv-cache-memory",
                                                        "2GiB",
                                                        "--max-samples",
                                                        "10"},
                                              test_environment());
  EXPECT_EQ(config.prompt_template, "Put the answer within \\boxed{}:\n{{ instruction }}");
  EXPECT_DOUBLE_EQ(*config.temperature, 0.6);
  EXPECT_FALSE(config.top_p);
  EXPECT_TRUE(config.chat_template_off);
  EXPECT_EQ(*config.dtype, GenerationDType::kInt8);
  EXPECT_THAT(config.stop, ElementsAre("a", "b"));
  EXPECT_EQ(config.kv_cache_memory->bytes, std::int64_t{2} << 30);
  EXPECT_EQ(config.notices.size(), 2u);
  EXPECT_THAT(error_of([] { load_generate(Arguments{"--model", "M"}, test_environment()); }), StartsWith("missing: --hf_dataset"));
}

TEST(Loader, BenchTakesTasksWithCommas) {
  const BenchConfig config =
      load_bench(Arguments{"--model", "M", "--tasks", "math_500,aime24,gpqa:diamond", "--output-dir", "o"}, test_environment());
  EXPECT_THAT(config.tasks, ElementsAre("math_500", "aime24", "gpqa:diamond"));
  EXPECT_EQ(config.max_new_tokens, 32768);
  EXPECT_EQ(config.profile, BenchProfile::kFeb25);
  EXPECT_THAT(load_bench(Arguments{"--compare", "a", "b", "--output-dir=o"}, test_environment()).compare, ElementsAre("a", "b"));
  EXPECT_EQ(error_of([] {
              load_bench(Arguments{"--model=M", "--output-dir=o"}, test_environment());
            }),
            "missing: --tasks, such as math_500,aime24");
  EXPECT_THAT(error_of([] {
                load_bench(Arguments{"--compare", "a", "--output-dir=o"}, test_environment());
              }),
              HasSubstr("expected two results"));
}

TEST(Loader, HelpListsEveryFlagWithTypeDefaultAndALine) {
  for (const Program program : {Program::kTrainSft, Program::kTrainGrpo, Program::kGenerate, Program::kBench}) {
    const std::string help = *requested_information(program, Arguments{"--help"});
    EXPECT_THAT(help, StartsWith("usage: r1_"));
    std::istringstream lines(help);
    int flags = 0;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("  --") || line.starts_with("  --help") || line.starts_with("  --version")) continue;
      ++flags;
      const std::size_t close = line.find('>');
      ASSERT_NE(close, std::string::npos) << line;
      EXPECT_TRUE(line.find("; default ") < close || line.find("; required>") < close) << line;
      EXPECT_GT(line.size(), close + 10) << "no help text: " << line;
    }
    EXPECT_GT(flags, 20);
  }
  const std::string help = *requested_information(Program::kTrainGrpo, Arguments{"--max_steps", "3", "-h"});
  EXPECT_THAT(help, HasSubstr("--num_generations <int; default 8>"));
  EXPECT_THAT(help, HasSubstr("--loss_type <grpo|bnpo|dr_grpo; default bnpo>"));
  EXPECT_THAT(help, HasSubstr("--device <auto|cpu|cuda; default R1_DEVICE, else auto>"));
  EXPECT_THAT(*requested_information(Program::kTrain, Arguments{"--help"}), HasSubstr("r1_train grpo --help"));
  EXPECT_EQ(*requested_information(Program::kGenerate, Arguments{"--version"}), version_text("r1_generate"));
  EXPECT_THAT(version_text("r1_train"), ::testing::MatchesRegex("r1_train [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  EXPECT_FALSE(requested_information(Program::kTrain, Arguments{"sft", "--max_steps", "3"}));
}

template <typename Config>
void expect_complete_fields(FieldList (*fields_of)(Config&)) {
  Config config;
  const FieldList fields = fields_of(config);
  std::set<std::string> names;
  for (const Field& field : fields.fields()) {
    EXPECT_TRUE(names.insert(field.name).second) << "declared twice: " << field.name;
    EXPECT_FALSE(field.help.empty()) << field.name;
    EXPECT_FALSE(field.consumer.empty()) << field.name << ": nobody acts on it";
    EXPECT_EQ(field.name.find('-'), std::string::npos) << field.name;
  }
  for (const FieldList::SpecialKey& key : fields.special_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << "declared twice: " << key.name;
    EXPECT_TRUE(key.field_name.empty() || fields.find(key.field_name) != nullptr) << key.name;
    EXPECT_TRUE(!key.text.empty() || !key.field_name.empty()) << key.name;
  }
}

TEST(Loader, EveryFieldHasHelpAndAConsumerAndOneName) {
  expect_complete_fields<SftConfig>(sft_fields);
  expect_complete_fields<GrpoConfig>(grpo_fields);
  expect_complete_fields<GenerateConfig>(generate_fields);
  expect_complete_fields<BenchConfig>(bench_fields);
}

// What a recipe file does, told by its folder: loads with trainer `task`, or the error.
std::string outcome(const std::string& path, const std::string& task) {
  return error_of([&] {
    if (task == "sft") load_sft(Arguments{"--config", path}, test_environment(8));
    else load_grpo(Arguments{"--config", path}, test_environment(8));
  });
}

TEST(Recipes, OursLoadWithoutANotice) {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(test::source_folder() + "/recipes")) {
    const std::string path = entry.path().string(), task = entry.path().parent_path().filename().string();
    if (entry.path().extension() != ".yaml" || (task != "sft" && task != "grpo")) continue;  // pipeline.yaml is slurm/pipeline.sh's
    ++count;
    ASSERT_EQ(outcome(path, task), "no error") << path;
    const Arguments arguments = {"--config", path};
    const auto notices =
        task == "sft" ? load_sft(arguments, test_environment(8)).notices : load_grpo(arguments, test_environment(7)).notices;
    EXPECT_THAT(notices, IsEmpty()) << path;
  }
  EXPECT_GE(count, 7);
}

TEST(Recipes, OpenR1sFilesLoadOrSayWhatIsNotSupported) {
  const std::string folder = test::source_folder() + "/tests/config/recipes/";
  for (const char* name : {"feb25_sft_demo", "head_sft_openr1_distill", "head_sft_olympiccoder_7b"}) {
    EXPECT_EQ(outcome(folder + name + ".yaml", "sft"), "no error") << name;
  }
  for (const char* name :
       {"feb25_grpo_demo", "feb25_grpo_distill_7b", "feb25_grpo_simple_rl", "head_grpo_demo", "head_grpo_distill_1_5b"}) {
    EXPECT_EQ(outcome(folder + name + ".yaml", "grpo"), "no error") << name;
  }
  EXPECT_THAT(outcome(folder + "head_sft_olympiccoder_32b.yaml", "sft"), HasSubstr("'paged_adamw_8bit' is not supported"));
  for (const char* name : {"head_grpo_demo_code", "head_grpo_codeforces"}) {
    EXPECT_THAT(outcome(folder + name + ".yaml", "grpo"), HasSubstr("code is not executed here")) << name;
  }
}

TEST(Recipes, TheFebruaryFilesMeanTheSameAsOurs) {
  const std::string folder = test::source_folder();
  const SftConfig theirs = load_sft(Arguments{"--config", folder + "/tests/config/recipes/feb25_sft_demo.yaml"}, test_environment(8));
  const SftConfig ours = load_sft(Arguments{"--config", "recipes/Qwen2.5-1.5B-Instruct/sft/config_demo.yaml"}, test_environment(8));
  EXPECT_EQ(theirs.max_length, 4096);
  const std::set<std::string> differs = {"config", "save_steps", "save_strategy", "save_total_limit"};
  for (const ConfigRow& row : theirs.effective_configuration) {
    if (differs.contains(row.key)) continue;
    EXPECT_EQ(row.value, ours.row(row.key)->value) << row.key;
  }

  const GrpoConfig theirs_grpo =
      load_grpo(Arguments{"--compat", "feb25", "--config", folder + "/tests/config/recipes/feb25_grpo_demo.yaml"}, test_environment(8));
  EXPECT_THAT(theirs_grpo.notices, Contains(HasSubstr("'num_processes' has no effect in a recipe")));
  EXPECT_THAT(theirs_grpo.notices, Contains(HasSubstr("= 2048 completions per step; groups of 7 use 2044 of them, 4 are not generated")));
  EXPECT_EQ(theirs_grpo.num_trainers, 8);
  EXPECT_DOUBLE_EQ(theirs_grpo.temperature, 0.9);
}

}  // namespace
}  // namespace r1::config

// The programs on machines without a module, a driver or a device.
#if defined(R1_HAS_PROGRAMS)
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/apps/sft_run.h"

namespace r1 {
namespace {

using test::ProgramResult;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kModule = R1_BIN_DIR "/libr1_cuda.so";

/// r1_generate with names that do not exist: a device that cannot be used is told before them.
ProgramResult generate(const std::vector<std::string>& more, std::map<std::string, std::string> env) {
  std::vector<std::string> arguments{"--model", "no/such_model", "--hf-dataset", "no/such_data", "--hf-output-dataset", "/nonexistent/out"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  for (const char* name : {"R1_DEVICE", "R1_CUDA_MODULE", "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE", "CUDA_VISIBLE_DEVICES"})
    env.try_emplace(name, "");
  return test::run_program(R1_BIN_DIR "/r1_generate", arguments, "", env);
}

bool has_gpu() { return std::filesystem::exists("/dev/nvidia0"); }

TEST(Programs, SayThatTheCudaModuleIsMissing) {
  const ProgramResult result = generate({"--device", "cuda"}, {{"R1_CUDA_MODULE", "/nonexistent/libr1_cuda.so"}});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("--device cuda was asked for, but CUDA cannot be used"));
  EXPECT_THAT(result.err, HasSubstr("/nonexistent/libr1_cuda.so"));
  EXPECT_THAT(result.err, HasSubstr("--device cpu"));
}

TEST(Programs, RefuseAModuleThatIsNotTheirs) {
  const ProgramResult result = generate({"--device", "cuda"}, {{"R1_CUDA_MODULE", "libm.so.6"}});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("libm.so.6 belongs to another build"));
}

TEST(Programs, SayWhyAModuleCannotBeOpened) {
  const test::TemporaryFolder folder;
  const ProgramResult result = generate({"--device", "cuda"}, {{"R1_CUDA_MODULE", folder.write("libr1_cuda.so", "no library")}});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr(folder.file("libr1_cuda.so")));
  EXPECT_THAT(result.err, HasSubstr("--device cpu"));
}

TEST(Programs, SayThatThereIsNoDriver) {
  if (!std::filesystem::exists(kModule)) GTEST_SKIP() << "built without the CUDA module";
  if (has_gpu()) GTEST_SKIP() << "this machine has a GPU";
  const ProgramResult result = generate({"--device", "cuda"}, {});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("no NVIDIA driver"));
}

TEST(Programs, DoNotLeaveAGivenGpuIdle) {
  if (has_gpu()) GTEST_SKIP() << "this machine has a GPU";
  for (const char* name : {"SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE", "CUDA_VISIBLE_DEVICES"}) {
    const ProgramResult result = generate({}, {{name, "3"}});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(std::string("a GPU was given to this process (") + name + "=3)"));
    EXPECT_THAT(result.err, HasSubstr("R1_DEVICE=cpu"));
  }
}

TEST(Programs, RunOnTheCpuWhenItIsNamedWhateverTheGpu) {
  for (const auto& [arguments, env] : std::vector<std::pair<std::vector<std::string>, std::map<std::string, std::string>>>{
           {{"--device", "cpu"}, {{"CUDA_VISIBLE_DEVICES", "0"}}},
           {{}, {{"CUDA_VISIBLE_DEVICES", "0"}, {"R1_DEVICE", "cpu"}, {"R1_CUDA_MODULE", "/nonexistent/libr1_cuda.so"}}}}) {
    const ProgramResult result = generate(arguments, env);
    EXPECT_THAT(result.err, HasSubstr("such_model")) << "it went on to the model";
    EXPECT_THAT(result.err, Not(HasSubstr("CUDA")));
  }
}

TEST(Programs, TakeNoGpuForGivenWhereSlurmGaveNone) {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"SLURM_GPUS_ON_NODE", "0"}, {"CUDA_VISIBLE_DEVICES", "NoDevFiles"}, {"CUDA_VISIBLE_DEVICES", "-1"}}) {
    const ProgramResult result = generate({}, {{name, value}, {"R1_CUDA_MODULE", "/nonexistent/libr1_cuda.so"}});
    EXPECT_THAT(result.err, HasSubstr("such_model")) << name << "=" << value << ": it went on to the model";
  }
}

TEST(Programs, NeedNoCudaLibrary) {
  std::vector<std::string> files{R1_BIN_DIR "/r1_train", R1_BIN_DIR "/r1_generate", R1_BIN_DIR "/r1_inspect"};
  if (std::filesystem::exists(kModule)) files.push_back(kModule);  // what it needs it opens itself
  for (const std::string& file : files) {
    const ProgramResult result = test::run_program("/usr/bin/env", {"ldd", file});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    for (const char* library : {"libcuda", "libcudart", "libcublas", "libcudnn", "libnccl"})
      EXPECT_THAT(result.out, Not(HasSubstr(library)));
  }
}

/// The same run on the CPU and on the stand-in, a device whose tensors the host cannot read and whose ops are the CPU's.
class OnTheStandIn : public test::SftRun {
 protected:
  ProgramResult run(const std::string& program, std::vector<std::string> arguments, const std::string& device, int num_ranks = 1) const {
    arguments.insert(arguments.begin(), {R1_BIN_DIR "/" + program});
    arguments.insert(arguments.end(), {"--device", device, "--num_threads", "1"});
    if (num_ranks > 1) arguments.insert(arguments.begin(), {"mpirun", "--oversubscribe", "-n", std::to_string(num_ranks)});
    return test::run_program("/usr/bin/env", arguments, "",
                             {{"R1_CUDA_MODULE", R1_STAND_IN},
                              {"R1_CACHE", folder_.file("cache")},
                              {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                              {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
  }
  std::string folder(const std::string& device) const { return folder_.file("out_" + device); }
  std::vector<std::string> training(const std::string& device, std::vector<std::string> more) const {
    std::vector<std::string> arguments{"--model_name_or_path", model(),         "--output_dir",      folder(device),    "--dataset_name",
                                       "builtin/chain",        "--max_steps=2", "--logging_steps=1", "--learning_rate", "1e-3"};
    more.insert(more.end(), arguments.begin(), arguments.end());
    return more;
  }
  void expect_same(const std::string& file) const {
    EXPECT_EQ(read_file(folder("cpu") + "/" + file), read_file(folder("cuda") + "/" + file)) << file;
    EXPECT_FALSE(read_file(folder("cpu") + "/" + file).empty());
  }
};

/// GPUs that Slurm gave and that cannot be used: those of the test cluster are files without a driver.
class OnFakeGpus : public test::SftRun {
 protected:
  ProgramResult train(std::map<std::string, std::string> env, int num_ranks = 1) const {
    std::vector<std::string> arguments{R1_BIN_DIR "/r1_train",
                                       "sft",
                                       "--model_name_or_path",
                                       model(),
                                       "--output_dir",
                                       out(),
                                       "--dataset_name",
                                       "builtin/chain",
                                       "--max_steps=2",
                                       "--save_strategy=no",
                                       "--per_device_train_batch_size=2",
                                       "--num_threads=1"};
    if (num_ranks > 1) arguments.insert(arguments.begin(), {"mpirun", "--oversubscribe", "-n", std::to_string(num_ranks)});
    for (const char* name : {"SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE"}) env.try_emplace(name, "0,1");
    env.try_emplace("R1_DEVICE", "");
    env["R1_CUDA_MODULE"] = "/nonexistent/libr1_cuda.so";
    env["R1_CACHE"] = folder_.file("cache");
    env["OMPI_ALLOW_RUN_AS_ROOT"] = env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
    return test::run_program("/usr/bin/env", arguments, "", env);
  }
};

TEST_F(OnFakeGpus, TrainingStopsBeforeAnythingIsWrittenAndSaysSoOnce) {
  for (const int num_ranks : {1, 2}) {
    const ProgramResult done = train({}, num_ranks);
    EXPECT_EQ(done.exit_code, 2) << done.err;
    const std::string problem = "a GPU was given to this process (SLURM_JOB_GPUS=0,1)";
    const std::size_t first = done.err.find(problem);
    ASSERT_NE(first, std::string::npos) << done.err;
    EXPECT_EQ(done.err.find(problem, first + 1), std::string::npos) << num_ranks << " ranks: " << done.err;
    EXPECT_FALSE(std::filesystem::exists(out()));
  }
}

TEST_F(OnFakeGpus, TrainingRunsOnTheCpuWhenThatIsNamed) {
  const ProgramResult done = train({{"R1_DEVICE", "cpu"}});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_TRUE(std::filesystem::exists(out() + "/model.safetensors"));
}

TEST_F(OnTheStandIn, SupervisedTrainingWithCheckpointsGivesTheBytesOfTheCpu) {
  for (const std::string device : {"cpu", "cuda"}) {
    const ProgramResult done =
        run("r1_train", training(device, {"sft", "--per_device_train_batch_size=2", "--save_strategy=steps", "--save_steps=1"}), device);
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_EQ(done.err.find("device: stand-in (CUDA device 0)") != std::string::npos, device == "cuda") << done.err;
  }
  expect_same("model.safetensors");
}

TEST_F(OnTheStandIn, TwoRanksShareTheirShardsThroughHostMemory) {
  for (const std::string device : {"cpu", "cuda"}) {
    const ProgramResult done = run("r1_train",
                                   training(device, {"sft", "--accelerate_config", test::source_folder() + "/accelerate_configs/zero3.yaml",
                                                     "--per_device_train_batch_size=2", "--save_strategy=no", "--bf16=false"}),
                                   device, 2);
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_EQ(done.err.find("pass through host memory") != std::string::npos, device == "cuda") << done.err;
  }
  expect_same("model.safetensors");
}

TEST_F(OnTheStandIn, RewardedTrainingGivesTheBytesOfTheCpu) {
  for (const std::string device : {"cpu", "cuda"}) {
    const ProgramResult done =
        run("r1_train",
            training(device, {"grpo", "--dataset_prompt_column=prompt", "--reward_funcs=repetition_penalty", "--repetition_n_grams=1",
                              "--repetition_max_penalty=-1", "--save_strategy=no", "--per_device_train_batch_size=8", "--num_generations=4",
                              "--max_completion_length=12"}),
            device);
    ASSERT_EQ(done.exit_code, 0) << done.err;
  }
  expect_same("model.safetensors");
}

TEST_F(OnTheStandIn, GenerationGivesTheBytesOfTheCpu) {
  for (const std::string device : {"cpu", "cuda"}) {
    const ProgramResult done = run("r1_generate",
                                   {"--model",
                                    model(),
                                    "--hf-dataset",
                                    "builtin/chain",
                                    "--prompt-column",
                                    "prompt",
                                    "--no-chat-template",
                                    "--temperature",
                                    "0.8",
                                    "--max-new-tokens",
                                    "12",
                                    "--num-generations",
                                    "2",
                                    "--max-samples",
                                    "6",
                                    "--hf-output-dataset",
                                    folder(device),
                                    "--output-format",
                                    "jsonl",
                                    "--seed",
                                    "3",
                                    "--dtype",
                                    "float32"},
                                   device);
    ASSERT_EQ(done.exit_code, 0) << done.err;
  }
  expect_same("part-00000.jsonl");
}

}  // namespace
}  // namespace r1
#endif

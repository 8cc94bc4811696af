// The programs on machines without a module, a driver or a device.
#if defined(R1_HAS_PROGRAMS)
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/support/run_program.h"

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

}  // namespace
}  // namespace r1
#endif

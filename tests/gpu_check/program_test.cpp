// gpu_check itself: without a GPU, and on the stand-in of tests/cuda (a device whose ops are the CPU's).
#include <gmock/gmock.h>

#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"

namespace r1 {
namespace {

using test::ProgramResult;
using ::testing::HasSubstr;
using ::testing::Not;

class GpuCheck : public ::testing::Test {
 protected:
  ProgramResult run(std::vector<std::string> arguments, std::map<std::string, std::string> env = {}) const {
    arguments.insert(arguments.end(), {"--output", folder_.file("out"), "--root", test::source_folder()});
    return test::run_program(R1_BIN_DIR "/gpu_check", arguments, "", env);
  }
  Json report() const { return read_json_file(folder_.file("out/gpu_check.json")); }
  /// The first object of a section with this name.
  Json line(const std::string& section, const std::string& name) const {
    const Json whole = report();
    for (const Json& one : whole.at(section)) {
      if (one.at("name") == name) return one;
    }
    return nullptr;
  }
  test::TemporaryFolder folder_;
};

constexpr const char* kParity = "parity with the CPU backend, and the same bits twice";
const std::map<std::string, std::string> kOnTheStandIn = {{"R1_CUDA_MODULE", R1_STAND_IN}};

TEST_F(GpuCheck, ProvesNothingWithoutADeviceAndNamesWhatItFound) {
  if (std::filesystem::exists("/dev/nvidia0")) GTEST_SKIP() << "this machine has a GPU";
  const ProgramResult done = run({}, {{"R1_CUDA_MODULE", ""}});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("no device: nothing proven"));
  EXPECT_THAT(done.out, HasSubstr("libr1_cuda.so"));
  for (const char* library : {"CUDA driver", "CUDA runtime", "cuBLASLt", "cuDNN", "NCCL"}) {
    EXPECT_FALSE(line("libraries", library).is_null()) << library;
  }
  EXPECT_EQ(report()["has_device"], false);
  EXPECT_FALSE(report().contains(kParity)) << "nothing may look as if it had been checked";
}

TEST_F(GpuCheck, SaysThatTheModuleIsMissing) {
  const ProgramResult done = run({}, {{"R1_CUDA_MODULE", "/nonexistent/libr1_cuda.so"}});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(line("libraries", "libr1_cuda.so")["outcome"], "not run");
  EXPECT_THAT(done.out, HasSubstr("/nonexistent/libr1_cuda.so"));
  EXPECT_THAT(done.out, HasSubstr("no device: nothing proven"));
}

TEST_F(GpuCheck, PassesADeviceWhoseOpsAreRight) {
  const ProgramResult done = run({"--dtypes", "float32", "--only", "parity"}, kOnTheStandIn);
  EXPECT_EQ(done.exit_code, 0) << done.out << done.err;
  EXPECT_EQ(line(kParity, "swiglu float32")["outcome"], "passed");
  EXPECT_GT(line(kParity, "swiglu float32")["cases"], 3);
  EXPECT_EQ(line(kParity, "linear_int8 float32")["outcome"], "not run");
  EXPECT_EQ(report()["failed"], 0);
}

TEST_F(GpuCheck, FailsWithTheNameOfAWrongKernel) {
  auto env = kOnTheStandIn;
  env["R1_STAND_IN_WRONG"] = "swiglu";
  const ProgramResult done = run({"--dtypes", "float32", "--only", "parity", "--ops", "swiglu"}, env);
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_THAT(done.out, HasSubstr("FAILED"));
  EXPECT_EQ(line(kParity, "swiglu float32")["outcome"], "failed");
  EXPECT_EQ(line(kParity, "swiglu_backward float32")["outcome"], "failed") << "they share their cases";
  EXPECT_THAT(line(kParity, "our own kernels")["text"].get<std::string>(), HasSubstr("swiglu (float32)"));
}

TEST_F(GpuCheck, FailsWhenOneOfOurKernelsDoesNotRun) {
  auto env = kOnTheStandIn;
  env["R1_STAND_IN_WRONG"] = "swiglu without bf16";
  const ProgramResult done = run({"--dtypes", "bfloat16", "--only", "parity", "--ops", "swiglu"}, env);
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_THAT(line(kParity, "our own kernels")["text"].get<std::string>(), HasSubstr("swiglu (bfloat16)"));
}

TEST_F(GpuCheck, PassesNothingThatNeedsAMissingLibrary) {
  auto env = kOnTheStandIn;
  env["R1_STAND_IN_LACKS"] = "cuBLASLt";
  const ProgramResult done = run({"--dtypes", "float32", "--only", "parity,programs"}, env);
  EXPECT_EQ(done.exit_code, 0) << done.out << done.err;  // our own kernels need none
  for (const char* op : {"linear float32", "linear_cross_entropy float32", "selected_log_probs float32"}) {
    EXPECT_EQ(line(kParity, op)["outcome"], "not run") << op;
    EXPECT_EQ(line(kParity, op)["text"], "no libcublasLt") << op;
  }
  EXPECT_EQ(line(kParity, "rms_norm float32")["outcome"], "passed");
  EXPECT_EQ(line("programs and their speed", "all of them")["text"], "no libcublasLt");
}

TEST_F(GpuCheck, ProvesAttentionOfOurOwnAndOfCudnnApart) {
  const std::vector<std::string> arguments = {"--dtypes", "bfloat16", "--only", "parity", "--ops", "attention"};
  EXPECT_EQ(run(arguments, kOnTheStandIn).exit_code, 0);
  EXPECT_EQ(line(kParity, "attention (cuDNN) bfloat16")["outcome"], "not run");
  EXPECT_THAT(line(kParity, "attention (cuDNN) bfloat16")["text"].get<std::string>(), HasSubstr("built without cuDNN"));

  auto env = kOnTheStandIn;
  env["R1_STAND_IN_CUDNN"] = "right";
  EXPECT_EQ(run(arguments, env).exit_code, 0);
  EXPECT_EQ(line(kParity, "attention (cuDNN) bfloat16")["outcome"], "passed");
  EXPECT_LT(line(kParity, "attention (cuDNN) bfloat16")["cases"], line(kParity, "attention bfloat16")["cases"]) << "it does not serve all";

  env["R1_STAND_IN_CUDNN"] = "wrong";
  EXPECT_EQ(run(arguments, env).exit_code, 1);
  EXPECT_EQ(line(kParity, "attention bfloat16")["outcome"], "passed");
  EXPECT_EQ(line(kParity, "attention_backward (cuDNN) bfloat16")["outcome"], "failed");

  env["R1_STAND_IN_LACKS"] = "cuDNN";
  EXPECT_EQ(run(arguments, env).exit_code, 0);
  EXPECT_EQ(line(kParity, "attention_backward (cuDNN) bfloat16")["text"], "no libcudnn");
}

TEST_F(GpuCheck, RunsTheProgramsOnTheDeviceBesideTheCpu) {
  const ProgramResult done = run({"--only", "programs"}, kOnTheStandIn);
  EXPECT_EQ(done.exit_code, 0) << done.out << done.err;
  const std::string programs = "programs on the device beside the CPU";
  for (const char* name :
       {"training in fp32: losses of four steps", "training in fp32: the same bytes twice",
        "two ranks on one GPU, ZeRO-3 in fp32 through host memory", "training in bf16: losses of four steps",
        "training in bf16: the same bytes twice", "two ranks on one GPU, ZeRO-3 in bf16 through host memory",
        "greedy generation: rows with the CPU's text", "greedy generation: rows with the text of decode steps that are not replayed",
        "--batch_invariant: rows that are generated alone have the text of those in a batch"}) {
    EXPECT_EQ(line(programs, name)["outcome"], "passed") << name;
  }
}

TEST_F(GpuCheck, FindsAWrongKernelInTheProgramsToo) {
  auto env = kOnTheStandIn;
  env["R1_STAND_IN_WRONG"] = "swiglu";
  const ProgramResult done = run({"--only", "programs", "--fixtures", "/nonexistent"}, env);
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_EQ(line("programs on the device beside the CPU", "training in fp32: losses of four steps")["outcome"], "failed");
  EXPECT_EQ(line("fixtures: forward and backward beside PyTorch", "fixtures")["outcome"], "not run");
}

TEST_F(GpuCheck, MeasuresOpsAndStepsOfAModel) {
  const ProgramResult done = run({"--only", "speed", "--dtypes", "float32", "--quick"}, kOnTheStandIn);
  EXPECT_EQ(done.exit_code, 0) << done.out << done.err;
  EXPECT_EQ(line("ceilings of this device", "copy")["outcome"], "measured");
  EXPECT_EQ(line("ceilings of this device", "matrix product, bfloat16, 64 x 64 x 64")["outcome"], "measured");
  EXPECT_EQ(line("ops of a training step and of a decode step", "swiglu, float32")["outcome"], "measured");
  const std::string steps = "steps of a model with 0.63 M parameters, random weights";
  for (const char* name : {"SFT step, sequences of 64", "decoding, bfloat16, batch 1", "decoding, bfloat16, batch 32",
                           "decoding, bfloat16, batch 256", "GRPO step, 8 completions of 12"}) {
    EXPECT_EQ(line(steps, name)["outcome"], "measured") << name;
  }
}

TEST_F(GpuCheck, RefusesUnknownOptions) {
  EXPECT_EQ(run({"--fast", "yes"}).exit_code, 2);
  EXPECT_EQ(run({"--dtypes", "int4"}).exit_code, 2);
}

}  // namespace
}  // namespace r1

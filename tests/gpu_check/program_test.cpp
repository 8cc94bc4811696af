// gpu_check itself: without a GPU, and on the stand-in of tests/cuda (a device whose ops are the CPU's).
#include <gmock/gmock.h>

#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"
#include "tools/gpu/child.h"

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

constexpr const char *kParity = "parity with the CPU backend, and the same bits twice",
                     *kPrograms = "programs on the device beside the CPU", *kSteps = "steps of a model with random weights",
                     *kOps = "ops of a training step and of a decode step", *kPytorch = "the same steps in PyTorch";
const std::map<std::string, std::string> kOnTheStandIn = {{"R1_CUDA_MODULE", R1_STAND_IN}};

std::map<std::string, std::string> on_the_stand_in(const std::map<std::string, std::string>& more) {
  auto env = kOnTheStandIn;
  env.insert(more.begin(), more.end());
  return env;
}

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
  EXPECT_EQ(line("libraries", "libr1_cuda.so")["outcome"], "not found");
  EXPECT_THAT(done.out, HasSubstr("/nonexistent/libr1_cuda.so"));
  EXPECT_THAT(done.out, HasSubstr("no device: nothing proven"));
}

TEST_F(GpuCheck, FailsWhereThereIsAGpuThatCannotBeUsed) {
  const ProgramResult done =
      run({}, {{"R1_CUDA_MODULE", "/nonexistent/libr1_cuda.so"}, {"R1_GPU_DEVICE_FILES", "/nonexistent:" + folder_.write("nvidia0", "")}});
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_THAT(done.out, Not(HasSubstr("no device: nothing proven")));
  EXPECT_THAT(done.out, HasSubstr("nvidia0 is there, but it cannot be used: /nonexistent/libr1_cuda.so"));
  EXPECT_EQ(report()["failed"], 1);
}

TEST_F(GpuCheck, PassesADeviceWhoseOpsAreRight) {
  const ProgramResult done = run({"--dtypes", "float32", "--only", "parity"}, kOnTheStandIn);
  EXPECT_EQ(done.exit_code, 0) << done.out << done.err;
  EXPECT_EQ(line(kParity, "swiglu float32")["outcome"], "passed");
  EXPECT_GT(line(kParity, "swiglu float32")["cases"], 3);
  EXPECT_EQ(line(kParity, "linear_int8 float32")["outcome"], "not run");
  EXPECT_EQ(report()["failed"], 0);
  EXPECT_EQ(line(kParity, "linear_fp8 float32")["outcome"], "passed");
  int passed = 0;
  const Json whole = report();
  for (const Json& one : whole[kParity]) passed += one["outcome"] == "passed";
  EXPECT_EQ(report()["totals"]["passed"], passed) << "libraries and devices are no checks";
  EXPECT_GT(report()["seconds"]["parity"], 0);
  EXPECT_EQ(report()["about"]["device"], "stand-in");
  EXPECT_THAT(report()["about"]["date"].get<std::string>(), HasSubstr("T"));
}

TEST_F(GpuCheck, LosesOnlyTheOpAtWhichTheProcessDies) {
  const ProgramResult done =
      run({"--dtypes", "float32", "--only", "parity", "--ops", "swiglu"}, on_the_stand_in({{"R1_GPU_CHECK_DIES_AT", "swiglu float32"}}));
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_EQ(line(kParity, "swiglu float32")["outcome"], "failed");
  EXPECT_THAT(line(kParity, "swiglu float32")["text"].get<std::string>(), HasSubstr("killed by signal 11"));
  EXPECT_EQ(line(kParity, "swiglu_backward float32")["outcome"], "passed");
  EXPECT_FALSE(std::filesystem::is_empty(folder_.file("out/logs")));
}

TEST_F(GpuCheck, LosesOnlyTheOpAtWhichTheProcessHangs) {
  const ProgramResult done = run({"--dtypes", "float32", "--only", "parity", "--ops", "swiglu"},
                                 on_the_stand_in({{"R1_GPU_CHECK_HANGS_AT", "swiglu float32"}, {"R1_GPU_CHECK_PATIENCE", "1"}}));
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_THAT(line(kParity, "swiglu float32")["text"].get<std::string>(), HasSubstr("it hung"));
  EXPECT_EQ(line(kParity, "swiglu_backward float32")["outcome"], "passed");
}

TEST_F(GpuCheck, GoesOnBehindAMeasurementThatDies) {
  const ProgramResult done =
      run({"--dtypes", "float32", "--only", "speed_ops", "--quick"}, on_the_stand_in({{"R1_GPU_CHECK_DIES_AT", "swiglu, float32"}}));
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_EQ(line(kOps, "swiglu, float32")["outcome"], "failed");
  EXPECT_EQ(line(kOps, "add_rms_norm, float32")["outcome"], "measured");
  EXPECT_EQ(line(kOps, "swiglu_backward, float32")["outcome"], "measured");
  EXPECT_THAT(line(kOps, "swiglu_backward, float32")["text"].get<std::string>(), Not(HasSubstr("- of copy"))) << "ceilings are kept";
}

TEST_F(GpuCheck, RunsNothingBehindItsTime) {
  const ProgramResult done = run({"--dtypes", "float32", "--only", "parity,programs,speed_ops", "--ops", "swiglu", "--seconds", "3"},
                                 on_the_stand_in({{"R1_GPU_CHECK_HANGS_AT", "linear_swiglu float32"}}));
  EXPECT_EQ(done.exit_code, 1) << "a kernel of ours did not run";
  EXPECT_EQ(line(kParity, "linear_swiglu float32")["outcome"], "not run");
  EXPECT_EQ(line(kParity, "linear_swiglu float32")["text"], "the time is up");
  EXPECT_EQ(line(kPrograms, "all of programs")["text"], "the time is up");
  EXPECT_EQ(line("ceilings of this device", "all of speed_ops")["outcome"], "not run");
  EXPECT_EQ(report()["totals"]["passed"], 0);
}

TEST_F(GpuCheck, FailsWithTheNameOfAWrongKernel) {
  auto env = kOnTheStandIn;
  env["R1_STAND_IN_WRONG"] = "swiglu";
  const ProgramResult done = run({"--dtypes", "float32", "--only", "parity", "--ops", "swiglu"}, env);
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_THAT(done.out, HasSubstr("FAILED"));
  EXPECT_EQ(line(kParity, "swiglu float32")["outcome"], "failed");
  EXPECT_EQ(line(kParity, "swiglu_backward float32")["outcome"], "failed") << "they share their cases";
  EXPECT_THAT(line(kParity, "our own kernels")["text"].get<std::string>(), HasSubstr("swiglu float32"));
}

TEST_F(GpuCheck, FailsWhenOneOfOurKernelsDoesNotRun) {
  auto env = kOnTheStandIn;
  env["R1_STAND_IN_WRONG"] = "swiglu without bf16";
  const ProgramResult done = run({"--dtypes", "bfloat16", "--only", "parity", "--ops", "swiglu"}, env);
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_THAT(line(kParity, "our own kernels")["text"].get<std::string>(), HasSubstr("swiglu bfloat16"));
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
  EXPECT_EQ(line(kPrograms, "all of programs")["text"], "no libcublasLt");
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
  for (const char* name :
       {"training in fp32: losses of four steps", "training in fp32: the same bytes twice",
        "two ranks on one GPU, ZeRO-3 in fp32 through host memory", "training in bf16: losses of four steps",
        "training in bf16: the same bytes twice", "two ranks on one GPU, ZeRO-3 in bf16 through host memory",
        "greedy generation: rows with the CPU's text", "greedy generation: rows with the text of decode steps that are not replayed",
        "--batch_invariant: rows that are generated alone have the text of those in a batch"}) {
    EXPECT_EQ(line(kPrograms, name)["outcome"], "passed") << name;
  }
}

TEST_F(GpuCheck, FindsAWrongKernelInTheProgramsToo) {
  auto env = kOnTheStandIn;
  env["R1_STAND_IN_WRONG"] = "swiglu";
  const ProgramResult done = run({"--only", "programs,fixtures", "--fixtures", "/nonexistent"}, env);
  EXPECT_EQ(done.exit_code, 1) << done.out;
  EXPECT_EQ(line(kPrograms, "training in fp32: losses of four steps")["outcome"], "failed");
  EXPECT_EQ(line("fixtures: forward and backward beside PyTorch", "fixtures")["outcome"], "not run");
}

TEST_F(GpuCheck, MeasuresOpsAndStepsOfAModelAndJoinsThemWithPytorchs) {
  const ProgramResult done = run({"--only", "speed_ops,speed_programs", "--dtypes", "float32", "--quick"}, kOnTheStandIn);
  EXPECT_EQ(line("ceilings of this device", "copy")["outcome"], "measured");
  EXPECT_EQ(line("ceilings of this device", "matrix product, bfloat16")["outcome"], "measured");
  for (const char* name : {"swiglu, float32", "attention (1 x 64), float32", "attention (2 x 32), float32", "rope (keys), float32"}) {
    EXPECT_EQ(line(kOps, name)["outcome"], "measured") << name;
  }
  for (const char* name :
       {"SFT step, sequences of 64, full recompute", "SFT step, sequences of 64, selective recompute",
        "SFT step, sequences of 64, no recompute", "decoding, bfloat16, batch 1", "decoding, bfloat16, batch 32",
        "decoding, bfloat16, batch 256", "decoding, bfloat16, batch 256, --batch_invariant", "GRPO step, 8 completions of 12"}) {
    EXPECT_EQ(line(kSteps, name)["outcome"], "measured") << name << "\n" << done.out;
  }
  EXPECT_EQ(line(kSteps, "decoding, bfloat16, batch 32")["decode_steps"], 7) << "the prefill is no part of it";
  EXPECT_THAT(line(kSteps, "SFT step, sequences of 64, no recompute")["text"].get<std::string>(), HasSubstr("attention: our own kernels"));
  EXPECT_GT(line(kSteps, "GRPO step, 8 completions of 12")["step_seconds"], 0);
  EXPECT_EQ(line("goals", "decoding, bfloat16, batch 1: >= 75 % of the copy")["outcome"], "not measured") << "--quick counts for none";
  EXPECT_FALSE(line(kSteps, "decoding, float8_e4m3fn, batch 1").is_null());

  // Another command joins its results with these.
  // A Python whose torch measures two things and then fails.
  const std::string python = folder_.write("python", R"(#!/bin/sh
[ "$1" = -c ] && exit 0
echo '{"versions": {"torch": "9.9"}}' >"$4"
echo '{"name": "SFT step, no recompute", "work": "training", "recompute": false, "batch": 2, "tokens_per_second": 100, "first_loss": 5.6}' >>"$4"
echo 'this is no JSON' >>"$4"
echo '{"name": "decoding", "work": "decoding", "batch": 1, "tokens_per_second": 10}' >>"$4"
echo '{"name": "decoding, batch 32", "work": "decoding", "batch": 32, "error": "out of memory"}' >>"$4"
echo 'it broke' >&2
exit 3
)");
  std::filesystem::permissions(python, std::filesystem::perms::owner_all);
  const ProgramResult joined = run({"--only", "pytorch", "--quick"}, on_the_stand_in({{"R1_PYTHON", python}}));
  EXPECT_EQ(joined.exit_code, 0) << joined.out << joined.err;
  EXPECT_EQ(line(kOps, "swiglu, float32")["outcome"], "measured") << "of the first command";
  EXPECT_GT(line(kPytorch, "PyTorch: SFT step, no recompute")["ours"], 0) << "of both";
  EXPECT_EQ(line(kPytorch, "PyTorch: decoding")["outcome"], "measured") << "what was measured before the failure is kept";
  EXPECT_EQ(line(kPytorch, "PyTorch: decoding, batch 32")["text"], "out of memory");
  EXPECT_THAT(line(kPytorch, "PyTorch: the rest")["text"].get<std::string>(), HasSubstr("it broke"));
  EXPECT_EQ(line(kPytorch, "the first loss of SFT beside PyTorch's")["outcome"], "passed");
  EXPECT_EQ(report()["about"]["pytorch"]["torch"], "9.9");
}

TEST_F(GpuCheck, MeasuresTheOtherJobsOfBenchGenerateWhenOneFails) {
  const std::string source = test::source_folder(), model = folder_.file("model");
  ASSERT_EQ(test::run_program(R1_BIN_DIR "/r1_inspect", {"init-model", "--config", source + "/recipes/tiny/config.json", "--tokenizer",
                                                         source + "/assets/chain", "--output", model})
                .exit_code,
            0);
  const std::string job = R"({"prompt_lengths": [8, 20], "new_tokens": [6, 6], "resident": 2, "kv_cache_gib": )";
  const ProgramResult done = test::run_program(R1_BIN_DIR "/bench_generate", {model, "1"}, job + "0}\nno job\n" + job + "0.03}\n");
  EXPECT_EQ(done.exit_code, 0) << done.err;
  const std::vector<Json> rows = gpu::json_lines(done.out);
  ASSERT_EQ(rows.size(), 3U) << done.out;
  EXPECT_TRUE(rows[0].contains("steps")) << "0: as much as it takes";
  EXPECT_TRUE(rows[1].contains("error"));
  // Both prompts fit into one step, which draws the first tokens; five more steps decode.
  EXPECT_EQ(rows[2]["steps"], 6);
  EXPECT_EQ(rows[2]["decode_steps"], 5);
  EXPECT_GT(rows[2]["decode_bytes_per_s"], 0);
  EXPECT_NEAR(rows[2]["decode_tokens_per_s"].get<double>() * rows[2]["decode_step_seconds"].get<double>(), 2, 1e-6);
}

TEST_F(GpuCheck, RefusesUnknownOptions) {
  EXPECT_EQ(run({"--fast", "yes"}).exit_code, 2);
  EXPECT_EQ(run({"--dtypes", "int4"}).exit_code, 2);
  EXPECT_EQ(run({"--seconds", "soon"}).exit_code, 2);
}

TEST_F(GpuCheck, RefusesToSelectNothingAndNamesWhatThereIs) {
  const ProgramResult part = run({"--only", "parity,sped"}), entry = run({"--ops", "swigloo"});
  EXPECT_EQ(part.exit_code, 2);
  EXPECT_THAT(part.err, HasSubstr("there is no part 'sped'"));
  EXPECT_THAT(part.err, HasSubstr("speed_programs"));
  EXPECT_EQ(entry.exit_code, 2);
  EXPECT_THAT(entry.err, HasSubstr("swiglu_backward bfloat16"));
}

}  // namespace
}  // namespace r1

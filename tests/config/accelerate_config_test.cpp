#include "config/accelerate_config.h"

#include "tests/config/load_support.h"

namespace r1::config {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ShardingStrategy strategy(const std::string& name) {
  const Arguments folders = {test::source_folder()};
  return read_accelerate_config(find_accelerate_config(name, folders)).sharding_strategy;
}

TEST(Accelerate, ANameAPathAndOpenR1sPathFindTheSameFile) {
  EXPECT_EQ(strategy("ddp"), ShardingStrategy::kReplicated);
  EXPECT_EQ(strategy("zero2"), ShardingStrategy::kZero2);
  for (const char* name : {"zero3", "zero3.yaml", "accelerate_configs/zero3.yaml", "recipes/accelerate_configs/zero3.yaml"}) {
    EXPECT_EQ(strategy(name), ShardingStrategy::kZero3) << name;
  }
  EXPECT_EQ(strategy(test::source_folder() + "/tests/config/recipes/accelerate/zero3.yaml"), ShardingStrategy::kZero3);
  EXPECT_THAT(error_of([] { strategy("zero4"); }), HasSubstr("names that come with the suite: ddp, zero2, zero3"));
  EXPECT_THAT(error_of([] { strategy("elsewhere/zero3.yaml"); }), HasSubstr("no such file"));
}

TEST(Accelerate, FsdpNamesTheNearestWay) {
  EXPECT_THAT(error_of([] { strategy("fsdp"); }), HasSubstr("use accelerate_configs/zero3.yaml"));
  const std::string file = test::source_folder() + "/tests/config/recipes/accelerate/fsdp.yaml";
  EXPECT_EQ(
      error_of([&] { strategy(file); }),
      file +
          ":3: 'distributed_type': 'FSDP' is not supported: use accelerate_configs/zero3.yaml, which shards parameters, gradients and "
          "optimizer state as FULL_SHARD does");
}

TEST(Accelerate, WhatIsNotSupportedIsNamed) {
  const test::TemporaryFolder folder;
  auto error = [&](const std::string& text) {
    const std::string path = folder.write("a.yaml", text);
    return error_of([&] { read_accelerate_config(path); });
  };
  EXPECT_THAT(error("distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 3\n  offload_param_device: cpu\n"),
              HasSubstr("a.yaml:4: 'offload_param_device' is not supported: optimizer state and parameters stay in device memory"));
  EXPECT_THAT(error("distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: ds.json\n"), HasSubstr("write zero_stage"));
  EXPECT_THAT(error("mixed_precision: fp16\n"), HasSubstr("'fp16' is not supported: use bf16"));
  EXPECT_THAT(error("distributed_typ: NO\n"), HasSubstr("a.yaml:1: unknown key 'distributed_typ' — did you mean 'distributed_type'?"));
  EXPECT_THAT(error("distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stages: 3\n"), HasSubstr("did you mean 'zero_stage'?"));
  EXPECT_THAT(error("distributed_type: MULTI_GPU\ndeepspeed_config:\n  zero_stage: 3\n"), HasSubstr("a.yaml:2: 'deepspeed_config' needs"));
  EXPECT_THAT(error("distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 4\n"), HasSubstr("expected a whole number from 0 to 3"));
  EXPECT_THAT(error(""), HasSubstr("found an empty file"));
}

TEST(Accelerate, TheFileDecidesWhatTheRecipeLeavesOpen) {
  const SftConfig config = sft({"--accelerate_config", "zero3"}, 2);
  EXPECT_TRUE(config.bf16);
  EXPECT_THAT(config.row("bf16")->origin, HasSubstr("accelerate_configs/zero3.yaml"));
  EXPECT_EQ(config.row("sharding_strategy")->value, "zero3");
  EXPECT_FALSE(sft({"--accelerate_config", "zero3", "--bf16=false"}, 2).bf16);
  EXPECT_THAT(config.notices, IsEmpty());
  EXPECT_THAT(sft({"--accelerate_config", "zero3"}, 1).notices,
              Contains("ZeRO-3 with one rank equals plain training: there is nobody to share with"));

  const test::TemporaryFolder folder;
  const std::string path = folder.write(
      "a.yaml",
      "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 1, gradient_accumulation_steps: 4, gradient_clipping: auto}\n");
  const SftConfig other = sft({"--accelerate_config", path}, 2);
  EXPECT_EQ(other.gradient_accumulation_steps, 4);
  EXPECT_DOUBLE_EQ(other.max_grad_norm, 1.0);
  EXPECT_THAT(other.notices, Contains(HasSubstr("ZeRO stage 1 runs as stage 2")));
  EXPECT_EQ(sft({"--accelerate_config", path, "--gradient_accumulation_steps", "2"}, 2).gradient_accumulation_steps, 2);
}

TEST(Accelerate, ItsNumProcessesIsComparedWithTheWorld) {
  const std::string file = test::source_folder() + "/tests/config/recipes/accelerate/zero3.yaml";
  EXPECT_THAT(sft({"--accelerate_config", file}, 4).notices,
              Contains(HasSubstr("'num_processes' is 8, the job has 4 ranks: the job counts")));
  EXPECT_THAT(sft({"--accelerate_config", file}, 8).notices, IsEmpty());
}

}  // namespace
}  // namespace r1::config

// What would make a job fit: the smallest change that does, and no smaller one.
#include "plan/advice.h"

#include <gmock/gmock.h>

#include "models/registry.h"

namespace r1::plan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kModel = R"({"model_type": "llama", "vocab_size": 997, "hidden_size": 256, "intermediate_size": 640,
  "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 1024})";

constexpr TrainingLayout kTwoNodes{/*rows=*/4, /*nodes=*/2, /*ranks_per_node=*/2, /*device_memory=*/0, /*process=*/0};

TrainingShape training() {
  TrainingShape shape;
  shape.model = models::parse_model_config(kModel, "test config");
  shape.store = {parallel::Sharding::kReplicated, parallel::OptimizerState::kAdamW, true};
  shape.num_ranks = 4;
  shape.num_threads = 1;
  shape.sequence_lengths = {512, 512, 512, 512};
  shape.micro_batches_per_rank = 2;
  return shape;
}

double needed(TrainingShape shape, nn::RecomputeGranularity recompute, parallel::Sharding sharding) {
  shape.recompute = recompute;
  shape.store.sharding = sharding;
  return plan_training(shape).needed();
}

std::optional<Advice> advice_for(const TrainingShape& shape, double device_memory) {
  TrainingLayout layout = kTwoNodes;
  layout.device_memory = device_memory;
  return smallest_change(shape, layout);
}

TEST(Advice, TakesRecomputeWhereThatIsEnough) {
  const TrainingShape shape = training();
  const double with_recompute = needed(shape, nn::RecomputeGranularity::kFull, parallel::Sharding::kReplicated);
  const auto advice = advice_for(shape, with_recompute);
  ASSERT_TRUE(advice);
  EXPECT_THAT(advice->change, AllOf(HasSubstr("--gradient_checkpointing"), Not(HasSubstr("zero")), Not(HasSubstr("nodes"))));
  EXPECT_EQ(advice->needed, with_recompute);
}

TEST(Advice, RecomputesNoMoreThanIsNeeded) {
  TrainingShape shape = training();
  const double selective = needed(shape, nn::RecomputeGranularity::kSelective, parallel::Sharding::kReplicated);
  ASSERT_LT(selective, needed(shape, nn::RecomputeGranularity::kNone, parallel::Sharding::kReplicated));
  const auto advice = advice_for(shape, selective);
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->change, "--gradient_checkpointing true --recompute_granularity selective (hardly more computing)");
  EXPECT_EQ(advice->needed, selective);
  shape.recompute = nn::RecomputeGranularity::kSelective;
  const auto more = advice_for(shape, selective - 1);
  ASSERT_TRUE(more);
  EXPECT_EQ(more->change, "--recompute_granularity full (a third more computing)");
}

TEST(Advice, AddsTheNextChangeWhereOneByteIsMissing) {
  const TrainingShape shape = training();
  const double with_recompute = needed(shape, nn::RecomputeGranularity::kFull, parallel::Sharding::kReplicated);
  const auto advice = advice_for(shape, with_recompute - 1);
  ASSERT_TRUE(advice);
  EXPECT_LT(advice->needed, with_recompute);
  EXPECT_THAT(advice->change, Not(HasSubstr("nodes")));
}

TEST(Advice, HalvesMicroBatchesOfEverySizeAndTheirLabels) {
  // GRPO's micro-batches: the others are as large as the largest; halving that one alone would help nothing.
  TrainingShape shape = training();
  shape.recompute = nn::RecomputeGranularity::kFull;
  shape.store.sharding = parallel::Sharding::kZero3;
  shape.labelled_tokens = 1024;
  shape.other_micro_batches = {{512, 512, 512, 500}, {512, 512}};
  TrainingShape half = shape;
  half.sequence_lengths = {512, 512};
  half.labelled_tokens = 512;
  half.other_micro_batches = {{512, 506}, {512}};
  half.micro_batches_per_rank = 4;
  const double enough = plan_training(half).needed();
  ASSERT_LT(enough, plan_training(shape).needed());
  const auto advice = advice_for(shape, enough);
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->change, "--per_device_train_batch_size 2 with --gradient_accumulation_steps 4 (as many rows a step)");
  EXPECT_EQ(advice->needed, enough);
}

TEST(Advice, PlansMicroBatchesThatAreLargerThanTheFirst) {
  // The tables of ids of every micro-batch are read, whatever its size.
  TrainingShape shape = training();
  shape.sequence_lengths = {16};
  shape.other_micro_batches = {std::vector<std::int64_t>(16, 1000)};
  EXPECT_GT(plan_training(shape).needed(), plan_training(training()).needed());
}

TEST(Advice, TakesFromTheRolloutsCacheBeforeItChangesTheTraining) {
  TrainingShape shape = training();
  shape.is_grpo = true;
  shape.recompute = nn::RecomputeGranularity::kFull;
  shape.store.sharding = parallel::Sharding::kZero3;
  shape.rollout = {.num_sequences = 64, .prompt_length = 64, .max_model_len = 512, .kv_cache_bytes = 0, .device_memory = 0};
  const MemoryPlan plan = plan_training(shape);
  const auto advice = advice_for(shape, plan.needed() - plan.kv_cache / 3);
  ASSERT_TRUE(advice);
  EXPECT_THAT(advice->change, ::testing::MatchesRegex("--kv_cache_memory [0-9]+MB"));
  shape.generates = false;
  const auto of_trainer = advice_for(shape, plan_training(shape).needed() - 1);
  ASSERT_TRUE(of_trainer);
  EXPECT_THAT(of_trainer->change, Not(HasSubstr("kv_cache"))) << "other ranks generate";
}

TEST(Advice, TakesMoreNodesLastAndGivesUpWhenNothingHelps) {
  const TrainingShape shape = training();
  TrainingShape least = shape;
  least.recompute = nn::RecomputeGranularity::kFull;
  least.store.sharding = parallel::Sharding::kZero3;
  least.sequence_lengths = {512};
  const auto advice = advice_for(shape, plan_training(least).needed() - 1);
  ASSERT_TRUE(advice);
  EXPECT_THAT(advice->change, HasSubstr("4 nodes"));
  EXPECT_FALSE(advice_for(shape, 1000)) << "no number of nodes makes a model fit into a kilobyte";
}

TEST(Advice, ForGenerationStoresTheWeightsInFewerBytesBeforeItTakesMoreRanks) {
  InferenceShape shape;
  shape.model = models::parse_model_config(kModel, "test config");
  shape.storage = parallel::WeightStorage::kF32;
  shape.num_threads = 1;
  shape.engine = {.num_sequences = 2, .prompt_length = 64, .max_model_len = 128, .kv_cache_bytes = 0, .device_memory = 0};
  InferenceShape in_bf16 = shape;
  in_bf16.storage = parallel::WeightStorage::kBF16;
  const auto narrower = smallest_change(shape, plan_inference(in_bf16).needed(), 0);
  ASSERT_TRUE(narrower);
  EXPECT_EQ(narrower->change, "--dtype bfloat16");

  InferenceShape in_int8 = shape;
  in_int8.storage = parallel::WeightStorage::kInt8;
  const auto more_ranks = smallest_change(shape, plan_inference(in_int8).needed() - 1, 0);
  ASSERT_TRUE(more_ranks);
  EXPECT_THAT(more_ranks->change, HasSubstr("--tensor-parallel-size 2"));
}

}  // namespace
}  // namespace r1::plan

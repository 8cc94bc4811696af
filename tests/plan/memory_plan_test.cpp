// The dry run against the allocator's own counter in real steps of training.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include "checkpoint/init_weights.h"
#include "engine/engine.h"
#include "models/registry.h"
#include "plan/memory_plan.h"
#include "tests/support/on_ranks.h"
#include "train/micro_batch.h"
#include "train/optimizer.h"

namespace r1::plan {
namespace {

constexpr const char* kDigits = R"({"model_type": "llama", "vocab_size": 97, "hidden_size": 96, "intermediate_size": 256,
  "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 24, "max_position_embeddings": 512})";
constexpr const char* kWide = R"({"model_type": "qwen2", "vocab_size": 6007, "hidden_size": 128, "intermediate_size": 320,
  "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 512,
  "tie_word_embeddings": true})";

constexpr nn::RecomputeGranularity kGranularities[] = {nn::RecomputeGranularity::kNone, nn::RecomputeGranularity::kSelective,
                                                       nn::RecomputeGranularity::kFull};

struct Case {
  const char* config;
  parallel::Sharding sharding;
  nn::RecomputeGranularity recompute;
  std::int64_t accumulation = 2;
  bool deterministic = true;
};

TrainingShape shape_of(const Case& test, int num_ranks) {
  TrainingShape shape;
  shape.model = models::parse_model_config(test.config, "test config");
  shape.store = {test.sharding, parallel::OptimizerState::kAdamW, test.deterministic};
  shape.num_ranks = num_ranks;
  shape.num_threads = 1;
  shape.recompute = test.recompute;
  shape.sequence_lengths = {72, 56};
  shape.micro_batches_per_rank = test.accumulation;
  return shape;
}

struct Measured {
  double peak = 0, sent = 0;
};

/// Two steps of supervised training; the second one's traffic.
Measured train_for_real(const TrainingShape& shape, comm::Communicator& communicator) {
  const auto ctx = make_cpu_context(shape.num_threads);
  const auto model = models::make_model(shape.model);
  const auto store = parallel::make_parameter_store(*ctx, model->parameters(), communicator, shape.store);
  nn::UnitRunner runner(model->parameters(), *store);
  runner.set_recompute(shape.recompute);
  checkpoint::init_weights(*model, *store, {checkpoint::InitScheme::kScaled, 0.3, 1});
  train::MicroBatch batch;
  for (const std::int64_t length : shape.sequence_lengths) {
    const std::vector<std::int32_t> ids(static_cast<std::size_t>(length), 3);
    batch.add_row(ids, ids, std::span(&length, 1));
  }
  double sent_before = 0;
  for (std::int64_t step = 0; step < 2; ++step) {
    sent_before = static_cast<double>(communicator.counters().total().bytes_sent);
    store->begin_step(shape.micro_batches_per_rank * communicator.world_size());
    for (std::int64_t k = 0; k < shape.micro_batches_per_rank; ++k) {
      store->begin_micro_batch(k * communicator.world_size() + communicator.rank());
      nn::Tape tape(*ctx);
      nn::Pass pass{*ctx, runner, &tape};
      {
        const train::DeviceBatch on_device = train::to_device(*ctx, batch, shape.model.vocab_size);
        model->cross_entropy(pass, model->decode(pass, on_device.tokens), on_device.labels, 0.01F);
      }
      tape.backward();
    }
    const double norm = store->gradient_norm();
    train::adamw_step(*ctx, *store, {}, 1e-4, train::clip_factor(norm, 1), step);
    if (shape.store.sharding == parallel::Sharding::kZero2) store->materialize();  // what publish_updated sends has arrived
  }
  const double sent = static_cast<double>(communicator.counters().total().bytes_sent) - sent_before;
  return {static_cast<double>(ctx->allocator().stats().peak_bytes), sent};
}

std::vector<Case> cases() {
  using parallel::Sharding;
  std::vector<Case> all;
  for (const char* config : {kDigits, kWide}) {
    for (const Sharding sharding : {Sharding::kReplicated, Sharding::kZero2, Sharding::kZero3}) {
      for (const auto recompute : kGranularities) all.push_back({config, sharding, recompute});
    }
  }
  return all;
}

void expect_as_planned(const Case& test, comm::Communicator& communicator) {
  const TrainingShape shape = shape_of(test, communicator.world_size());
  const MemoryPlan plan = plan_training(shape);
  const Measured measured = train_for_real(shape, communicator);
  EXPECT_NEAR(plan.allocated_peak / measured.peak, 1, 0.03) << fmt::format(
      "{} ranks, sharding {}, recompute {}: planned {}, taken {} ({})", communicator.world_size(), static_cast<int>(test.sharding),
      static_cast<int>(test.recompute), plan.allocated_peak, measured.peak, plan.peak_phase);
  EXPECT_GE(plan.activations, 0);
  EXPECT_GE(plan.communication, 0);
  EXPECT_GE(plan.reuse, 0);
  if (communicator.world_size() > 1) EXPECT_NEAR(plan.traffic() / measured.sent, 1, 0.02) << static_cast<int>(test.sharding);
}

TEST(MemoryPlan, EqualsTheAllocatorsPeakOnOneRank) {
  const auto self = comm::make_self_communicator();
  for (const Case& test : cases()) expect_as_planned(test, *self);
}

TEST(MemoryPlan, EqualsTheAllocatorsPeakOnTwoRanks) {
  test::on_ranks(2, [](comm::World& world) {
    for (const Case& test : cases()) expect_as_planned(test, world.communicator());
  });
}

}  // namespace
}  // namespace r1::plan

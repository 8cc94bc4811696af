// The three stores against each other: the same bytes for any number of ranks, the memory and the traffic that ZeRO promises.
#include <gmock/gmock.h>

#include <cmath>

#include "checkpoint/init_weights.h"
#include "models/registry.h"
#include "tests/parallel/estimate.h"
#include "tests/support/guarded_device.h"
#include "tests/support/on_ranks.h"
#include "train/micro_batch.h"
#include "train/optimizer.h"

namespace r1::parallel {
namespace {

constexpr const char* kTiny =
    R"({"model_type": "qwen2", "vocab_size": 53, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 128, "tie_word_embeddings": true})";
// Units of 40 blocks and more, so that cuts at block borders are near to equal shares.
constexpr const char* kMedium = R"({"model_type": "llama", "vocab_size": 1031, "hidden_size": 128, "intermediate_size": 384,
  "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 128})";

struct Outcome {
  std::vector<float> weights;
  std::vector<double> norms;
  StoreMemory memory;
  comm::CommCounters first_step, later_step;  // traffic of the two steps
  double num_elements = 0;
};

struct Case {
  const char* config = kTiny;
  StoreOptions options;
  std::int64_t num_micro_batches = 8;
  nn::RecomputeGranularity recompute = nn::RecomputeGranularity::kNone;
};

train::MicroBatch micro_batch(std::int64_t step, std::int64_t index) {
  train::MicroBatch batch;
  const std::int64_t length = 3 + (step * 5 + index * 3) % 7;
  std::vector<std::int32_t> ids;
  for (std::int64_t t = 0; t < length; ++t) ids.push_back(static_cast<std::int32_t>((step * 31 + index * 17 + t * t) % 53));
  const std::int64_t piece[] = {length};
  batch.add_row(ids, ids, piece);
  return batch;
}

comm::CommCounters difference(const comm::CommCounters& after, const comm::CommCounters& before) {
  comm::CommCounters result = after;
  for (std::size_t k = 0; k < result.by_kind.size(); ++k) {
    result.by_kind[k].bytes_sent -= before.by_kind[k].bytes_sent;
    result.by_kind[k].bytes_received -= before.by_kind[k].bytes_received;
  }
  return result;
}

// Two steps of training on the ranks of the group.
Outcome train_two_steps(const ExecContext& ctx, comm::Communicator& comm, const Case& test) {
  const auto model = models::make_model(models::parse_model_config(test.config, "test config"));
  const auto store = make_parameter_store(ctx, model->parameters(), comm, test.options);
  nn::UnitRunner runner(model->parameters(), *store);
  runner.set_recompute(test.recompute);
  checkpoint::init_weights(*model, *store, {checkpoint::InitScheme::kScaled, 0.3, 1});
  Outcome outcome;
  outcome.num_elements = static_cast<double>(model->parameters().num_elements());
  for (std::int64_t step = 0; step < 2; ++step) {
    const comm::CommCounters before = comm.counters();
    store->begin_step(test.num_micro_batches);
    for (std::int64_t first = 0; first < test.num_micro_batches; first += comm.world_size()) {
      const std::int64_t index = first + comm.rank();
      store->begin_micro_batch(index);
      nn::Tape tape(ctx);
      nn::Pass pass{ctx, runner, &tape};
      if (index < test.num_micro_batches) {
        const train::DeviceBatch batch = train::to_device(ctx, micro_batch(step, index), 53);
        model->cross_entropy(pass, model->decode(pass, batch.tokens), batch.labels, 0.02F);
      } else {
        train::run_idle_forward(pass, *model);
      }
      tape.backward();
    }
    outcome.norms.push_back(store->gradient_norm());
    train::adamw_step(ctx, *store, {0.9, 0.999, 1e-8, 0.1}, 1e-2, train::clip_factor(outcome.norms.back(), 0.5), step);
    store->for_each_shard([](Shard&) {});  // waits for transfers under way
    (step == 0 ? outcome.first_step : outcome.later_step) = difference(comm.counters(), before);
  }
  outcome.memory = store->memory();
  model->parameters().for_each([&](nn::Parameter& parameter) {
    const Tensor value = store->gather_value(parameter);
    const auto values = value.host_span<float>();
    outcome.weights.insert(outcome.weights.end(), values.begin(), values.end());
  });
  return outcome;
}

constexpr Sharding kShardings[] = {Sharding::kReplicated, Sharding::kZero2, Sharding::kZero3};

TEST(ParameterStore, GivesTheSameBytesWithEveryShardingOnOneRank) {
  const auto ctx = make_cpu_context(2);
  const auto self = comm::make_self_communicator();
  const Outcome expected = train_two_steps(*ctx, *self, {});
  for (const Sharding sharding : kShardings) {
    for (const auto recompute : {nn::RecomputeGranularity::kNone, nn::RecomputeGranularity::kSelective, nn::RecomputeGranularity::kFull}) {
      for (const bool deterministic : {false, true}) {
        const Outcome outcome = train_two_steps(*ctx, *self, {kTiny, {sharding, OptimizerState::kAdamW, deterministic}, 8, recompute});
        EXPECT_EQ(outcome.weights, expected.weights);
        EXPECT_EQ(outcome.norms, expected.norms);
      }
    }
  }
}

TEST(ParameterStore, DoesAZero3StepOnTheGuardedDevice) {
  const auto plain = make_cpu_context(2);
  const auto guarded = test::make_guarded_context(2);
  const auto self = comm::make_self_communicator();
  const Case zero3{kTiny, {Sharding::kZero3, OptimizerState::kAdamW, true}, 3, nn::RecomputeGranularity::kFull};
  EXPECT_EQ(train_two_steps(*guarded, *self, zero3).weights, train_two_steps(*plain, *self, zero3).weights);
}

// On the ranks of a group, against one rank.
void gives_the_bytes_of_one_rank(const ExecContext& ctx, comm::Communicator& comm) {
  const auto self = comm::make_self_communicator();
  for (const std::int64_t num_micro_batches : {1, 5, 8}) {  // also fewer than ranks, and a round that is not full
    const Outcome expected = train_two_steps(ctx, *self, {kTiny, {}, num_micro_batches});
    for (const Sharding sharding : kShardings) {
      const Case test{kTiny,
                      {sharding, OptimizerState::kAdamW, true},
                      num_micro_batches,
                      num_micro_batches == 5 ? nn::RecomputeGranularity::kFull : nn::RecomputeGranularity::kNone};
      const Outcome outcome = train_two_steps(ctx, comm, test);
      EXPECT_EQ(outcome.weights, expected.weights) << num_micro_batches << " micro-batches on " << comm.world_size() << " ranks";
      EXPECT_EQ(outcome.norms, expected.norms);
      // Without the fold: the same but for the order of sums.
      Case free_order = test;
      free_order.options.deterministic_reduction = false;
      const Outcome close = train_two_steps(ctx, comm, free_order);
      EXPECT_NEAR(close.norms[0], expected.norms[0], 1e-5 * expected.norms[0]);
      for (std::size_t i = 0; i < close.weights.size(); ++i) ASSERT_NEAR(close.weights[i], expected.weights[i], 2e-3) << i;
    }
  }
}

double gathered_bytes(const comm::CommCounters& traffic) {
  return static_cast<double>(traffic.of(comm::CollectiveKind::kAllGather).bytes_received);
}

void keeps_the_memory_and_traffic_that_zero_promises(const ExecContext& ctx, comm::Communicator& comm) {
  const double ranks = comm.world_size();
  const auto config = models::parse_model_config(kMedium, "test config");
  const auto model = models::make_model(config);
  double embedding = 0, head = 0, layer = 0, total = 0;
  for (const nn::Unit& unit : model->parameters().units()) {
    (unit.name == "embed_tokens" ? embedding : unit.name == "head" ? head : layer) = static_cast<double>(unit.num_elements);
    total += static_cast<double>(unit.num_elements);
  }
  const std::int64_t num_micro_batches = 2 * comm.world_size();
  const double accumulation = 2;
  const double share = (ranks - 1) / ranks, e = 4 * total * share;
  for (const Sharding sharding : kShardings) {
    for (const bool deterministic : {true, false}) {
      SCOPED_TRACE(testing::Message() << "sharding " << static_cast<int>(sharding) << " deterministic " << deterministic << " ranks "
                                      << ranks);
      const Outcome outcome = train_two_steps(ctx, comm, {kMedium, {sharding, OptimizerState::kAdamW, deterministic}, num_micro_batches});
      const StoreEstimate estimate = estimate_store(model->parameters(), {sharding, OptimizerState::kAdamW, deterministic},
                                                    comm.world_size(), static_cast<std::int64_t>(accumulation));
      const double per_parameter = static_cast<double>(outcome.memory.state()) / total;
      const comm::CommCounters& traffic = outcome.later_step;
      const double gathered = gathered_bytes(traffic);
      const double exchanged = static_cast<double>(traffic.of(comm::CollectiveKind::kAllToAll).bytes_sent);
      const double reduced = static_cast<double>(traffic.of(comm::CollectiveKind::kReduceScatter).bytes_sent +
                                                 traffic.of(comm::CollectiveKind::kAllReduce).bytes_sent);
      const double reduction = deterministic || sharding != Sharding::kReplicated ? accumulation * e : e;
      // The plan agrees with what happens.
      const double state = static_cast<double>(outcome.memory.state());
      EXPECT_NEAR(state, estimate.values + estimate.gradients + estimate.optimizer_state, 0.02 * state);
      EXPECT_NEAR(gathered + exchanged + reduced, estimate.traffic_per_step, 0.02 * estimate.traffic_per_step);
      EXPECT_LE(static_cast<double>(outcome.memory.gathered_peak), 1.02 * estimate.gathered);
      EXPECT_LE(static_cast<double>(outcome.memory.scratch_peak), 1.02 * estimate.scratch);
      if (sharding == Sharding::kReplicated) {
        EXPECT_NEAR(per_parameter, 16, 0.02 * 16);
        if (ranks > 1) EXPECT_NEAR(gathered + exchanged + reduced, reduction + e, 0.02 * (reduction + e));
      } else if (sharding == Sharding::kZero2) {
        EXPECT_NEAR(per_parameter, 4 + 12 / ranks, 0.02 * (4 + 12 / ranks));
        if (ranks > 1) EXPECT_NEAR(gathered + exchanged + reduced, reduction + e, 0.02 * (reduction + e));
      } else {
        EXPECT_NEAR(per_parameter, 16 / ranks, 0.02 * 16 / ranks);
        EXPECT_LE(static_cast<double>(outcome.memory.gathered_peak), 4 * 1.02 * (layer + std::max(layer, std::max(head, embedding))));
        // Every unit twice a micro-batch; the last layer and the head stay gathered from their forward to their backward pass: once.
        const double gathers = accumulation * (2 * e - 4 * (head + layer) * share);
        if (ranks > 1) {
          EXPECT_NEAR(gathered, gathers, 0.02 * gathers);
          EXPECT_NEAR(exchanged + reduced, reduction, 0.02 * reduction);
        }
      }
    }
  }
}

TEST(ParameterStore, KeepsTheMemoryThatZeroPromisesOnOneRank) {
  const auto ctx = make_cpu_context(2);
  const auto self = comm::make_self_communicator();
  keeps_the_memory_and_traffic_that_zero_promises(*ctx, *self);
}

TEST(ParameterStore, KeepsBytesMemoryAndTrafficOnFourThreeAndTwoRanks) {
  test::on_ranks(4, [](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    comm::Communicator& four = world.communicator();
    gives_the_bytes_of_one_rank(*ctx, four);
    keeps_the_memory_and_traffic_that_zero_promises(*ctx, four);
    const auto two = four.split(four.rank() / 2, four.rank());
    gives_the_bytes_of_one_rank(*ctx, *two);
    keeps_the_memory_and_traffic_that_zero_promises(*ctx, *two);
    if (const auto three = four.split(four.rank() < 3 ? 0 : -1, four.rank())) gives_the_bytes_of_one_rank(*ctx, *three);
  });
}

// Generation with ZeRO-3: the ranks run different numbers of passes over values that were gathered once.
TEST(ParameterStore, MaterializesZero3ValuesForPassesOfOneRankAlone) {
  test::on_ranks(2, [](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    const auto model = models::make_model(models::parse_model_config(kTiny, "test config"));
    const auto store =
        make_parameter_store(*ctx, model->parameters(), world.communicator(), {Sharding::kZero3, OptimizerState::kNone, true});
    nn::UnitRunner runner(model->parameters(), *store);
    checkpoint::init_weights(*model, *store, {checkpoint::InitScheme::kScaled, 0.3, 1});
    store->materialize();
    for (int i = 0; i < 1 + 3 * world.rank(); ++i) {
      nn::Pass pass{*ctx, runner, nullptr};
      train::run_idle_forward(pass, *model);
    }
    store->release_materialized();
    EXPECT_GT(store->gather_value(model->parameters().at(0)).num_elements(), 0);
  });
}

}  // namespace
}  // namespace r1::parallel

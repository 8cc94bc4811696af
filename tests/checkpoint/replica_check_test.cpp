// Bits that flip in a copy of the weights or of the optimizer's state are found and named.
#include <gmock/gmock.h>

#include <bit>
#include <cstdlib>

#include "base/rng.h"
#include "checkpoint/replica_check.h"
#include "tests/checkpoint/small_training.h"
#include "tests/support/on_ranks.h"

namespace r1::test {
namespace {

using ::testing::HasSubstr;

const int kFlips = std::getenv("R1_TEST_FULL") != nullptr ? 200 : 40;

/// One random bit of a random tensor; flipping again restores it.
void flip_bit(const ExecContext& ctx, Tensor& tensor, std::uint64_t element, std::uint32_t bit) {
  Tensor host = ops::to_host(ctx, tensor);
  float& value = host.host_span<float>()[element % static_cast<std::uint64_t>(host.num_elements())];
  value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (1U << bit));
  ops::from_host(ctx, host, tensor);
}

TEST(ReplicaCheck, FindsEverySingleBitThatFlipsOnOneOfThreeRanksAndNamesRankAndTensor) {
  on_ranks(3, [](comm::World& world) {
    setenv("SLURMD_NODENAME", ("node" + std::to_string(world.rank())).c_str(), 1);
    const auto ctx = make_cpu_context(1);
    SmallTraining training(*ctx, world.communicator(), parallel::Sharding::kReplicated);
    nn::ParameterSet& parameters = training.model->parameters();
    const auto check = [&] { checkpoint::check_replicas(parameters, *training.store, host_access(*ctx), 7); };
    EXPECT_NO_THROW(check());
    RandomStream random(3, "flips");
    int num_found = 0;
    for (int trial = 0; trial < kFlips; ++trial) {
      const int victim = static_cast<int>(random.below(3));
      const auto wanted = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(parameters.size())));
      const std::uint64_t kind = random.below(3), element = random.below(1U << 20);
      const auto bit = static_cast<std::uint32_t>(random.below(32));
      std::string name;
      const auto flip = [&] {
        std::int64_t index = 0;
        training.store->for_each_shard([&](parallel::Shard& shard) {
          if (index++ != wanted) return;
          constexpr const char* kKinds[] = {"value/", "exp_avg/", "exp_avg_sq/"};
          name = kKinds[kind] + shard.parameter->name;
          Tensor* tensors[] = {&shard.value, &shard.exp_avg, &shard.exp_avg_sq};
          if (world.rank() == victim) flip_bit(*ctx, *tensors[kind], element, bit);
        });
      };
      flip();
      try {
        check();
        ADD_FAILURE() << "not found: " << name;
      } catch (const Error& error) {
        ++num_found;
        EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
        EXPECT_THAT(error.what(), HasSubstr(fmt::format("rank {} (node node{})", victim, victim)));
        EXPECT_THAT(error.what(), HasSubstr(name + ": 1 of 3 ranks"));
      }
      flip();
    }
    EXPECT_EQ(num_found, kFlips);
    EXPECT_NO_THROW(check());
  });
}

TEST(ReplicaCheck, ComparesTheValuesOfZero2AndNothingOfZero3) {
  on_ranks(2, [](comm::World& world) {
    const auto ctx = make_cpu_context(1);
    for (const parallel::Sharding sharding : {parallel::Sharding::kZero2, parallel::Sharding::kZero3}) {
      SmallTraining training(*ctx, world.communicator(), sharding);
      const auto check = [&] { checkpoint::check_replicas(training.model->parameters(), *training.store, host_access(*ctx), 7); };
      EXPECT_NO_THROW(check());
      if (sharding == parallel::Sharding::kZero3) continue;
      if (world.rank() == 1) flip_bit(*ctx, training.model->parameters().at(2).value, 5, 3);
      EXPECT_THROW(check(), Error);
    }
  });
}

}  // namespace
}  // namespace r1::test

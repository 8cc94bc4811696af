#include "base/rng.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace r1 {
namespace {

using ::testing::ElementsAre;

// Known answers of philox4x32-10, published with Random123 (Salmon et al. 2011): zeros, ones, digits of pi.
TEST(Philox, AgreesWithThePublishedKnownAnswers) {
  EXPECT_THAT(philox4x32({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}),
              ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(TokenUniform, IsTheFirstWordOfItsCounterAndStaysUnderOne) {
  const auto words = philox4x32({0x9abcdef0u, 0x12345678u, 7, 300}, {0x89abcdefu, 0x01234567u});
  const float uniform = token_uniform(0x0123456789abcdefu, 0x123456789abcdef0u, 7, 300);
  EXPECT_EQ(uniform, static_cast<float>(words[0] >> 8) / 16777216.0F);
  for (std::uint32_t position = 0; position < 1000; ++position) {
    const float draw = token_uniform(42, 1, 0, position);
    EXPECT_GE(draw, 0);
    EXPECT_LT(draw, 1);
    EXPECT_EQ(draw * 16777216.0F, std::floor(draw * 16777216.0F));
  }
}

TEST(RandomStream, RepeatsForTheSameSeedNameAndIndexAlone) {
  RandomStream first(42, "shuffle", 3), same(42, "shuffle", 3);
  const std::uint64_t drawn = first.next_u64();
  EXPECT_EQ(drawn, same.next_u64());
  EXPECT_NE(drawn, RandomStream(43, "shuffle", 3).next_u64());
  EXPECT_NE(drawn, RandomStream(42, "init", 3).next_u64());
  EXPECT_NE(drawn, RandomStream(42, "shuffle", 4).next_u64());
}

TEST(RandomStream, ACopyGoesOnFromTheSamePlace) {
  RandomStream stream(1, "a");
  stream.next_u32();
  stream.normal();
  RandomStream copy = stream;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(stream.normal(), copy.normal());
    EXPECT_EQ(stream.next_u32(), copy.next_u32());
  }
}

TEST(RandomStream, ConsecutiveBlocksDoNotRepeat) {
  RandomStream stream(1, "a");
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 4000; ++i) seen.insert(stream.next_u32());
  EXPECT_GT(seen.size(), 3990);
}

TEST(RandomStream, BelowReachesEveryValueEvenly) {
  RandomStream stream(7, "below");
  std::vector<int> counts(10);
  for (int i = 0; i < 100'000; ++i) ++counts[stream.below(10)];
  // A standard deviation is 95: five of them.
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 475);
  EXPECT_EQ(stream.below(1), 0);
  for (int i = 0; i < 100; ++i) EXPECT_LT(stream.below((std::uint64_t{1} << 63) + 1), (std::uint64_t{1} << 63) + 1);
}

TEST(RandomStream, NormalHasMeanZeroVarianceOneAndItsTails) {
  RandomStream stream(3, "normal");
  constexpr int kDraws = 200'000;
  double sum = 0, squares = 0;
  int beyond_two = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double draw = stream.normal();
    ASSERT_TRUE(std::isfinite(draw));
    sum += draw;
    squares += draw * draw;
    beyond_two += std::abs(draw) > 2;
  }
  EXPECT_NEAR(sum / kDraws, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 5 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(static_cast<double>(beyond_two) / kDraws, 0.0455, 0.0025);
}

TEST(Shuffle, IsAPermutationThatTheSeedDecides) {
  std::vector<int> items(100), again(100);
  std::iota(items.begin(), items.end(), 0);
  again = items;
  const std::vector<int> ordered = items;
  RandomStream first(5, "s"), second(5, "s");
  shuffle(std::span(items), first);
  shuffle(std::span(again), second);
  EXPECT_EQ(items, again);
  EXPECT_NE(items, ordered);
  EXPECT_THAT(items, ::testing::UnorderedElementsAreArray(ordered));
}

}  // namespace
}  // namespace r1

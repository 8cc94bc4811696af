#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace r1::data {
namespace {

std::vector<std::int64_t> order_of(const Sampler& sampler, std::int64_t epoch) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < sampler.num_items(); ++i) order.push_back(sampler.item(epoch, i));
  return order;
}

TEST(Sampler, VisitsEveryItemOnceInEveryEpoch) {
  for (const std::int64_t count : {1, 2, 3, 4, 5, 15, 16, 17, 100, 1023, 5000}) {
    const Sampler sampler(count, 42, true);
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      auto order = order_of(sampler, epoch);
      std::sort(order.begin(), order.end());
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
    }
  }
}

TEST(Sampler, WithoutShuffleTheOrderIsThatOfTheItems) {
  const auto order = order_of(Sampler(5, 1, false), 3);
  EXPECT_EQ(order, (std::vector<std::int64_t>{0, 1, 2, 3, 4}));
}

TEST(Sampler, OrderDependsOnSeedAndEpochOnly) {
  const Sampler sampler(1000, 42, true);
  EXPECT_EQ(order_of(sampler, 1), order_of(Sampler(1000, 42, true), 1));
  EXPECT_NE(order_of(sampler, 1), order_of(sampler, 2));
  EXPECT_NE(order_of(sampler, 1), order_of(Sampler(1000, 43, true), 1));
}

TEST(Sampler, ACursorGoesOnWhereItWasSaved) {
  const Sampler sampler(7, 5, true);
  Cursor cursor;
  std::vector<std::int64_t> whole;
  for (int i = 0; i < 20; ++i) whole.push_back(sampler.next(cursor));
  Cursor resumed = sampler.cursor_at(9);
  EXPECT_EQ(resumed, (Cursor{1, 2}));
  for (std::size_t i = 9; i < 20; ++i) EXPECT_EQ(sampler.next(resumed), whole[i]);
  EXPECT_EQ(resumed, cursor);
}

TEST(Sampler, TheOrderLooksRandom) {
  const std::int64_t count = 28'800;
  const auto order = order_of(Sampler(count, 42, true), 0);
  double covariance = 0;
  int fixed = 0, neighbours = 0;
  const double mean = (count - 1) / 2.0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double item = static_cast<double>(order[static_cast<std::size_t>(i)]);
    covariance += (static_cast<double>(i) - mean) * (item - mean);
    fixed += order[static_cast<std::size_t>(i)] == i;
    if (i > 0) neighbours += std::abs(order[static_cast<std::size_t>(i)] - order[static_cast<std::size_t>(i - 1)]) == 1;
  }
  const double variance = (static_cast<double>(count) * count - 1) / 12;
  EXPECT_LT(std::abs(covariance / count / variance), 4 / std::sqrt(count)) << "no trend";
  EXPECT_LE(fixed, 7) << "one on average";
  EXPECT_LE(neighbours, 12) << "two on average";
}

TEST(Sampler, HugeSetsNeedNoMemory) {
  const Sampler sampler(1'000'000'000'000, 1, true);
  EXPECT_NE(sampler.item(0, 0), sampler.item(0, 1));
  EXPECT_LT(sampler.item(7, 999'999'999'999), 1'000'000'000'000);
}

}  // namespace
}  // namespace r1::data

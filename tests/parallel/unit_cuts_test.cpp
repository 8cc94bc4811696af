// Where units are cut.
#include "parallel/unit_cuts.h"

#include <gmock/gmock.h>

#include "base/rng.h"
#include "ops/reduce.h"

namespace r1::parallel {
namespace {

using ::testing::ElementsAre;

TEST(UnitCuts, LieAtTheBlockBorderNearestToAnEqualShare) {
  nn::ParameterSet parameters;
  parameters.begin_unit("unit");
  parameters.declare("a", {1500}, {});
  parameters.declare("b", {4, 1000}, {});
  // Borders: 0, 1024 (of a), 1500, 2524, 3548, 4572, 5500.
  EXPECT_THAT(cut_unit(parameters, 0, 1), ElementsAre(0, 5500));
  EXPECT_THAT(cut_unit(parameters, 0, 2), ElementsAre(0, 2524, 5500));
  EXPECT_THAT(cut_unit(parameters, 0, 4), ElementsAre(0, 1500, 2524, 4572, 5500));
}

TEST(UnitCuts, LeaveRanksWithNothingWhenThereIsLessThanABlockEach) {
  nn::ParameterSet parameters;
  parameters.begin_unit("norm");
  parameters.declare("weight", {40}, {});
  const auto cuts = cut_unit(parameters, 0, 3);
  EXPECT_THAT(cuts, ElementsAre(0, 0, 40, 40));
}

TEST(UnitCuts, AreBordersOfBlocksAndDifferByLessThanABlockFromEqualShares) {
  RandomStream random(7, "cuts");
  for (int trial = 0; trial < 200; ++trial) {
    nn::ParameterSet parameters;
    parameters.begin_unit("unit");
    const int members = 1 + static_cast<int>(random.below(6));
    for (int m = 0; m < members; ++m)
      parameters.declare(std::string(1, static_cast<char>('a' + m)), {1 + static_cast<std::int64_t>(random.below(5000))}, {});
    const std::int64_t total = parameters.units()[0].num_elements;
    for (int ranks = 1; ranks <= 9; ++ranks) {
      const auto cuts = cut_unit(parameters, 0, ranks);
      ASSERT_EQ(static_cast<int>(cuts.size()), ranks + 1);
      EXPECT_EQ(cuts.front(), 0);
      EXPECT_EQ(cuts.back(), total);
      for (int r = 1; r <= ranks; ++r) {
        const std::int64_t cut = cuts[static_cast<std::size_t>(r)];
        EXPECT_LE(cuts[static_cast<std::size_t>(r) - 1], cut);
        EXPECT_LE(std::abs(cut - total * r / ranks), ops::kReduceBlock / 2 + 1);
        bool is_border = cut == total;
        parameters.for_each([&](nn::Parameter& p) {
          if (cut >= p.offset && cut < p.offset + p.num_elements()) is_border |= (cut - p.offset) % ops::kReduceBlock == 0;
        });
        EXPECT_TRUE(is_border) << cut;
      }
    }
  }
}

}  // namespace
}  // namespace r1::parallel

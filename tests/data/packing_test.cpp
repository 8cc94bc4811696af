#include "data/packing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/json.h"
#include "tests/support/paths.h"

namespace r1::data {
namespace {

using testing::ElementsAre;

using Lengths = std::vector<std::int64_t>;

std::vector<Lengths> piece_lengths(const Packing& packing) {
  std::vector<Lengths> lengths;
  for (const Block& block : packing.blocks) {
    lengths.emplace_back();
    for (const Piece& piece : block.pieces) lengths.back().push_back(piece.length());
  }
  return lengths;
}

TEST(Packing, BestFitPutsEachRowIntoTheFullestBlockThatHasRoom) {
  const Packing packing = pack_rows(Lengths{3, 7, 5, 2, 3}, 10, PackingStrategy::kBfd);
  EXPECT_THAT(piece_lengths(packing), ElementsAre(Lengths{7, 3}, Lengths{5, 3, 2}));
  EXPECT_EQ(packing.blocks[0].pieces[1].row, 0) << "among equal lengths the earlier row goes first";
  EXPECT_EQ(packing.num_tokens, 20);
  EXPECT_DOUBLE_EQ(packing.efficiency(10), 1.0);
}

TEST(Packing, BestFitNeverSplitsARowAndCutsLongOnes) {
  const Packing packing = pack_rows(Lengths{12, 0, 4}, 10, PackingStrategy::kBfd);
  EXPECT_THAT(piece_lengths(packing), ElementsAre(Lengths{10}, Lengths{4}));
  EXPECT_EQ(packing.truncated_rows, 1);
  EXPECT_EQ(packing.truncated_tokens, 2);
  EXPECT_THAT(piece_lengths(pack_rows(Lengths{12, 0, 4}, 10, PackingStrategy::kBfdSplit)), ElementsAre(Lengths{10}, Lengths{4, 2}));
}

TEST(Packing, WrappedCutsTheJoinedRowsAndKeepsTheShortEndOfEachBatch) {
  const Packing packing = pack_rows(Lengths{3, 3, 3, 3}, 4, PackingStrategy::kWrapped, /*batch_rows=*/3);
  EXPECT_THAT(piece_lengths(packing), ElementsAre(Lengths{3, 1}, Lengths{2, 2}, Lengths{1}, Lengths{3}));
  EXPECT_EQ(packing.truncated_rows, 0);
}

TEST(Packing, WithoutPackingEachRowIsABlock) {
  const Packing packing = pack_rows(Lengths{3, 9}, 4, PackingStrategy::kNone);
  EXPECT_THAT(piece_lengths(packing), ElementsAre(Lengths{3}, Lengths{4}));
  EXPECT_EQ(packing.truncated_tokens, 5);
}

TEST(Packing, AThousandRowsAreOneBatch) {
  const Lengths lengths(1001, 1);
  EXPECT_EQ(pack_rows(lengths, 2000, PackingStrategy::kWrapped).blocks.size(), 2u);
  EXPECT_EQ(pack_rows(lengths, 2000, PackingStrategy::kBfd).blocks.size(), 2u);
}

PackingStrategy strategy_of(const std::string& name) {
  return name == "wrapped" ? PackingStrategy::kWrapped : name == "bfd" ? PackingStrategy::kBfd : PackingStrategy::kBfdSplit;
}

// Each token of the lists is 1000 × row + position, so a block's ids show where they come from.
TEST(Packing, AgreesWithTheReferenceOnAllLists) {
  R1_REQUIRE_SHARED(shared);
  const Json expected = read_json_file(shared + "/fixtures/sft/expected.json");
  ASSERT_GT(expected.at("pack_lists").size(), 5u);
  for (const Json& list : expected.at("pack_lists")) {
    const Packing packing = pack_rows(list.at("lengths").get<Lengths>(), list.at("seq_length").get<std::int64_t>(),
                                      strategy_of(list.at("strategy").get<std::string>()));
    std::vector<Lengths> blocks;
    for (const Block& block : packing.blocks) {
      blocks.emplace_back();
      for (const Piece& piece : block.pieces) {
        for (std::int64_t token = piece.begin; token < piece.end; ++token) blocks.back().push_back(piece.row * 1000 + token);
      }
    }
    EXPECT_EQ(blocks, list.at("blocks").get<std::vector<Lengths>>()) << list.at("strategy");
    if (list.contains("seq_lengths")) {
      EXPECT_EQ(piece_lengths(packing), list.at("seq_lengths").get<std::vector<Lengths>>());
    }
  }
}

TEST(Packing, EveryTokenIsInExactlyOneBlock) {
  Lengths lengths;
  for (int i = 0; i < 2500; ++i) lengths.push_back((i * 7919) % 97);
  for (const PackingStrategy strategy : {PackingStrategy::kBfd, PackingStrategy::kBfdSplit, PackingStrategy::kWrapped}) {
    std::set<std::pair<std::int64_t, std::int64_t>> seen;
    for (const Block& block : pack_rows(lengths, 100, strategy).blocks) {
      EXPECT_LE(block.length(), 100);
      for (const Piece& piece : block.pieces) {
        for (std::int64_t token = piece.begin; token < piece.end; ++token) EXPECT_TRUE(seen.emplace(piece.row, token).second);
      }
    }
    std::int64_t total = 0;
    for (const std::int64_t length : lengths) total += length;
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), total);
  }
}

}  // namespace
}  // namespace r1::data

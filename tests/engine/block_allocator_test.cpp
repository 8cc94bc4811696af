#include "engine/block_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace r1::test {
namespace {

using engine::BlockAllocator;
using engine::BlockId;
using testing::ElementsAre;

std::vector<std::int32_t> tokens_from(std::int32_t first, std::size_t count) {
  std::vector<std::int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

/// Fills blocks with the tokens and gives their names.
std::vector<BlockId> store(BlockAllocator& blocks, const std::vector<std::int32_t>& tokens) {
  std::vector<BlockId> used;
  engine::PrefixId prefix = 0;
  for (std::size_t begin = 0; begin + 4 <= tokens.size(); begin += 4) {
    used.push_back(*blocks.allocate());
    prefix = blocks.remember(used.back(), prefix, std::span(tokens).subspan(begin, 4));
  }
  return used;
}

void release(BlockAllocator& blocks, std::vector<BlockId> used) {
  for (auto block = used.rbegin(); block != used.rend(); ++block) blocks.release(*block);
}

TEST(BlockAllocator, GivesEachBlockOnceAndThenNone) {
  BlockAllocator blocks(3, 4, true);
  std::vector<BlockId> given;
  while (const auto block = blocks.allocate()) given.push_back(*block);
  EXPECT_THAT(given, testing::UnorderedElementsAre(0, 1, 2));
  blocks.release(given[1]);
  EXPECT_EQ(blocks.allocate(), given[1]);
}

TEST(BlockAllocator, FindsTheLongestKnownPrefixOfWholeBlocks) {
  BlockAllocator blocks(8, 4, true);
  const std::vector<BlockId> used = store(blocks, tokens_from(10, 12));
  release(blocks, used);
  EXPECT_EQ(blocks.num_free(), 8);
  std::vector<std::int32_t> prompt = tokens_from(10, 11);  // the third block is not complete
  EXPECT_THAT(blocks.match(prompt).blocks, ElementsAre(used[0], used[1]));
  EXPECT_EQ(blocks.num_free(), 6);  // in use again
  prompt[5] = 99;
  EXPECT_THAT(blocks.match(prompt).blocks, ElementsAre(used[0]));
  prompt[0] = 99;  // the second block's tokens behind another beginning are another prefix
  prompt[5] = 15;
  EXPECT_THAT(blocks.match(prompt).blocks, ElementsAre());
}

TEST(BlockAllocator, TheSameContentInASecondBlockKeepsTheFirstName) {
  BlockAllocator blocks(8, 4, true);
  const std::vector<BlockId> first = store(blocks, tokens_from(1, 8)), second = store(blocks, tokens_from(1, 8));
  EXPECT_NE(first, second);
  EXPECT_EQ(blocks.match(tokens_from(1, 8)).blocks, first);
}

TEST(BlockAllocator, ForgetsTheLongestUnusedContentFirst) {
  BlockAllocator blocks(4, 4, true);
  release(blocks, store(blocks, tokens_from(0, 8)));
  release(blocks, store(blocks, tokens_from(100, 8)));
  const BlockId taken = *blocks.allocate();  // the tail of the older prefix goes
  EXPECT_EQ(blocks.match(tokens_from(0, 8)).blocks.size(), 1U);
  EXPECT_EQ(blocks.match(tokens_from(100, 8)).blocks.size(), 2U);
  blocks.release(taken);
}

TEST(BlockAllocator, ForgetAllAndAPoolWithoutPrefixesMatchNothing) {
  BlockAllocator blocks(4, 4, true);
  release(blocks, store(blocks, tokens_from(0, 8)));
  blocks.forget_all();
  EXPECT_TRUE(blocks.match(tokens_from(0, 8)).blocks.empty());
  BlockAllocator without(4, 4, false);
  release(without, store(without, tokens_from(0, 8)));
  EXPECT_TRUE(without.match(tokens_from(0, 8)).blocks.empty());
}

}  // namespace
}  // namespace r1::test

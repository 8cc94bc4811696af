// How a model is cut into parts: every head and every row once, stages as even as layers allow.
#include "models/model_part.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"

namespace r1::models {
namespace {

TEST(HeadShare, GivesEachQueryHeadToOneRankTogetherWithItsKeyValueHead) {
  for (int num_groups = 1; num_groups <= 5; ++num_groups) {
    for (int group_size = 1; group_size <= 5; ++group_size) {
      ModelConfig config;
      config.num_key_value_heads = num_groups;
      config.num_attention_heads = num_groups * group_size;
      for (int size = 1; size <= config.num_attention_heads; ++size) {
        std::int64_t next = 0;
        for (int rank = 0; rank < size; ++rank) {
          const HeadShare share = head_share(config, rank, size);
          ASSERT_EQ(share.query.begin, next);
          ASSERT_GT(share.query.size(), 0);
          next = share.query.end;
          ASSERT_EQ(share.key_value.begin, share.query.begin / group_size);
          ASSERT_EQ(share.key_value.end, (share.query.end - 1) / group_size + 1);
          ASSERT_EQ(share.query.size() % share.key_value.size(), 0);
          if (share.key_value.size() > 1) ASSERT_EQ(share.query.size(), share.key_value.size() * group_size);
        }
        ASSERT_EQ(next, config.num_attention_heads);
      }
    }
  }
}

// Every way of placing the borders.
std::int64_t smallest_largest_stage(const std::vector<std::int64_t>& layers, std::int64_t before, std::int64_t behind, int num_stages) {
  std::int64_t best = INT64_MAX;
  const std::function<void(int, int, std::int64_t)> place = [&](int begin, int stages_left, std::int64_t largest) {
    const int num_layers = static_cast<int>(layers.size());
    for (int end = stages_left == 1 ? num_layers : begin + 1; end <= num_layers - (stages_left - 1); ++end) {
      const std::int64_t own = std::accumulate(layers.begin() + begin, layers.begin() + end, std::int64_t{0}) + (begin == 0 ? before : 0) +
                               (stages_left == 1 ? behind : 0);
      if (stages_left == 1) best = std::min(best, std::max(largest, own));
      else place(end, stages_left - 1, std::max(largest, own));
    }
  };
  place(0, num_stages, 0);
  return best;
}

TEST(StageBorders, MakeTheLargestStageAsSmallAsPossible) {
  RandomStream random(4, "stages");
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> layers(1 + random.below(7));
    for (std::int64_t& bytes : layers) bytes = 1 + static_cast<std::int64_t>(random.below(round % 2 == 0 ? 1 : 30));
    const auto before = static_cast<std::int64_t>(random.below(40)), behind = static_cast<std::int64_t>(random.below(40));
    const int num_stages = 1 + static_cast<int>(random.below(layers.size()));
    const std::vector<int> borders = stage_borders(layers, before, behind, num_stages);
    ASSERT_EQ(borders.size(), static_cast<std::size_t>(num_stages) + 1);
    ASSERT_EQ(borders.front(), 0);
    ASSERT_EQ(borders.back(), static_cast<int>(layers.size()));
    std::int64_t largest = 0;
    for (int stage = 0; stage < num_stages; ++stage) {
      const int begin = borders[static_cast<std::size_t>(stage)], end = borders[static_cast<std::size_t>(stage) + 1];
      ASSERT_LT(begin, end);
      largest = std::max(largest, std::accumulate(layers.begin() + begin, layers.begin() + end, std::int64_t{0}) +
                                      (stage == 0 ? before : 0) + (stage == num_stages - 1 ? behind : 0));
    }
    ASSERT_EQ(largest, smallest_largest_stage(layers, before, behind, num_stages));
  }
}

TEST(ModelsThatCannotBeCut, AreRefusedWithTheFlag) {
  ModelConfig config;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.num_hidden_layers = 3;
  config.hidden_size = config.intermediate_size = config.vocab_size = 64;
  check_model_can_be_cut(config, 4, 3);
  const auto message = [&](int tensor_size, int num_stages) {
    try {
      check_model_can_be_cut(config, tensor_size, num_stages);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message(5, 1), testing::HasSubstr("--tensor-parallel-size 5: expected at most the model's 4 attention heads"));
  EXPECT_THAT(message(1, 4), testing::HasSubstr("--pipeline-parallel-size 4: expected at most the model's 3 layers"));
}

}  // namespace
}  // namespace r1::models

#define R1_SIMT 1
#include "ops/cuda/attention_offsets.h"

#include <bit>

#include "ops/cuda/sdpa_groups.h"

#include "ops/op_scope.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtAttentionOffsets, SayWhereSequencesBeginInEachBuffer) {
  std::vector<std::int32_t> many = {0};
  for (int s = 0; s < 600; ++s) many.push_back(many.back() + 1 + s % 7);
  const std::int64_t strides[] = {1, 64, 2048};
  for (const std::vector<std::int32_t>& borders : {std::vector<std::int32_t>{0, 5, 5, 17, 300}, many}) {
    const auto n = static_cast<std::int64_t>(borders.size()) - 1;
    const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
      const Tensor cu_seqlens = device_tensor(ctx, {n + 1}, borders);
      Tensor offsets = ctx.empty({3, n + 1}, DType::kI32), lengths = ctx.empty({n}, DType::kI32);
      ops::OpScope scope(ctx, "attention offsets test");
      ops::simt_backend::attention_offsets(ctx, cu_seqlens, strides, offsets, lengths);
      return {floats_of(ctx, offsets), floats_of(ctx, lengths)};
    });
    for (std::size_t s = 0; s < borders.size(); ++s) {
      for (std::size_t buffer = 0; buffer < 3; ++buffer) {
        EXPECT_EQ(found[0][buffer * borders.size() + s], static_cast<float>(borders[s] * strides[buffer])) << s;
      }
      if (s + 1 < borders.size()) EXPECT_EQ(found[1][s], static_cast<float>(borders[s + 1] - borders[s])) << s;
    }
  }
}

// cuDNN before 9.25 promises nothing for empty sequences.
TEST(SdpaGroups, TakeEverySequenceOnceAndNoEmptyOnes) {
  for (const bool is_backward : {false, true}) {
    for (const std::int64_t count : {1, 2, 3, 5, 7, 12, 100}) {
      for (const std::int64_t longest : {9, 700, 4096, 16384}) {
        const ops::cuda::SdpaGroups groups = ops::cuda::sdpa_groups(count, longest, 12, is_backward);
        std::int64_t sum = 0;
        for (std::size_t g = 0; g < groups.sizes.size(); ++g) {
          sum += groups.sizes[g];
          EXPECT_TRUE(std::has_single_bit(static_cast<std::uint64_t>(groups.sizes[g]))) << groups.sizes[g];
          if (g > 0) EXPECT_LE(groups.sizes[g], groups.sizes[g - 1]);
        }
        EXPECT_EQ(sum, count);
        EXPECT_GE(groups.longest, longest);
        EXPECT_LE(groups.longest, std::max<std::int64_t>(128, longest * 9 / 8));
        if (!is_backward) EXPECT_EQ(groups.score_bytes, 0);
        if (groups.sizes.front() > 1) EXPECT_LE(groups.score_bytes, ops::cuda::kSdpaGroupBytes);
      }
    }
  }
}

}  // namespace
}  // namespace r1::test

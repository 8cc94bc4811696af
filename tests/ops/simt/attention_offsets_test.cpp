#define R1_SIMT 1
#include "ops/cuda/attention_offsets.h"

#include "ops/op_scope.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtAttentionOffsets, SayWhereSequencesBeginInEachBufferAndThatPaddedOnesAreEmpty) {
  const std::vector<std::int32_t> borders = {0, 5, 5, 17, 300};
  const std::int64_t strides[] = {1, 64, 2048};
  for (const std::int64_t padded : {4, 8, 300}) {
    const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
      const Tensor cu_seqlens = device_tensor(ctx, {5}, borders);
      Tensor offsets = ctx.empty({3, padded + 1}, DType::kI32), lengths = ctx.empty({padded}, DType::kI32);
      ops::OpScope scope(ctx, "attention offsets test");
      ops::simt_backend::attention_offsets(ctx, cu_seqlens, strides, padded, offsets, lengths);
      return {floats_of(ctx, offsets), floats_of(ctx, lengths)};
    });
    for (std::size_t s = 0; s <= static_cast<std::size_t>(padded); ++s) {
      const std::int32_t begin = borders[std::min<std::size_t>(s, 4)];
      for (std::size_t buffer = 0; buffer < 3; ++buffer) {
        EXPECT_EQ(found[0][buffer * static_cast<std::size_t>(padded + 1) + s], static_cast<float>(begin * strides[buffer])) << s;
      }
      if (s < static_cast<std::size_t>(padded)) EXPECT_EQ(found[1][s], s < 4 ? static_cast<float>(borders[s + 1] - begin) : 0.0F) << s;
    }
  }
}

}  // namespace
}  // namespace r1::test

#include "ops/rope.h"

#include "ops/op_scope.h"
#include "tests/ops/rope_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtRope, MatchesTheReferenceForwardAndBackward) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const RopeCase& c : kRopeCases) {
      SCOPED_TRACE(fmt::format("{} tokens, {} heads of {}, {}", c.num_tokens, c.num_heads, c.head_dim, dtype_name(dtype)));
      const std::int64_t columns = c.num_heads * c.head_dim + c.spare_columns, angles = c.rotary_dim / 2, positions = 40;
      const auto values = rounded(random_values(c.num_tokens * columns, 3), dtype);
      std::vector<float> cosines, sines;
      std::vector<std::int32_t> position_ids;
      for (std::int64_t i = 0; i < positions * angles; ++i) {
        const double angle =
            static_cast<double>(i / angles) / std::pow(100.0, static_cast<double>(i % angles) / static_cast<double>(angles));
        cosines.push_back(static_cast<float>(std::cos(angle)));
        sines.push_back(static_cast<float>(std::sin(angle)));
      }
      for (std::int64_t t = 0; t < c.num_tokens; ++t) position_ids.push_back(static_cast<std::int32_t>(t * 7 % positions));
      for (const auto direction : {ops::RopeDirection::kForward, ops::RopeDirection::kBackward}) {
        const auto run = [&](const ExecContext& ctx, const ops::OpTable& table, DType stored) -> Results {
          Tensor x = stored_tensor(ctx, {c.num_tokens, columns}, values, stored);
          const Tensor ids = device_tensor(ctx, {c.num_tokens}, position_ids);
          const Tensor cos = device_tensor(ctx, {positions, angles}, cosines), sin = device_tensor(ctx, {positions, angles}, sines);
          ops::OpScope scope(ctx, "rope test");
          table.rope(ctx, x, ids, cos, sin, c.num_heads, c.head_dim, c.style, direction);
          return {floats_of(ctx, x)};
        };
        expect_close(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table(), dtype); }),
                     run(*reference, ops::reference_table(), DType::kF32), tolerance(kRopeTolerance, dtype));
      }
    }
  }
}

}  // namespace
}  // namespace r1::test

#include "ops/reduce.h"

#include "ops/op_scope.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtReduce, HasTheBitsOfTheCpuBackend) {
  const auto cpu = make_cpu_context(1);
  for (const std::int64_t count : {1, 9, 1023, 1024, 1029, 9 * 1024 + 517}) {
    for (const std::int64_t offset : {0, 1}) {  // the second is not aligned to 16 bytes
      for (const DType dtype : kStorageTypes) {
        SCOPED_TRACE(fmt::format("{} elements from {}, {}", count, offset, dtype_name(dtype)));
        const auto values = rounded(random_values(count + offset, 8), dtype);
        const auto run = [&](const ExecContext& ctx, const ops::OpTable& table, DType stored) {
          const Tensor x = stored_tensor(ctx, {count + offset}, values, stored).slice(offset, {count});
          Tensor squares = ctx.empty({(count + 1023) / 1024}, DType::kF64), sums = ctx.empty(squares.shape(), DType::kF64);
          ops::OpScope scope(ctx, "reduce test");
          table.sum_squares_blocks(ctx, x, squares);
          table.sum_blocks(ctx, x, sums);
          auto result = values_of<double>(ctx, squares);
          for (const double sum : values_of<double>(ctx, sums)) result.push_back(sum);
          return result;
        };
        const std::vector<double> expected = run(*cpu, ops::op_table(*cpu), DType::kF32);
        const Results equal = on_all_schedules(
            [&](const ExecContext& ctx) -> Results { return {{run(ctx, simt_table(), dtype) == expected ? 1.0F : 0.0F}}; });
        EXPECT_EQ(equal[0][0], 1.0F);
      }
    }
  }
}

}  // namespace
}  // namespace r1::test

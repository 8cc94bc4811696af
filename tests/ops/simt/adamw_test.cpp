#include "ops/adamw.h"

#include "ops/op_scope.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtAdamW, HasTheBitsOfTheCpuBackend) {
  const auto cpu = make_cpu_context(1);
  for (const std::int64_t count : {1, 7, 8, 33, 2056, 5001}) {
    for (const bool is_shard : {false, true}) {  // a shard that begins at no multiple of 16 bytes
      for (const DType gradient_type : kStorageTypes) {
        SCOPED_TRACE(fmt::format("{} elements, {}", count, dtype_name(gradient_type)));
        const std::int64_t offset = is_shard ? 1 : 0;
        const auto p = random_values(count + 1, 1), g = rounded(random_values(count + 1, 2), gradient_type),
                   m = random_values(count + 1, 3, 0.1);
        auto v = random_values(count + 1, 4, 0.1);
        for (float& value : v) value = value * value;
        const ops::AdamWStep step{1e-2, 0.9, 0.95, 1e-8, 0.1, 3, 0.7};
        const auto run = [&](const ExecContext& ctx, const ops::OpTable& table, DType stored) -> Results {
          const auto piece = [&](const std::vector<float>& values, DType dtype) {
            return stored_tensor(ctx, {count + 1}, values, dtype).slice(offset, {count});
          };
          Tensor parameter = piece(p, DType::kF32), exp_avg = piece(m, DType::kF32), exp_avg_sq = piece(v, DType::kF32);
          Tensor copy = piece(p, DType::kBF16);
          const Tensor gradient = piece(g, stored);
          ops::OpScope scope(ctx, "adamw test");
          table.adamw(ctx, parameter, gradient, exp_avg, exp_avg_sq, step, nullptr);
          table.adamw(ctx, parameter, gradient, exp_avg, exp_avg_sq, step, &copy);
          return {floats_of(ctx, parameter), floats_of(ctx, exp_avg), floats_of(ctx, exp_avg_sq), floats_of(ctx, copy)};
        };
        const Results found = on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table(), gradient_type); });
        EXPECT_EQ(found, run(*cpu, ops::op_table(*cpu), DType::kF32));
      }
    }
  }
}

}  // namespace
}  // namespace r1::test

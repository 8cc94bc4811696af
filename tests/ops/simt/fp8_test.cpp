// What surrounds a product of e4m3 matrices, on the emulation: the CPU's bits.
#include "ops/linear.h"
#define R1_SIMT 1
#include "ops/copy.h"
#include "ops/cuda/fp8.h"
#include "ops/cuda/small_product.h"
#include "ops/op_scope.h"
#include "tests/ops/linear_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtFp8, ProductsHaveTheBitsOfTheCpu) {
  const auto cpu = make_cpu_context(1);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const LinearCase& c : kLinearCases) {
      if (c.M <= ops::simt_backend::kSmallProductRows) continue;  // small_product_test.cpp
      const auto values = [&](std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
        return rounded(random_values(rows * columns, c.seed * 10 + seed), dtype);
      };
      const std::vector<float> x = values(c.M, c.K, 1), bias = values(1, c.N, 2), scales = random_values(c.N, 3);
      std::vector<std::uint8_t> codes;
      for (const float value : random_values(c.N * c.K, 4, 50.0)) codes.push_back(f32_to_f8e4m3(value));
      const auto run = [&](const ExecContext& ctx, DType stored, bool has_bias) {
        const Tensor weight = ops::to_device(ctx, Tensor::host_from(std::span<const std::uint8_t>(codes), {c.N, c.K}, DType::kF8E4M3));
        const Tensor added = stored_tensor(ctx, {c.N}, bias, stored);
        Tensor out = ctx.empty({c.M, c.N}, stored);
        ops::linear_fp8(ctx, stored_tensor(ctx, {c.M, c.K}, x, stored), weight, stored_tensor(ctx, {c.N}, scales, DType::kF32),
                        has_bias ? &added : nullptr, out);
        return floats_of(ctx, out);
      };
      for (const bool has_bias : {false, true}) {
        const Results expected = {rounded(run(*cpu, DType::kF32, has_bias), dtype)};
        EXPECT_EQ(on_all_schedules([&](const ExecContext& simt) { return Results{run(simt, dtype, has_bias)}; }), expected)
            << c.M << " x " << c.N << " x " << c.K << ' ' << dtype_name(dtype);
      }
    }
  }
}

TEST(SimtFp8, ARowThatIsNotFiniteIsNotANumber) {
  const auto simt = make_simt_context();
  const Tensor x = stored_tensor(*simt, {2, 16}, std::vector<float>(32, 2.0F), DType::kF32);
  Tensor values = ops::to_host(*simt, x);
  values.host_span<float>()[3] = INFINITY;
  values.host_span<float>()[20] = NAN;
  Tensor spoilt = x, rounded = simt->empty(x.shape(), DType::kF8E4M3), scales = simt->empty({2});
  ops::from_host(*simt, values, spoilt);
  {
    ops::OpScope scope(*simt, "linear_fp8");
    ops::simt_backend::round_rows_to_f8(*simt, spoilt, rounded, scales);
  }
  const Tensor codes = ops::to_host(*simt, rounded);
  EXPECT_TRUE(std::isnan(f8e4m3_to_f32(codes.host_span<std::uint8_t>()[3])));
  EXPECT_TRUE(std::isnan(f8e4m3_to_f32(codes.host_span<std::uint8_t>()[20])));
}

}  // namespace
}  // namespace r1::test

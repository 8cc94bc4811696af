// Products of few rows on the emulation.
#include "ops/linear.h"
#define R1_SIMT 1
#include "ops/copy.h"
#include "ops/cuda/small_product.h"
#include "ops/op_scope.h"
#include "tests/ops/linear_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

struct Types {
  DType x, weight, out, bias;
};
const Types kTypes[] = {{DType::kF32, DType::kF32, DType::kF32, DType::kF32},
                        {DType::kBF16, DType::kBF16, DType::kBF16, DType::kBF16},
                        {DType::kBF16, DType::kBF16, DType::kF32, DType::kF32},
                        {DType::kF32, DType::kBF16, DType::kF32, DType::kBF16}};

// One lane's piece, a part of a warp, more than a warp and more than its unrolled loop; one block, odd ends of blocks, two rows a warp.
struct Sizes {
  std::int64_t N, K;
};
const Sizes kSizes[] = {{1, 8}, {5, 40}, {9, 256}, {33, 1304}, {4097, 8}};

TEST(SimtSmallProduct, IsTheProductAndARowDoesNotDependOnTheOthers) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const Types& types : kTypes) {
    for (const auto& [N, K] : kSizes) {
      SCOPED_TRACE(fmt::format("{} x {}, {} and {} to {}", N, K, dtype_name(types.x), dtype_name(types.weight), dtype_name(types.out)));
      const auto x = rounded(random_values(4 * K, 1), types.x), weight = rounded(random_values(N * K, 2), types.weight),
                 bias = rounded(random_values(N, 3), types.bias);
      Tensor exact = reference->empty({4, N});
      const Tensor exact_bias = device_tensor(*reference, {N}, bias);
      ops::linear(*reference, device_tensor(*reference, {4, K}, x), device_tensor(*reference, {N, K}, weight), &exact_bias, exact);
      const std::vector<float> expected = floats_of(*reference, exact);
      std::vector<float> of_four;
      for (const std::int64_t M : {4, 3, 2, 1}) {
        // Of many columns one and two rows alone are another path; of long rows four are enough.
        const bool has_many_columns = N > 4096;
        if (M < 4 && (has_many_columns ? M == 3 || kLargestEmulated < N : N * K > std::min<std::int64_t>(kLargestEmulated, 12'000)))
          continue;
        const auto run = [&](const ExecContext& ctx) -> Results {
          const Tensor added = stored_tensor(ctx, {N}, bias, types.bias);
          Tensor wide = ctx.empty({M, N + 8}, types.out);  // rows with a stride
          Tensor out = wide.cols(0, N);
          ops::OpScope scope(ctx, "small product test");
          const bool is_served = ops::simt_backend::small_product(ctx, stored_tensor(ctx, {4, K}, x, types.x).rows(0, M),
                                                                  stored_tensor(ctx, {N, K}, weight, types.weight), &added, out);
          if (!is_served) return {};
          Tensor dense = ctx.empty({M, N}, types.out);
          simt_table().copy(ctx, out, dense);
          return {floats_of(ctx, dense)};
        };
        const Results found = on_all_schedules(run);
        ASSERT_EQ(found.size(), 1U);
        for (std::size_t i = 0; i < found[0].size(); ++i)
          ASSERT_NEAR(found[0][i], expected[i], tolerance(linear_tolerance(K), types.out) * (1 + std::fabs(expected[i]))) << i;
        if (M == 4) of_four = found[0];
        EXPECT_EQ(found[0], std::vector<float>(of_four.begin(), of_four.begin() + M * N)) << M << " rows";
      }
    }
  }
}

TEST(SimtSmallProduct, WithTheActivationHasTheBitsOfTheProductAndThenTheActivation) {
  const Types types_of_swiglu[] = {{DType::kF32, DType::kF32, DType::kF32, DType::kF32},
                                   {DType::kBF16, DType::kBF16, DType::kBF16, DType::kBF16},
                                   {DType::kF32, DType::kBF16, DType::kF32, DType::kF32}};
  for (const Types& types : types_of_swiglu) {
    for (const auto& [I, K] : {Sizes{1, 8}, Sizes{7, 264}, Sizes{12, 1304}}) {
      for (const std::int64_t M : {1, 2}) {
        SCOPED_TRACE(fmt::format("{} x 2 * {} x {}, {} and {}", M, I, K, dtype_name(types.x), dtype_name(types.weight)));
        const auto x = random_values(M * K, 1), weight = random_values(2 * I * K, 2, 2 / std::sqrt(static_cast<double>(K)));
        std::vector<float> one_by_one;
        const auto run = [&](const ExecContext& ctx) -> Results {
          const Tensor input = stored_tensor(ctx, {M, K}, x, types.x), both = stored_tensor(ctx, {2 * I, K}, weight, types.weight);
          Tensor gate_up = ctx.empty({M, 2 * I}, types.x), gated = ctx.empty({M, I}, types.x), out = ctx.empty({M, I}, types.x);
          ops::OpScope scope(ctx, "small product test");
          const bool is_served = ops::simt_backend::small_product(ctx, input, both, nullptr, gate_up) &&
                                 ops::simt_backend::small_product_swiglu(ctx, input, both, out);
          if (!is_served) return {};
          simt_table().swiglu(ctx, gate_up, gated);
          one_by_one = floats_of(ctx, gated);
          return {floats_of(ctx, out)};
        };
        const Results found = on_all_schedules(run);
        ASSERT_EQ(found.size(), 1U);
        EXPECT_EQ(found[0], one_by_one);
      }
    }
  }
}

TEST(SimtSmallProduct, LeavesToOthersWhatItDoesNotServe) {
  const auto ctx = make_simt_context();
  const auto is_served = [&](std::int64_t M, std::int64_t K, DType out_dtype) {
    Tensor out = ctx->empty({M, 8}, out_dtype);
    ops::OpScope scope(*ctx, "small product test");
    return ops::simt_backend::small_product(*ctx, stored_tensor(*ctx, {M, K}, random_values(M * K, 1), DType::kF32),
                                            stored_tensor(*ctx, {8, K}, random_values(8 * K, 2), DType::kF32), nullptr, out);
  };
  EXPECT_TRUE(is_served(4, 8, DType::kF32));
  EXPECT_FALSE(is_served(5, 8, DType::kF32));
  EXPECT_FALSE(is_served(4, 7, DType::kF32));
  EXPECT_FALSE(is_served(4, 8, DType::kBF16));
}

TEST(SimtSmallProduct, OfE4m3FactorsIsNearTheCpu) {
  const auto cpu = make_cpu_context(1);
  for (const auto& [N, K] : {Sizes{5, 16}, Sizes{33, 1040}, Sizes{4101, 16}}) {
    for (const std::int64_t M : {1, 3}) {
      std::vector<std::uint8_t> codes;
      for (const float value : random_values(N * K, 4, 50.0)) codes.push_back(f32_to_f8e4m3(value));
      codes[3] = 0x01;  // the smallest code
      const std::vector<float> x = random_values(M * K, 5), scales = random_values(N, 6), bias = random_values(N, 7);
      const auto run = [&](const ExecContext& ctx) {
        const Tensor weight = ops::to_device(ctx, Tensor::host_from(std::span<const std::uint8_t>(codes), {N, K}, DType::kF8E4M3));
        const Tensor added = stored_tensor(ctx, {N}, bias, DType::kF32);
        Tensor out = ctx.empty({M, N});
        ops::linear_fp8(ctx, stored_tensor(ctx, {M, K}, x, DType::kF32), weight, stored_tensor(ctx, {N}, scales, DType::kF32), &added, out);
        return floats_of(ctx, out);
      };
      const std::vector<float> expected = run(*cpu), found = run(*make_simt_context());
      // The same factors, added in another order; weights of about 50.
      for (std::size_t i = 0; i < found.size(); ++i)
        ASSERT_NEAR(found[i], expected[i], 50 * linear_tolerance(K) * (1 + std::fabs(expected[i]))) << i;
    }
  }
}

}  // namespace
}  // namespace r1::test

// embedding, fill, add, scale, copy, cast, the reductions in blocks, and the choice of the instruction set.
#include "ops/elementwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/cast.h"
#include "ops/embedding.h"
#include "ops/reduce.h"
#include "tests/support/op_tensors.h"

namespace r1::test {
namespace {

using ops::Accumulate;
using testing::Each;
using testing::ElementsAre;

template <typename Body>
void for_reference_and_cpu(Body&& body) {
  body(*make_cpu_context(1, Backend::kReference), "reference");
  for_each_cpu_variant(body);
}

TEST(Elementwise, AddsScalesAndFillsAnyLength) {
  for (const std::int64_t n : {1, 15, 16, 33, 70001}) {
    const auto a = random_values(n, 1), b = random_values(n, 2);
    std::vector<float> sum(a.size()), scaled(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum[i] = a[i] + b[i];
      scaled[i] = a[i] * 0.3F;
    }
    for_reference_and_cpu([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(fmt::format("{} elements, {}", n, variant));
      Tensor x = device_tensor(ctx, {n}, a);
      ops::add(ctx, x, device_tensor(ctx, {n}, b), x);
      EXPECT_EQ(first_difference(values_of<float>(ctx, x), sum), -1);
      Tensor y = device_tensor(ctx, {n}, a);
      ops::scale(ctx, y, 0.3F);
      EXPECT_EQ(first_difference(values_of<float>(ctx, y), scaled), -1);
      ops::fill(ctx, y, 2.5F);
      EXPECT_THAT(values_of<float>(ctx, y), Each(2.5F));
    });
  }
}

TEST(Elementwise, TouchesOnlyItsOwnColumns) {
  for_reference_and_cpu([&](const ExecContext& ctx, const std::string& variant) {
    SCOPED_TRACE(variant);
    Tensor wide = device_tensor<float>(ctx, {2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
    Tensor middle = wide.cols(1, 3);
    ops::scale(ctx, middle, 10.0F);
    EXPECT_THAT(values_of<float>(ctx, wide), ElementsAre(1, 20, 30, 4, 5, 60, 70, 8));
    ops::add(ctx, middle, middle, middle);
    EXPECT_THAT(values_of<float>(ctx, wide), ElementsAre(1, 40, 60, 4, 5, 120, 140, 8));
    Tensor narrow = ctx.empty({2, 2});
    ops::copy(ctx, middle, narrow);
    EXPECT_THAT(values_of<float>(ctx, narrow), ElementsAre(40, 60, 120, 140));
    ops::fill(ctx, middle, 0.0F);
    EXPECT_THAT(values_of<float>(ctx, wide), ElementsAre(1, 0, 0, 4, 5, 0, 0, 8));
  });
}

TEST(Cast, RoundsToNearestEvenAndBack) {
  auto values = random_values(1001, 5, 30.0);
  values[0] = 0x1.01p0F;  // halfway between two bf16 values: to the even one
  values[1] = -0.0F;
  values[2] = HUGE_VALF;
  const auto n = static_cast<std::int64_t>(values.size());
  for (const DType small : {DType::kBF16, DType::kF16}) {
    std::vector<float> expected;
    for (const float value : values) {
      expected.push_back(small == DType::kBF16 ? bf16_to_f32(f32_to_bf16(value)) : f16_to_f32(f32_to_f16(value)));
    }
    for_reference_and_cpu([&](const ExecContext& ctx, const std::string& variant) {
      Tensor rounded = ctx.empty({n}, small), back = ctx.empty({n});
      ops::cast(ctx, device_tensor(ctx, {n}, values), rounded);
      ops::cast(ctx, rounded, back);
      EXPECT_EQ(first_difference(values_of<float>(ctx, back), expected), -1) << variant << " " << dtype_name(small);
    });
  }
}

TEST(Float8, RoundsToTheNearestCodeTiesToEvenAndStaysFinite) {
  std::vector<std::pair<float, std::uint8_t>> grid;  // codes of 0 to 448, ascending
  for (unsigned code = 0; code < 0x7F; ++code) grid.emplace_back(f8e4m3_to_f32(static_cast<std::uint8_t>(code)), code);
  auto values = random_values(4000, 7, 100.0);
  for (const float small : random_values(2000, 8, 0.01)) values.push_back(small);
  for (std::size_t i = 1; i < grid.size(); ++i) {
    values.push_back(grid[i].first);
    values.push_back((grid[i - 1].first + grid[i].first) / 2);
  }
  for (const float value : values) {
    const float magnitude = std::fabs(value);
    unsigned expected = 0x7E;
    for (std::size_t i = 1; i < grid.size(); ++i) {
      if (magnitude > grid[i].first) continue;
      const float middle = (grid[i - 1].first + grid[i].first) / 2;
      const bool is_upper = magnitude > middle || (magnitude == middle && grid[i].second % 2 == 0);
      expected = is_upper ? grid[i].second : grid[i - 1].second;
      break;
    }
    EXPECT_EQ(f32_to_f8e4m3(value) & 0x7F, expected) << value;
    if (std::signbit(value)) EXPECT_GE(f32_to_f8e4m3(value), 0x80);
  }
  EXPECT_EQ(f32_to_f8e4m3(1e30F), 0x7E);
  EXPECT_EQ(f32_to_f8e4m3(-HUGE_VALF), 0xFE);
  EXPECT_EQ(f32_to_f8e4m3(NAN), 0x7F);
}

TEST(Cast, WidensFloat8AndRefusesIntegers) {
  std::vector<std::int8_t> codes;
  for (int code = -128; code < 128; ++code) codes.push_back(static_cast<std::int8_t>(code));
  const auto ctx = make_cpu_context(1);
  const Tensor x = ops::to_device(*ctx, Tensor::host_from(std::span<const std::int8_t>(codes), Shape{256}, DType::kF8E4M3));
  Tensor wide = ctx->empty({256}), integers = ctx->empty({256}, DType::kI32);
  ops::cast(*ctx, x, wide);
  EXPECT_EQ(values_of<float>(*ctx, wide)[128 + 0x38], 1.0F);
  EXPECT_THROW(ops::cast(*ctx, wide, integers), Error);
}

TEST(Embedding, GathersRowsAndAddsTheirGradientsInOrder) {
  for (const std::int64_t H : {1, 16, 35, 512}) {
    const std::int64_t V = 11, T = 300;
    const auto weight = random_values(V * H, 1), grad = random_values(T * H, 2), before = random_values(V * H, 3);
    std::vector<std::int32_t> ids;
    for (std::int64_t t = 0; t < T; ++t) ids.push_back(static_cast<std::int32_t>(t * t % V));
    std::vector<float> rows, fresh(weight.size(), 0.0F), added = before;
    for (std::int64_t t = 0; t < T; ++t) {
      for (std::int64_t i = 0; i < H; ++i) {
        const auto element = static_cast<std::size_t>(ids[static_cast<std::size_t>(t)] * H + i);
        rows.push_back(weight[element]);
        fresh[element] += grad[static_cast<std::size_t>(t * H + i)];
        added[element] += grad[static_cast<std::size_t>(t * H + i)];
      }
    }
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(fmt::format("H {}, {}", H, variant));
      const Tensor ids_tensor = device_tensor(ctx, {T}, ids), grad_tensor = device_tensor(ctx, {T, H}, grad);
      Tensor out = ctx.empty({T, H}), grad_weight = device_tensor(ctx, {V, H}, before);
      ops::embedding(ctx, ids_tensor, device_tensor(ctx, {V, H}, weight), out);
      EXPECT_EQ(first_difference(values_of<float>(ctx, out), rows), -1);
      ops::embedding_backward(ctx, ids_tensor, grad_tensor, grad_weight, Accumulate::kYes);
      EXPECT_EQ(first_difference(values_of<float>(ctx, grad_weight), added), -1);
      ops::embedding_backward(ctx, ids_tensor, grad_tensor, grad_weight, Accumulate::kNo);
      EXPECT_EQ(first_difference(values_of<float>(ctx, grad_weight), fresh), -1);
      Tensor stored = ctx.empty({V, H}, DType::kBF16), widened = ctx.empty({V, H}), expected = ctx.empty({T, H});
      ops::cast(ctx, device_tensor(ctx, {V, H}, weight), stored);
      ops::cast(ctx, stored, widened);
      ops::embedding(ctx, ids_tensor, stored, out);
      ops::embedding(ctx, ids_tensor, widened, expected);
      EXPECT_EQ(first_difference(values_of<float>(ctx, out), values_of<float>(ctx, expected)), -1);
    });
    const auto reference = make_cpu_context(1, Backend::kReference);
    Tensor grad_weight = device_tensor(*reference, {V, H}, before);
    ops::embedding_backward(*reference, device_tensor(*reference, {T}, ids), device_tensor(*reference, {T, H}, grad), grad_weight,
                            Accumulate::kYes);
    EXPECT_LE(largest_error(added, values_of<float>(*reference, grad_weight)), 1e-5);  // up to 80 additions in f32
  }
}

double ordered_block_sum(const float* x, std::int64_t count, bool squares) {
  double chains[8] = {};
  for (std::int64_t i = 0; i < count; ++i) chains[i % 8] += squares ? double{x[i]} * double{x[i]} : double{x[i]};
  return ((chains[0] + chains[4]) + (chains[2] + chains[6])) + ((chains[1] + chains[5]) + (chains[3] + chains[7]));
}

TEST(Reduce, SumsBlocksInTheirFixedOrder) {
  for (const std::int64_t n : {1, 7, 1024, 1025, 5000, 70003}) {
    const auto x = random_values(n, 9);
    std::vector<double> sums, squares;
    for (std::int64_t first = 0; first < n; first += ops::kReduceBlock) {
      const std::int64_t count = std::min(ops::kReduceBlock, n - first);
      sums.push_back(ordered_block_sum(x.data() + first, count, false));
      squares.push_back(ordered_block_sum(x.data() + first, count, true));
    }
    const auto blocks = static_cast<std::int64_t>(sums.size());
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(fmt::format("{} elements, {}", n, variant));
      Tensor out = ctx.empty({blocks}, DType::kF64);
      ops::sum_blocks(ctx, device_tensor(ctx, {n}, x), out);
      EXPECT_EQ(values_of<double>(ctx, out), sums);
      ops::sum_squares_blocks(ctx, device_tensor(ctx, {n}, x), out);
      EXPECT_EQ(values_of<double>(ctx, out), squares);
    });
    const auto reference = make_cpu_context(1, Backend::kReference);
    Tensor out = reference->empty({blocks}, DType::kF64);
    ops::sum_squares_blocks(*reference, device_tensor(*reference, {n}, x), out);
    for (std::int64_t b = 0; b < blocks; ++b) {
      EXPECT_NEAR(values_of<double>(*reference, out)[static_cast<std::size_t>(b)], squares[static_cast<std::size_t>(b)], 1e-10);
    }
  }
}

TEST(CpuIsa, IsChosenByNameAndRefusedWhenTheProcessorLacksIt) {
  EXPECT_TRUE(ops::cpu_supports(ops::CpuIsa::kPortable));
  EXPECT_STREQ(ops::cpu_isa_name(ops::CpuIsa::kAvx2), "avx2");
  for (const auto isa : {ops::CpuIsa::kAvx2, ops::CpuIsa::kAvx512}) {
    if (ops::cpu_supports(isa)) continue;
    EXPECT_THROW(ops::set_cpu_isa(isa), Error);
  }
}

}  // namespace
}  // namespace r1::test

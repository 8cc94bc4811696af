#include "ops/linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ops/linear_cases.h"
#include "tests/support/gradient_check.h"
#include "tests/support/op_tensors.h"
#include "tests/support/ordered/linear.h"

namespace r1::test {
namespace {

using ops::Accumulate;

struct LinearData {
  explicit LinearData(const LinearCase& c)
      : x(random_values(c.M * c.K, c.seed)),
        weight(random_values(c.N * c.K, c.seed + 100)),
        bias(random_values(c.N, c.seed + 200)),
        grad_out(random_values(c.M * c.N, c.seed + 300)),
        x_before(random_values(c.M * c.K, c.seed + 400)),
        weight_before(random_values(c.N * c.K, c.seed + 500)) {}
  std::vector<float> x, weight, bias, grad_out, x_before, weight_before;
};

struct LinearResult {
  std::vector<float> out, out_with_bias, grad_x, grad_weight, grad_bias;
};

/// Rows of a wider tensor, so that strides are in play.
Tensor strided(const ExecContext& ctx, std::int64_t rows, std::int64_t columns, const std::vector<float>& values) {
  Tensor wide = ctx.empty({rows, columns + 5});
  Tensor view = wide.cols(3, columns + 3);
  ops::from_host(ctx, Tensor::host_from(std::span<const float>(values), Shape{rows, columns}, DType::kF32), view);
  return view;
}

LinearResult run(const ExecContext& ctx, const LinearCase& c, const LinearData& data, Accumulate accumulate) {
  const Tensor x = strided(ctx, c.M, c.K, data.x), grad_out = strided(ctx, c.M, c.N, data.grad_out);
  const Tensor weight = device_tensor(ctx, {c.N, c.K}, data.weight), bias = device_tensor(ctx, {c.N}, data.bias);
  Tensor out = device_tensor(ctx, {c.M, c.N}, data.grad_out), out_with_bias = strided(ctx, c.M, c.N, data.grad_out);
  Tensor grad_x = strided(ctx, c.M, c.K, data.x_before), grad_weight = device_tensor(ctx, {c.N, c.K}, data.weight_before);
  Tensor grad_bias = device_tensor(ctx, {c.N}, data.bias);
  ops::linear(ctx, x, weight, nullptr, out);
  ops::linear(ctx, x, weight, &bias, out_with_bias);
  ops::linear_backward_input(ctx, grad_out, weight, grad_x, accumulate);
  ops::linear_backward_weight(ctx, grad_out, x, grad_weight, &grad_bias, accumulate);
  return {values_of<float>(ctx, out), values_of<float>(ctx, out_with_bias), values_of<float>(ctx, grad_x),
          values_of<float>(ctx, grad_weight), values_of<float>(ctx, grad_bias)};
}

LinearResult ordered_result(const LinearCase& c, const LinearData& data, Accumulate accumulate) {
  const bool add = accumulate == Accumulate::kYes;
  return {ordered::linear(c.M, c.N, c.K, data.x.data(), data.weight.data(), nullptr),
          ordered::linear(c.M, c.N, c.K, data.x.data(), data.weight.data(), data.bias.data()),
          ordered::linear_backward_input(c.M, c.N, c.K, data.grad_out.data(), data.weight.data(), add ? data.x_before.data() : nullptr),
          ordered::linear_backward_weight(c.M, c.N, c.K, data.grad_out.data(), data.x.data(), add ? data.weight_before.data() : nullptr),
          ordered::column_sums(c.M, c.N, data.grad_out.data(), add ? data.bias.data() : nullptr)};
}

void expect_same_bits(const LinearResult& found, const LinearResult& expected) {
  EXPECT_EQ(first_difference(found.out, expected.out), -1);
  EXPECT_EQ(first_difference(found.out_with_bias, expected.out_with_bias), -1);
  EXPECT_EQ(first_difference(found.grad_x, expected.grad_x), -1);
  EXPECT_EQ(first_difference(found.grad_weight, expected.grad_weight), -1);
  EXPECT_EQ(first_difference(found.grad_bias, expected.grad_bias), -1);
}

void expect_ordered_bits(const std::vector<LinearCase>& cases, Accumulate accumulate) {
  std::vector<LinearData> data;
  std::vector<LinearResult> expected;
  for (const LinearCase& c : cases) {
    data.emplace_back(c);
    expected.push_back(ordered_result(c, data.back(), accumulate));
  }
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    for (std::size_t i = 0; i < cases.size() && !testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE(fmt::format("M {} N {} K {}, {}", cases[i].M, cases[i].N, cases[i].K, variant));
      expect_same_bits(run(ctx, cases[i], data[i], accumulate), expected[i]);
    }
  });
}

TEST(Linear, MatchesTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  const auto cpu = make_cpu_context(2);
  for (const LinearCase& c : kLinearCases) {
    for (const Accumulate accumulate : {Accumulate::kNo, Accumulate::kYes}) {
      const LinearData data(c);
      const LinearResult expected = run(*reference, c, data, accumulate), found = run(*cpu, c, data, accumulate);
      SCOPED_TRACE(fmt::format("M {} N {} K {}", c.M, c.N, c.K));
      EXPECT_LE(largest_error(found.out, expected.out), linear_tolerance(c.K));
      EXPECT_LE(largest_error(found.out_with_bias, expected.out_with_bias), linear_tolerance(c.K));
      EXPECT_LE(largest_error(found.grad_x, expected.grad_x), linear_tolerance(c.N));
      EXPECT_LE(largest_error(found.grad_weight, expected.grad_weight), linear_tolerance(c.M));
      EXPECT_LE(largest_error(found.grad_bias, expected.grad_bias), linear_tolerance(c.M));
    }
  }
}

TEST(Linear, EqualsTheScalarChainBitForBitForEveryNumberOfRows) {
  std::vector<LinearCase> cases;
  std::uint64_t seed = 20;
  for (std::int64_t M = 1; M <= 33; ++M) {
    for (const auto& [N, K] : {std::pair{1, 7}, {17, 63}, {37, 1}, {95, 129}}) cases.push_back({M, N, K, ++seed});
  }
  expect_ordered_bits(cases, Accumulate::kNo);
}

TEST(Linear, EqualsTheScalarChainBitForBitAcrossBlocksAndThreads) {
  expect_ordered_bits(kLinearCases, Accumulate::kYes);
  expect_ordered_bits(kLargeLinearCases, Accumulate::kYes);
}

TEST(Linear, TakesBfloat16WeightsWithTheChainOfTheWidenedValues) {
  for (const LinearCase& c : {LinearCase{5, 37, 70, 400}, LinearCase{80, 50, 401, 401}}) {
    const LinearData data(c);
    std::vector<float> widened_weight;
    std::vector<std::int16_t> stored;
    for (const float value : data.weight) {
      stored.push_back(static_cast<std::int16_t>(f32_to_bf16(value)));
      widened_weight.push_back(bf16_to_f32(f32_to_bf16(value)));
    }
    const auto expected = ordered::linear(c.M, c.N, c.K, data.x.data(), widened_weight.data(), data.bias.data());
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      const Tensor x = device_tensor(ctx, {c.M, c.K}, data.x), bias = device_tensor(ctx, {c.N}, data.bias);
      const Tensor weight = ops::to_device(ctx, Tensor::host_from(std::span<const std::int16_t>(stored), Shape{c.N, c.K}, DType::kBF16));
      Tensor out = ctx.empty({c.M, c.N});
      ops::linear(ctx, x, weight, &bias, out);
      EXPECT_EQ(first_difference(values_of<float>(ctx, out), expected), -1) << variant;
    });
  }
}

TEST(Linear, KeepsInfinityNanAndSubnormalsInTheirOwnElements) {
  const std::vector<float> x = {1.0F, HUGE_VALF, 1e-40F, 1.0F, NAN, 0.0F};
  const std::vector<float> weight = {1.0F, 0.0F, 1.0F, 0.0F, -1.0F, 0.0F};
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    Tensor out = ctx.empty({3, 3});
    ops::linear(ctx, device_tensor(ctx, {3, 2}, x), device_tensor(ctx, {3, 2}, weight), nullptr, out);
    const auto found = values_of<float>(ctx, out);
    SCOPED_TRACE(variant);
    EXPECT_TRUE(std::isnan(found[0]));  // 1 * 1 + inf * 0
    EXPECT_TRUE(std::isnan(found[1]));
    EXPECT_EQ(found[3], 1e-40F);
    EXPECT_EQ(found[4], 1e-40F);
    EXPECT_EQ(found[5], -1e-40F);
    EXPECT_TRUE(std::isnan(found[6]) && std::isnan(found[8]));
  });
}

TEST(Linear, TakesNoRows) {
  const auto ctx = make_cpu_context(2);
  const Tensor x = ctx->empty({0, 4}), weight = device_tensor(*ctx, {3, 4}, random_values(12, 1));
  Tensor out = ctx->empty({0, 3}), grad_weight = device_tensor(*ctx, {3, 4}, random_values(12, 2));
  ops::linear(*ctx, x, weight, nullptr, out);
  ops::linear_backward_weight(*ctx, out, x, grad_weight, nullptr, Accumulate::kNo);
  EXPECT_THAT(values_of<float>(*ctx, grad_weight), testing::Each(0.0F));
}

TEST(Linear, AllocatesNothingWhenWarm) {
  const auto ctx = make_cpu_context(2);
  const LinearCase c{200, 129, 300, 7};
  const LinearData data(c);
  run(*ctx, c, data, Accumulate::kNo);
  const auto before = ctx->allocator().stats().source_allocations;
  run(*ctx, c, data, Accumulate::kNo);
  EXPECT_EQ(ctx->allocator().stats().source_allocations, before);
}

TEST(Linear, GradientsMatchCentralDifferences) {
  GradientCheck check;
  check.inputs = {{"x", Shape{5, 7}, random_values<double>(35, 1)},
                  {"weight", Shape{6, 7}, random_values<double>(42, 2)},
                  {"bias", Shape{6}, random_values<double>(6, 3)}};
  check.forward = [](const ExecContext& ctx, const std::vector<Tensor>& in) {
    Tensor out = ctx.empty({5, 6}, DType::kF64);
    ops::linear(ctx, in[0], in[1], &in[2], out);
    return std::vector<Tensor>{out};
  };
  check.backward = [](const ExecContext& ctx, const std::vector<Tensor>& in, const std::vector<Tensor>& grads) {
    Tensor grad_x = ctx.empty({5, 7}, DType::kF64), grad_weight = ctx.empty({6, 7}, DType::kF64), grad_bias = ctx.empty({6}, DType::kF64);
    ops::linear_backward_input(ctx, grads[0], in[1], grad_x, Accumulate::kNo);
    ops::linear_backward_weight(ctx, grads[0], in[0], grad_weight, &grad_bias, Accumulate::kNo);
    return std::vector<Tensor>{grad_x, grad_weight, grad_bias};
  };
  expect_gradients_match(check);
}

TEST(Linear, NamesTheArgumentThatDoesNotFit) {
  const auto ctx = make_cpu_context(1);
  Tensor out = ctx->empty({2, 3});
  try {
    ops::linear(*ctx, ctx->empty({2, 4}), ctx->empty({3, 5}), nullptr, out);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kShape);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("linear"), testing::HasSubstr("weight"), testing::HasSubstr("[3, 4]"),
                                             testing::HasSubstr("[3, 5]")));
  }
  EXPECT_THROW(ops::linear(*ctx, ctx->empty({2, 4}, DType::kF64), ctx->empty({3, 4}, DType::kF64), nullptr, out), Error);
}

std::vector<std::int8_t> random_int8(std::int64_t count, std::uint64_t seed) {
  std::vector<std::int8_t> values;
  for (const float value : random_values(count, seed, 50.0)) {
    values.push_back(static_cast<std::int8_t>(std::clamp(value, -127.0F, 127.0F)));
  }
  return values;
}

TEST(LinearInt8, EqualsItsOrderOfSumsAndTheReference) {
  std::vector<LinearCase> cases = kLinearCases;
  cases.insert(cases.end(), kLargeLinearCases.begin(), kLargeLinearCases.end());
  for (const LinearCase& c : cases) {
    const LinearData data(c);
    const std::vector<std::int8_t> weight = random_int8(c.N * c.K, c.seed + 1);
    std::vector<float> scales = random_values(c.N, c.seed + 2);
    const auto run_int8 = [&](const ExecContext& ctx) {
      const Tensor x = strided(ctx, c.M, c.K, data.x);
      const Tensor bias = device_tensor(ctx, {c.N}, data.bias);
      Tensor out = strided(ctx, c.M, c.N, data.grad_out);
      ops::linear_int8(ctx, x, device_tensor(ctx, {c.N, c.K}, weight), device_tensor(ctx, {c.N}, scales), &bias, out);
      return values_of<float>(ctx, out);
    };
    const std::vector<float> ordered = ordered::linear_int8(c.M, c.N, c.K, data.x.data(), weight.data(), scales.data(), data.bias.data());
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      EXPECT_EQ(first_difference(run_int8(ctx), ordered), -1) << variant << " M " << c.M << " N " << c.N << " K " << c.K;
    });
    const auto reference = make_cpu_context(1, Backend::kReference);
    const std::vector<float> expected = run_int8(*reference);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      // Weights of about 50, scales and x of about 1: 50 times linear_tolerance; and rounding relative to the largest of 37,000 sums.
      const double scale = std::fabs(static_cast<double>(scales[i % static_cast<std::size_t>(c.N)]));
      EXPECT_NEAR(ordered[i], expected[i], 50 * linear_tolerance(c.K) * (1 + scale) + 1e-6 * std::fabs(static_cast<double>(expected[i])));
    }
  }
}

std::vector<std::uint8_t> random_f8(std::int64_t count, std::uint64_t seed) {
  std::vector<std::uint8_t> values;
  for (const float value : random_values(count, seed, 50.0)) values.push_back(f32_to_f8e4m3(value));
  return values;
}

TEST(LinearFp8, EqualsItsOrderOfSumsAndTheReference) {
  std::vector<LinearCase> cases = kLinearCases;
  cases.insert(cases.end(), kLargeLinearCases.begin(), kLargeLinearCases.end());
  for (const LinearCase& c : cases) {
    LinearData data(c);
    if (c.M > 1) std::fill_n(data.x.begin(), c.K, 0.0F);  // a row of zeros
    const std::vector<std::uint8_t> weight = random_f8(c.N * c.K, c.seed + 1);
    std::vector<float> scales = random_values(c.N, c.seed + 2);
    const auto run_fp8 = [&](const ExecContext& ctx) {
      const Tensor x = strided(ctx, c.M, c.K, data.x);
      const Tensor bias = device_tensor(ctx, {c.N}, data.bias);
      Tensor out = strided(ctx, c.M, c.N, data.grad_out);
      const Tensor stored = ops::to_device(ctx, Tensor::host_from(std::span<const std::uint8_t>(weight), {c.N, c.K}, DType::kF8E4M3));
      ops::linear_fp8(ctx, x, stored, device_tensor(ctx, {c.N}, scales), &bias, out);
      return values_of<float>(ctx, out);
    };
    const std::vector<float> ordered = ordered::linear_fp8(c.M, c.N, c.K, data.x.data(), weight.data(), scales.data(), data.bias.data());
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      EXPECT_EQ(first_difference(run_fp8(ctx), ordered), -1) << variant << " M " << c.M << " N " << c.N << " K " << c.K;
    });
    const auto reference = make_cpu_context(1, Backend::kReference);
    const std::vector<float> expected = run_fp8(*reference);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      // As for int8: weights of about 50, scales and x of about 1.
      const double scale = std::fabs(static_cast<double>(scales[i % static_cast<std::size_t>(c.N)]));
      EXPECT_NEAR(ordered[i], expected[i], 50 * linear_tolerance(c.K) * (1 + scale) + 1e-6 * std::fabs(static_cast<double>(expected[i])));
    }
  }
}

TEST(LinearFp8, StaysWithinTheRoundingOfThreeBitsOfTheExactProduct) {
  // Each factor is rounded by at most 2^-4 of itself: the errors of K products of about 1 add up like a random walk.
  const std::int64_t M = 5, N = 32, K = 256;
  const auto ctx = make_cpu_context(1);
  const std::vector<float> x = random_values(M * K, 1), exact = random_values(N * K, 2);
  std::vector<float> scales;
  std::vector<std::uint8_t> weight;
  for (std::int64_t n = 0; n < N; ++n) {
    float largest = 0;
    for (std::int64_t k = 0; k < K; ++k) largest = std::max(largest, std::fabs(exact[static_cast<std::size_t>(n * K + k)]));
    scales.push_back(largest / kF8E4M3Max);
    for (std::int64_t k = 0; k < K; ++k) weight.push_back(f32_to_f8e4m3(exact[static_cast<std::size_t>(n * K + k)] / scales.back()));
  }
  Tensor out = ctx->empty({M, N}), wanted = ctx->empty({M, N});
  const Tensor stored = ops::to_device(*ctx, Tensor::host_from(std::span<const std::uint8_t>(weight), {N, K}, DType::kF8E4M3));
  ops::linear_fp8(*ctx, device_tensor(*ctx, {M, K}, x), stored, device_tensor(*ctx, {N}, scales), nullptr, out);
  ops::linear(*ctx, device_tensor(*ctx, {M, K}, x), device_tensor(*ctx, {N, K}, exact), nullptr, wanted);
  const std::vector<float> found = values_of<float>(*ctx, out), expected = values_of<float>(*ctx, wanted);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 4 * 0.04 * std::sqrt(static_cast<double>(K)));
}

}  // namespace
}  // namespace r1::test

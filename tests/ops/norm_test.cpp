#include "ops/norm.h"

#include <gtest/gtest.h>

#include "tests/ops/norm_cases.h"
#include "tests/support/gradient_check.h"
#include "tests/support/op_tensors.h"
#include "tests/support/ordered/norm.h"

namespace r1::test {
namespace {

using ops::Accumulate;

struct NormData {
  explicit NormData(const NormCase& c)
      : shape{c.num_rows, c.hidden_size},
        x(random_values(c.num_rows * c.hidden_size, c.seed, c.spread)),
        residual(random_values(c.num_rows * c.hidden_size, c.seed + 100, c.spread)),
        weight(random_values(c.hidden_size, c.seed + 200)),
        grad(random_values(c.num_rows * c.hidden_size, c.seed + 300)),
        before(random_values(c.num_rows * c.hidden_size, c.seed + 400)),
        weight_before(random_values(c.hidden_size, c.seed + 500)) {}
  Shape shape;
  std::vector<float> x, residual, weight, grad, before, weight_before;
};

struct NormResult {
  std::vector<float> out, rstd, sum, sum_out;
};

NormResult run_forward(const ExecContext& ctx, const NormCase& c, const NormData& data) {
  const Tensor x = device_tensor(ctx, data.shape, data.x);
  const Tensor residual = device_tensor(ctx, data.shape, data.residual);
  const Tensor weight = device_tensor(ctx, {c.hidden_size}, data.weight);
  Tensor out = ctx.empty(data.shape), rstd = ctx.empty({c.num_rows}), sum = ctx.empty(data.shape), sum_out = ctx.empty(data.shape);
  ops::rms_norm(ctx, x, weight, c.eps, out, &rstd);
  ops::add_rms_norm(ctx, x, residual, weight, c.eps, sum, sum_out);
  return {values_of<float>(ctx, out), values_of<float>(ctx, rstd), values_of<float>(ctx, sum), values_of<float>(ctx, sum_out)};
}

struct NormGradients {
  std::vector<float> x, weight;
};

NormGradients run_backward(const ExecContext& ctx, const NormCase& c, const NormData& data, const std::vector<float>& rstd_values,
                           Accumulate accumulate) {
  const Tensor x = device_tensor(ctx, data.shape, data.x);
  const Tensor weight = device_tensor(ctx, {c.hidden_size}, data.weight);
  const Tensor grad = device_tensor(ctx, data.shape, data.grad);
  const Tensor rstd = device_tensor(ctx, {c.num_rows}, rstd_values);
  Tensor grad_x = device_tensor(ctx, data.shape, data.before);
  Tensor grad_weight = device_tensor(ctx, {c.hidden_size}, data.weight_before);
  ops::rms_norm_backward(ctx, grad, x, weight, rstd, grad_x, accumulate, grad_weight, accumulate);
  return {values_of<float>(ctx, grad_x), values_of<float>(ctx, grad_weight)};
}

TEST(RmsNorm, MatchesTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const NormCase& c : kNormCases) {
    const NormData data(c);
    const NormResult expected = run_forward(*reference, c, data);
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      const NormResult found = run_forward(ctx, c, data);
      SCOPED_TRACE(fmt::format("{} rows of {}, {}", c.num_rows, c.hidden_size, variant));
      EXPECT_LE(largest_error(found.out, expected.out), kNormTolerance);
      EXPECT_LE(largest_error(found.rstd, expected.rstd), kNormTolerance);
      EXPECT_LE(largest_error(found.sum, expected.sum), kNormTolerance);
      EXPECT_LE(largest_error(found.sum_out, expected.sum_out), kNormTolerance);
      for (const Accumulate accumulate : {Accumulate::kNo, Accumulate::kYes}) {
        const NormGradients grad = run_backward(ctx, c, data, expected.rstd, accumulate);
        const NormGradients expected_grad = run_backward(*reference, c, data, expected.rstd, accumulate);
        EXPECT_LE(largest_error(grad.x, expected_grad.x), kNormGradTolerance);
        EXPECT_LE(largest_error(grad.weight, expected_grad.weight), kNormGradTolerance);
      }
    });
  }
}

TEST(RmsNorm, EqualsItsScalarSpecificationBitForBit) {
  for (const NormCase& c : kNormCases) {
    const NormData data(c);
    NormResult expected{std::vector<float>(data.x.size()), std::vector<float>(static_cast<std::size_t>(c.num_rows)), data.x,
                        std::vector<float>(data.x.size())};
    NormGradients grad{std::vector<float>(data.x.size()), std::vector<float>(data.weight.size(), 0.0F)};
    NormGradients added{data.before, data.weight_before};
    for (std::size_t i = 0; i < data.x.size(); ++i) expected.sum[i] = data.x[i] + data.residual[i];
    for (std::int64_t t = 0; t < c.num_rows; ++t) {
      const std::int64_t at = t * c.hidden_size;
      const auto r = static_cast<std::size_t>(t);
      expected.rstd[r] = ordered::rms_norm_row(&data.x[static_cast<std::size_t>(at)], data.weight.data(), c.hidden_size, c.eps,
                                               &expected.out[static_cast<std::size_t>(at)]);
      ordered::rms_norm_row(&expected.sum[static_cast<std::size_t>(at)], data.weight.data(), c.hidden_size, c.eps,
                            &expected.sum_out[static_cast<std::size_t>(at)]);
      for (NormGradients* result : {&grad, &added}) {
        std::vector<float> row(static_cast<std::size_t>(c.hidden_size));
        ordered::rms_norm_backward_row(&data.grad[static_cast<std::size_t>(at)], &data.x[static_cast<std::size_t>(at)], data.weight.data(),
                                       expected.rstd[r], c.hidden_size, row.data(), result->weight.data());
        for (std::size_t i = 0; i < row.size(); ++i) {
          float& element = result->x[static_cast<std::size_t>(at) + i];
          element = result == &added ? element + row[i] : row[i];
        }
      }
    }
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(fmt::format("{} rows of {}, {}", c.num_rows, c.hidden_size, variant));
      const NormResult found = run_forward(ctx, c, data);
      EXPECT_EQ(first_difference(found.out, expected.out), -1);
      EXPECT_EQ(first_difference(found.rstd, expected.rstd), -1);
      EXPECT_EQ(first_difference(found.sum, expected.sum), -1);
      EXPECT_EQ(first_difference(found.sum_out, expected.sum_out), -1);
      const NormGradients overwritten = run_backward(ctx, c, data, expected.rstd, Accumulate::kNo);
      EXPECT_EQ(first_difference(overwritten.x, grad.x), -1);
      EXPECT_EQ(first_difference(overwritten.weight, grad.weight), -1);
      const NormGradients accumulated = run_backward(ctx, c, data, expected.rstd, Accumulate::kYes);
      EXPECT_EQ(first_difference(accumulated.x, added.x), -1);
      EXPECT_EQ(first_difference(accumulated.weight, added.weight), -1);
    });
  }
}

TEST(RmsNorm, GradientsMatchCentralDifferences) {
  const Shape shape{3, 7};
  const auto values = [](std::int64_t count, std::uint64_t seed) { return widened(random_values(count, seed)); };
  expect_gradients_match({
      .forward =
          [&](const ExecContext& ctx, const std::vector<Tensor>& inputs) {
            Tensor out = ctx.empty(shape, DType::kF64);
            ops::rms_norm(ctx, inputs[0], inputs[1], 1e-3F, out);
            return std::vector{out};
          },
      .backward =
          [&](const ExecContext& ctx, const std::vector<Tensor>& inputs, const std::vector<Tensor>& grad_outputs) {
            Tensor out = ctx.empty(shape, DType::kF64), rstd = ctx.empty({3}, DType::kF64);
            ops::rms_norm(ctx, inputs[0], inputs[1], 1e-3F, out, &rstd);
            Tensor grad_x = ctx.empty(shape, DType::kF64), grad_weight = ctx.empty({7}, DType::kF64);
            ops::rms_norm_backward(ctx, grad_outputs[0], inputs[0], inputs[1], rstd, grad_x, Accumulate::kNo, grad_weight, Accumulate::kNo);
            return std::vector{grad_x, grad_weight};
          },
      .inputs = {{"x", shape, values(21, 1)}, {"weight", {7}, values(7, 2)}},
  });
}

TEST(RmsNorm, WritesOverItsInputAndOverTheGradient) {
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    SCOPED_TRACE(variant);
    const NormCase c = kNormCases[4];
    const NormData data(c);
    const Tensor weight = device_tensor(ctx, {c.hidden_size}, data.weight);
    Tensor x = device_tensor(ctx, data.shape, data.x);
    ops::rms_norm(ctx, x, weight, c.eps, x);
    const NormResult apart = run_forward(ctx, c, data);
    EXPECT_EQ(first_difference(values_of<float>(ctx, x), apart.out), -1);

    x = device_tensor(ctx, data.shape, data.x);
    Tensor grad = device_tensor(ctx, data.shape, data.grad);
    const Tensor rstd = device_tensor(ctx, {c.num_rows}, apart.rstd);
    Tensor grad_weight = ctx.empty({c.hidden_size});
    ops::rms_norm_backward(ctx, grad, x, weight, rstd, grad, Accumulate::kNo, grad_weight, Accumulate::kNo);
    EXPECT_EQ(first_difference(values_of<float>(ctx, grad), run_backward(ctx, c, data, apart.rstd, Accumulate::kNo).x), -1);
  });
}

TEST(RmsNorm, NamesTheArgumentThatDoesNotFit) {
  const auto ctx = make_cpu_context(1);
  const Tensor x = ctx->empty({2, 8}), weight = ctx->empty({9});
  Tensor out = ctx->empty({2, 8});
  try {
    ops::rms_norm(*ctx, x, weight, 1e-6F, out);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kShape);
    EXPECT_STREQ(error.what(), "rms_norm: weight must have shape [8], found [9]");
  }
}

}  // namespace
}  // namespace r1::test

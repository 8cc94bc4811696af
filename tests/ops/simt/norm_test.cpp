#include "ops/norm.h"

#include <gtest/gtest.h>

#include "ops/op_scope.h"
#include "tests/ops/norm_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

using ops::Accumulate;

struct NormData {
  NormData(const NormCase& c, DType dtype)
      : shape{c.num_rows, c.hidden_size},
        x(rounded(random_values(c.num_rows * c.hidden_size, c.seed, c.spread), dtype)),
        residual(rounded(random_values(c.num_rows * c.hidden_size, c.seed + 100, c.spread), dtype)),
        weight(rounded(random_values(c.hidden_size, c.seed + 200), dtype)),
        grad(rounded(random_values(c.num_rows * c.hidden_size, c.seed + 300), dtype)),
        before(rounded(random_values(c.num_rows * c.hidden_size, c.seed + 400), dtype)),
        weight_before(rounded(random_values(c.hidden_size, c.seed + 500), dtype)) {}
  Shape shape;
  std::vector<float> x, residual, weight, grad, before, weight_before;
};

/// out, rstd, sum, out of the sum, its rstd by table's functions on tensors of the storage type.
Results forward(const ExecContext& ctx, const ops::OpTable& table, const NormCase& c, const NormData& data, DType dtype) {
  const Tensor x = stored_tensor(ctx, data.shape, data.x, dtype), residual = stored_tensor(ctx, data.shape, data.residual, dtype);
  const Tensor weight = stored_tensor(ctx, {c.hidden_size}, data.weight, dtype);
  Tensor out = ctx.empty(data.shape, dtype), rstd = ctx.empty({c.num_rows}), sum = ctx.empty(data.shape, dtype);
  Tensor sum_out = ctx.empty(data.shape, dtype), sum_rstd = ctx.empty({c.num_rows});
  ops::OpScope scope(ctx, "norm test");
  table.rms_norm(ctx, x, weight, c.eps, out, &rstd);
  table.add_rms_norm(ctx, x, residual, weight, c.eps, sum, sum_out, &sum_rstd);
  return {floats_of(ctx, out), floats_of(ctx, rstd), floats_of(ctx, sum), floats_of(ctx, sum_out), floats_of(ctx, sum_rstd)};
}

Results backward(const ExecContext& ctx, const ops::OpTable& table, const NormCase& c, const NormData& data,
                 const std::vector<float>& rstd_values, Accumulate accumulate, DType dtype) {
  const Tensor x = stored_tensor(ctx, data.shape, data.x, dtype), grad = stored_tensor(ctx, data.shape, data.grad, dtype);
  const Tensor weight = stored_tensor(ctx, {c.hidden_size}, data.weight, dtype);
  const Tensor rstd = stored_tensor(ctx, {c.num_rows}, rstd_values, DType::kF32);
  Tensor grad_x = stored_tensor(ctx, data.shape, data.before, dtype);
  Tensor grad_weight = stored_tensor(ctx, {c.hidden_size}, data.weight_before, dtype);
  ops::OpScope scope(ctx, "norm test");
  table.rms_norm_backward(ctx, grad, x, weight, rstd, grad_x, accumulate, grad_weight, accumulate);
  return {floats_of(ctx, grad_x), floats_of(ctx, grad_weight)};
}

TEST(SimtRmsNorm, MatchesTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const NormCase& c : kNormCases) {
      if (c.hidden_size > kLargestEmulated) continue;
      SCOPED_TRACE(fmt::format("{} rows of {}, {}", c.num_rows, c.hidden_size, dtype_name(dtype)));
      const NormData data(c, dtype);
      const Results expected = forward(*reference, ops::reference_table(), c, data, DType::kF32);
      const Results found = on_all_schedules([&](const ExecContext& ctx) { return forward(ctx, simt_table(), c, data, dtype); });
      expect_close(found, expected, tolerance(kNormTolerance, dtype));
      for (const Accumulate accumulate : {Accumulate::kNo, Accumulate::kYes}) {
        const Results expected_grads = backward(*reference, ops::reference_table(), c, data, expected[1], accumulate, DType::kF32);
        expect_close(
            on_all_schedules([&](const ExecContext& ctx) { return backward(ctx, simt_table(), c, data, expected[1], accumulate, dtype); }),
            expected_grads, tolerance(kNormGradTolerance, dtype));
      }
    }
  }
}

TEST(SimtRmsNorm, WorksInPlaceAndOnRowsWithAStride) {
  const NormCase c{35, 64, 1e-6F, 1.0, 9};
  const NormData data(c, DType::kF32);
  const auto reference = make_cpu_context(1, Backend::kReference);
  const auto run = [&](const ExecContext& ctx, const ops::OpTable& table) -> Results {
    const Tensor wide = stored_tensor(ctx, {c.num_rows, 72}, random_values(c.num_rows * 72, 10), DType::kF32);
    Tensor x = wide.cols(4, 68), grad = stored_tensor(ctx, data.shape, data.grad, DType::kF32);
    const Tensor weight = stored_tensor(ctx, {c.hidden_size}, data.weight, DType::kF32);
    Tensor rstd = ctx.empty({c.num_rows}), grad_weight = ctx.empty({c.hidden_size});
    Tensor residual = stored_tensor(ctx, data.shape, data.residual, DType::kF32), out = ctx.empty(data.shape);
    ops::OpScope scope(ctx, "norm test");
    table.add_rms_norm(ctx, x, residual, weight, c.eps, residual, out, &rstd);
    table.rms_norm_backward(ctx, grad, residual, weight, rstd, grad, Accumulate::kNo, grad_weight, Accumulate::kNo);
    table.rms_norm(ctx, x, weight, c.eps, x, nullptr);
    return {floats_of(ctx, wide), floats_of(ctx, residual), floats_of(ctx, out), floats_of(ctx, grad), floats_of(ctx, grad_weight)};
  };
  const Results expected = run(*reference, ops::reference_table());
  expect_close(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table()); }), expected, kNormGradTolerance);
}

}  // namespace
}  // namespace r1::test

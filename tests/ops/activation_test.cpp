#include "ops/activation.h"

#include <gtest/gtest.h>

#include "tests/ops/activation_cases.h"
#include "tests/support/gradient_check.h"
#include "tests/support/op_tensors.h"
#include "tests/support/ordered/pointwise.h"

namespace r1::test {
namespace {

struct SwigluData {
  explicit SwigluData(const SwigluCase& c)
      : gate_up(random_values(c.num_tokens * c.intermediate_size * 2, 1, c.spread)),
        grad(random_values(c.num_tokens * c.intermediate_size, 2)) {
    gate_up[0] = -120.0F;  // exp(120) overflows: the gate is 0
  }
  std::vector<float> gate_up, grad;
};

struct SwigluResult {
  std::vector<float> out, grad;
};

SwigluResult run(const ExecContext& ctx, const SwigluCase& c, const SwigluData& data) {
  Tensor gate_up = device_tensor(ctx, {c.num_tokens, 2 * c.intermediate_size}, data.gate_up);
  const Tensor grad = device_tensor(ctx, {c.num_tokens, c.intermediate_size}, data.grad);
  Tensor out = ctx.empty({c.num_tokens, c.intermediate_size});
  ops::swiglu(ctx, gate_up, out);
  ops::swiglu_backward(ctx, grad, gate_up, gate_up);  // in place
  return {values_of<float>(ctx, out), values_of<float>(ctx, gate_up)};
}

TEST(Swiglu, MatchesTheReferenceAndEqualsItsScalarSpecificationBitForBit) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const SwigluCase& c : kSwigluCases) {
    const SwigluData data(c);
    const SwigluResult expected = run(*reference, c, data);
    SwigluResult bits{data.grad, data.gate_up};
    for (std::int64_t t = 0; t < c.num_tokens; ++t) {
      for (std::int64_t i = 0; i < c.intermediate_size; ++i) {
        const std::int64_t out = t * c.intermediate_size + i;
        const std::int64_t gate = 2 * t * c.intermediate_size + i;
        const std::int64_t up = gate + c.intermediate_size;
        bits.out[out] = ordered::swiglu(data.gate_up[gate], data.gate_up[up]);
        std::tie(bits.grad[gate], bits.grad[up]) = ordered::swiglu_backward(data.grad[out], data.gate_up[gate], data.gate_up[up]);
      }
    }
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(fmt::format("{} tokens of {}, {}", c.num_tokens, c.intermediate_size, variant));
      const SwigluResult found = run(ctx, c, data);
      EXPECT_LE(largest_error(found.out, expected.out), kSwigluTolerance);
      EXPECT_LE(largest_error(found.grad, expected.grad), kSwigluTolerance);
      EXPECT_EQ(first_difference(found.out, bits.out), -1);
      EXPECT_EQ(first_difference(found.grad, bits.grad), -1);
    });
  }
}

TEST(Swiglu, GradientsMatchCentralDifferences) {
  expect_gradients_match({
      .forward =
          [](const ExecContext& ctx, const std::vector<Tensor>& inputs) {
            Tensor out = ctx.empty({4, 5}, DType::kF64);
            ops::swiglu(ctx, inputs[0], out);
            return std::vector{out};
          },
      .backward =
          [](const ExecContext& ctx, const std::vector<Tensor>& inputs, const std::vector<Tensor>& grad_outputs) {
            Tensor grad = ctx.empty({4, 10}, DType::kF64);
            ops::swiglu_backward(ctx, grad_outputs[0], inputs[0], grad);
            return std::vector{grad};
          },
      .inputs = {{"gate_up", {4, 10}, random_values<double>(40, 3, 2.0)}},
  });
}

TEST(Swiglu, RefusesAnOddNumberOfColumns) {
  const auto ctx = make_cpu_context(1);
  Tensor out = ctx->empty({2, 2});
  EXPECT_THROW(ops::swiglu(*ctx, ctx->empty({2, 5}), out), Error);
}

}  // namespace
}  // namespace r1::test

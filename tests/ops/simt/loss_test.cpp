#include "ops/loss.h"

#include "ops/op_scope.h"
#include "tests/ops/loss_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

using ops::Accumulate;

struct LossData {
  LossData(const LossCase& c, DType dtype)
      : hidden(rounded(random_values(c.T * c.H, c.seed), dtype)),
        weight(rounded(random_values(c.V * c.H, c.seed + 10), dtype)),
        grad(random_values(c.T, c.seed + 20)),
        weight_before(random_values(c.V * c.H, c.seed + 30)) {
    RandomStream random(c.seed, "labels");
    for (std::int64_t t = 0; t < c.T; ++t) {
      const auto id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(c.V)));
      labels.push_back(c.ignored_every > 0 && t % c.ignored_every == 0 ? ops::kIgnoreIndex : id);
    }
  }
  std::vector<float> hidden, weight, grad, weight_before;
  std::vector<std::int32_t> labels;
};

/// Everything of the head on one case; a workspace of 256 ids or so, so that there are several chunks.
Results run_head(const ExecContext& ctx, const ops::OpTable& table, const LossCase& c, const LossData& data, DType dtype) {
  const Tensor hidden = stored_tensor(ctx, {c.T, c.H}, data.hidden, dtype), weight = stored_tensor(ctx, {c.V, c.H}, data.weight, dtype);
  const Tensor ids = device_tensor(ctx, {c.T}, data.labels), grad = device_tensor(ctx, {c.T}, data.grad);
  Tensor token_loss = ctx.empty({c.T}), is_correct = ctx.empty({c.T}), log_probs = ctx.empty({c.T}), entropy = ctx.empty({c.T}),
         lse = ctx.empty({c.T});
  Tensor grad_hidden = ctx.empty({c.T, c.H}, dtype), grad_weight = ctx.empty({c.V, c.H});
  Tensor grad_hidden2 = ctx.empty({c.T, c.H}, dtype), grad_weight2 = device_tensor(ctx, {c.V, c.H}, data.weight_before);
  const auto workspace_bytes = static_cast<std::size_t>(c.T * 1024);
  ops::OpScope scope(ctx, "loss test");
  const ops::CrossEntropyGradients gradients{0.25F, &grad_hidden, &grad_weight, Accumulate::kNo};
  table.linear_cross_entropy(ctx, hidden, weight, ids, token_loss, is_correct, gradients, workspace_bytes);
  table.selected_log_probs(ctx, hidden, weight, ids, c.temperature, log_probs, &entropy, &lse, workspace_bytes);
  table.selected_log_probs_backward(ctx, grad, hidden, weight, ids, c.temperature, lse, grad_hidden2, grad_weight2, Accumulate::kYes,
                                    workspace_bytes);
  return {floats_of(ctx, token_loss),  floats_of(ctx, is_correct),   floats_of(ctx, log_probs),
          floats_of(ctx, entropy),     floats_of(ctx, lse),          floats_of(ctx, grad_hidden),
          floats_of(ctx, grad_weight), floats_of(ctx, grad_hidden2), floats_of(ctx, grad_weight2)};
}

TEST(SimtHead, MatchesTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const LossCase& c : kLossCases) {
      if (c.V > kLargestEmulated) continue;
      SCOPED_TRACE(fmt::format("{} rows, {} ids, {}", c.T, c.V, dtype_name(dtype)));
      const LossData data(c, dtype);
      const Results expected = run_head(*reference, ops::reference_table(), c, data, DType::kF32);
      const Results found = on_all_schedules([&](const ExecContext& ctx) { return run_head(ctx, simt_table(), c, data, dtype); });
      EXPECT_EQ(found[1], expected[1]);  // is_correct
      for (std::size_t i = 0; i < found.size(); ++i) {
        // Gradients are sums of products with gradients of logits, each of which is rounded in bf16: by 2^-9 of what is summed, whose
        // absolute values add up to 6 or so here. The others are f32.
        const double allowed = i < 5 ? kLossTolerance : dtype == DType::kBF16 ? 0x1p-6 : kLossGradTolerance;
        EXPECT_LE(largest_error(found[i], expected[i]), allowed) << "result " << i;
      }
    }
  }
}

TEST(SimtHead, TakesLogitsThatExist) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const LossCase& c : kLossCases) {
      if (c.V > kLargestEmulated) continue;
      SCOPED_TRACE(fmt::format("{} rows, {} ids, {}", c.T, c.V, dtype_name(dtype)));
      auto values = rounded(random_values(c.T * c.V, c.seed, 3.0), dtype);
      values[0] = -INFINITY;
      const LossData data(c, dtype);
      const auto run = [&](const ExecContext& ctx, const ops::OpTable& table, DType stored) -> Results {
        const Tensor logits = stored_tensor(ctx, {c.T, c.V}, values, stored), ids = device_tensor(ctx, {c.T}, data.labels);
        Tensor log_probs = ctx.empty({c.T}), entropy = ctx.empty({c.T});
        ops::OpScope scope(ctx, "loss test");
        table.log_probs_of_logits(ctx, logits, ids, c.temperature, log_probs, &entropy);
        return {floats_of(ctx, log_probs), floats_of(ctx, entropy)};
      };
      expect_close(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table(), dtype); }),
                   run(*reference, ops::reference_table(), DType::kF32), kLossTolerance);
    }
  }
}

TEST(SimtHead, CountsTheLowestOfEqualLogitsAsTheArgmax) {
  // One hidden element of 1: the logits are the weights. 300 ids make two chunks; ids 10, 20, 290 and 295 are the largest.
  std::vector<float> weights(300, 0.0F);
  weights[10] = weights[20] = weights[290] = weights[295] = 2.0F;
  const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
    const Tensor hidden = stored_tensor(ctx, {4, 1}, {1.0F, 1.0F, 1.0F, 1.0F}, DType::kF32),
                 weight = stored_tensor(ctx, {300, 1}, weights, DType::kF32);
    const Tensor ids = device_tensor(ctx, {4}, std::vector<std::int32_t>{10, 20, 290, 295});
    Tensor token_loss = ctx.empty({4}), is_correct = ctx.empty({4});
    ops::OpScope scope(ctx, "loss test");
    simt_table().linear_cross_entropy(ctx, hidden, weight, ids, token_loss, is_correct, std::nullopt, 4 * 1024);
    return {floats_of(ctx, is_correct)};
  });
  EXPECT_EQ(found[0], (std::vector<float>{1, 0, 0, 0}));
}

}  // namespace
}  // namespace r1::test

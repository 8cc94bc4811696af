#include "ops/loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ops/loss_cases.h"
#include "tests/support/gradient_check.h"
#include "tests/support/op_tensors.h"
#include "tests/support/ordered/linear.h"
#include "tests/support/ordered/log_softmax.h"

namespace r1::test {
namespace {

using ops::Accumulate;
using ops::kIgnoreIndex;

constexpr float kScale = 0.37F;

struct LossData {
  explicit LossData(const LossCase& c)
      : hidden(random_values(c.T * c.H, c.seed)),
        weight(random_values(c.V * c.H, c.seed + 100)),
        grad_log_probs(random_values(c.T, c.seed + 200)),
        weight_before(random_values(c.V * c.H, c.seed + 300)) {
    RandomStream random(c.seed, "labels");
    for (std::int64_t t = 0; t < c.T; ++t) {
      const bool ignored = c.ignored_every > 0 && t % c.ignored_every == 1;
      ids.push_back(ignored ? kIgnoreIndex : static_cast<std::int32_t>(random.uniform() * static_cast<double>(c.V)));
    }
  }
  std::vector<float> hidden, weight, grad_log_probs, weight_before;
  std::vector<std::int32_t> ids;
};

struct LossResult {
  std::vector<float> token_loss, is_correct, ce_grad_hidden, ce_grad_weight, log_probs, entropy, lse, lp_grad_hidden, lp_grad_weight;
};

LossResult run(const ExecContext& ctx, const LossCase& c, const LossData& data, std::size_t workspace_bytes) {
  const Tensor hidden = device_tensor(ctx, {c.T, c.H}, data.hidden), weight = device_tensor(ctx, {c.V, c.H}, data.weight);
  const Tensor ids = device_tensor(ctx, {c.T}, data.ids), grad = device_tensor(ctx, {c.T}, data.grad_log_probs);
  Tensor loss = ctx.empty({c.T}), correct = ctx.empty({c.T}), log_probs = ctx.empty({c.T}), entropy = ctx.empty({c.T});
  Tensor lse = ctx.empty({c.T}), ce_hidden = ctx.empty({c.T, c.H}), lp_hidden = ctx.empty({c.T, c.H});
  Tensor ce_weight = device_tensor(ctx, {c.V, c.H}, data.weight_before), lp_weight = ctx.empty({c.V, c.H});
  ops::linear_cross_entropy(ctx, hidden, weight, ids, loss, correct,
                            ops::CrossEntropyGradients{kScale, &ce_hidden, &ce_weight, Accumulate::kYes}, workspace_bytes);
  ops::selected_log_probs(ctx, hidden, weight, ids, c.temperature, log_probs, &entropy, &lse, workspace_bytes);
  ops::selected_log_probs_backward(ctx, grad, hidden, weight, ids, c.temperature, lse, lp_hidden, lp_weight, Accumulate::kNo,
                                   workspace_bytes);
  const auto read = [&](const Tensor& tensor) { return values_of<float>(ctx, tensor); };
  return {read(loss),    read(correct), read(ce_hidden), read(ce_weight), read(log_probs),
          read(entropy), read(lse),     read(lp_hidden), read(lp_weight)};
}

/// Gradients of the head for gradients of the logits [T, V]; rows without an id are no part of the sums.
void ordered_gradients(const LossCase& c, const LossData& data, const std::vector<std::vector<float>>& grad_logits, const float* before,
                       std::vector<float>& grad_hidden, std::vector<float>& grad_weight) {
  std::vector<float> rows, labelled_hidden;
  std::int64_t count = 0;
  for (std::int64_t t = 0; t < c.T; ++t) {
    const auto& row = grad_logits[static_cast<std::size_t>(t)];
    const auto grads = row.empty() ? std::vector<float>(static_cast<std::size_t>(c.H), 0.0F)
                                   : ordered::linear_backward_input(1, c.V, c.H, row.data(), data.weight.data(), nullptr);
    grad_hidden.insert(grad_hidden.end(), grads.begin(), grads.end());
    if (row.empty()) continue;
    ++count;
    rows.insert(rows.end(), row.begin(), row.end());
    labelled_hidden.insert(labelled_hidden.end(), data.hidden.begin() + t * c.H, data.hidden.begin() + (t + 1) * c.H);
  }
  grad_weight = ordered::linear_backward_weight(count, c.V, c.H, rows.data(), labelled_hidden.data(), before);
}

LossResult ordered_result(const LossCase& c, const LossData& data) {
  LossResult result;
  std::vector<std::vector<float>> ce_logits, lp_logits;
  for (std::int64_t t = 0; t < c.T; ++t) {
    const std::int32_t id = data.ids[static_cast<std::size_t>(t)];
    if (id == kIgnoreIndex) {
      for (auto* values : {&result.token_loss, &result.is_correct, &result.log_probs, &result.entropy, &result.lse}) values->push_back(0);
      ce_logits.emplace_back();
      lp_logits.emplace_back();
      continue;
    }
    const auto logits = ordered::linear(1, c.V, c.H, data.hidden.data() + t * c.H, data.weight.data(), nullptr);
    const float label_logit = logits[static_cast<std::size_t>(id)];
    const auto plain = ordered::log_softmax(logits, 1.0F), tempered = ordered::log_softmax(logits, c.temperature);
    result.token_loss.push_back(-plain.log_prob(label_logit));
    result.is_correct.push_back(std::max_element(logits.begin(), logits.end()) - logits.begin() == id ? 1.0F : 0.0F);
    result.log_probs.push_back(tempered.log_prob(label_logit / c.temperature));
    result.entropy.push_back(tempered.entropy());
    result.lse.push_back(static_cast<float>(tempered.lse()));
    ce_logits.push_back(ordered::cross_entropy_gradient(logits, 1.0F, static_cast<float>(plain.lse()), id, kScale));
    const float coefficient = -(data.grad_log_probs[static_cast<std::size_t>(t)] / c.temperature);
    lp_logits.push_back(ordered::cross_entropy_gradient(logits, c.temperature, result.lse.back(), id, coefficient));
  }
  ordered_gradients(c, data, ce_logits, data.weight_before.data(), result.ce_grad_hidden, result.ce_grad_weight);
  ordered_gradients(c, data, lp_logits, nullptr, result.lp_grad_hidden, result.lp_grad_weight);
  return result;
}

TEST(HeadLosses, MatchTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  const auto cpu = make_cpu_context(2);
  for (const LossCase& c : kLossCases) {
    const LossData data(c);
    const LossResult expected = run(*reference, c, data, 0), found = run(*cpu, c, data, 0);
    SCOPED_TRACE(fmt::format("T {} H {} V {}", c.T, c.H, c.V));
    EXPECT_LE(largest_error(found.token_loss, expected.token_loss), kLossTolerance);
    EXPECT_LE(largest_error(found.log_probs, expected.log_probs), kLossTolerance);
    EXPECT_LE(largest_error(found.entropy, expected.entropy), kLossTolerance * 3);
    EXPECT_LE(largest_error(found.lse, expected.lse), kLossTolerance);
    EXPECT_EQ(found.is_correct, expected.is_correct);
    EXPECT_LE(largest_error(found.ce_grad_hidden, expected.ce_grad_hidden), kLossGradTolerance);
    EXPECT_LE(largest_error(found.ce_grad_weight, expected.ce_grad_weight), kLossGradTolerance);
    EXPECT_LE(largest_error(found.lp_grad_hidden, expected.lp_grad_hidden), kLossGradTolerance);
    EXPECT_LE(largest_error(found.lp_grad_weight, expected.lp_grad_weight), kLossGradTolerance);
  }
}

TEST(HeadLosses, EqualTheScalarSpecificationBitForBitForAnyChunking) {
  std::vector<LossCase> cases = kLossCases;
  for (std::int64_t T = 1; T <= 33; T += 4) cases.push_back({T, 19, 45, T % 3 == 0 ? 2 : 0, 0.9F, static_cast<std::uint64_t>(T) + 50});
  std::vector<LossData> data;
  std::vector<LossResult> expected;
  for (const LossCase& c : cases) {
    data.emplace_back(c);
    expected.push_back(ordered_result(c, data.back()));
  }
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    for (std::size_t i = 0; i < cases.size() && !HasFailure(); ++i) {
      const LossCase& c = cases[i];
      const auto row_bytes = static_cast<std::size_t>(c.V) * sizeof(float);
      for (const std::size_t workspace_bytes : {std::size_t{0}, std::size_t{1}, row_bytes * 9}) {
        SCOPED_TRACE(fmt::format("T {} H {} V {}, workspace {}, {}", c.T, c.H, c.V, workspace_bytes, variant));
        const LossResult found = run(ctx, c, data[i], workspace_bytes);
        EXPECT_EQ(first_difference(found.token_loss, expected[i].token_loss), -1);
        EXPECT_EQ(first_difference(found.is_correct, expected[i].is_correct), -1);
        EXPECT_EQ(first_difference(found.log_probs, expected[i].log_probs), -1);
        EXPECT_EQ(first_difference(found.entropy, expected[i].entropy), -1);
        EXPECT_EQ(first_difference(found.lse, expected[i].lse), -1);
        EXPECT_EQ(first_difference(found.ce_grad_hidden, expected[i].ce_grad_hidden), -1);
        EXPECT_EQ(first_difference(found.ce_grad_weight, expected[i].ce_grad_weight), -1);
        EXPECT_EQ(first_difference(found.lp_grad_hidden, expected[i].lp_grad_hidden), -1);
        EXPECT_EQ(first_difference(found.lp_grad_weight, expected[i].lp_grad_weight), -1);
      }
    }
  });
}

TEST(HeadLosses, LogProbsOfLogitsAreThoseOfTheFusedHead) {
  const LossCase c{9, 24, 1500, 0, 0.8F, 70};
  const LossData data(c);
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    const Tensor hidden = device_tensor(ctx, {c.T, c.H}, data.hidden), weight = device_tensor(ctx, {c.V, c.H}, data.weight);
    const Tensor ids = device_tensor(ctx, {c.T}, data.ids);
    Tensor logits = ctx.empty({c.T, c.V}), fused = ctx.empty({c.T}), fused_entropy = ctx.empty({c.T});
    Tensor separate = ctx.empty({c.T}), separate_entropy = ctx.empty({c.T});
    ops::linear(ctx, hidden, weight, nullptr, logits);
    ops::selected_log_probs(ctx, hidden, weight, ids, c.temperature, fused, &fused_entropy, nullptr);
    ops::log_probs_of_logits(ctx, logits, ids, c.temperature, separate, &separate_entropy);
    EXPECT_EQ(first_difference(values_of<float>(ctx, fused), values_of<float>(ctx, separate)), -1) << variant;
    EXPECT_EQ(first_difference(values_of<float>(ctx, fused_entropy), values_of<float>(ctx, separate_entropy)), -1) << variant;
  });
}

TEST(HeadLosses, LogProbsOfAWeightInBf16AreThoseOfItsValuesInF32) {
  const LossCase c{9, 24, 1500, 0, 0.8F, 70};
  const LossData data(c);
  std::vector<std::int16_t> stored;
  std::vector<float> widened;
  for (const float value : data.weight) {
    stored.push_back(static_cast<std::int16_t>(f32_to_bf16(value)));
    widened.push_back(bf16_to_f32(f32_to_bf16(value)));
  }
  const auto log_probs_of = [&](const ExecContext& ctx, const Tensor& weight) {
    Tensor log_probs = ctx.empty({c.T});
    ops::selected_log_probs(ctx, device_tensor(ctx, {c.T, c.H}, data.hidden), weight, device_tensor(ctx, {c.T}, data.ids), c.temperature,
                            log_probs, nullptr, nullptr);
    return values_of<float>(ctx, log_probs);
  };
  const auto compare = [&](const ExecContext& ctx, const std::string& variant) {
    const Tensor narrow = ops::to_device(ctx, Tensor::host_from(std::span<const std::int16_t>(stored), Shape{c.V, c.H}, DType::kBF16));
    EXPECT_EQ(first_difference(log_probs_of(ctx, narrow), log_probs_of(ctx, device_tensor(ctx, {c.V, c.H}, widened))), -1) << variant;
  };
  for_each_cpu_variant(compare);
  compare(*make_cpu_context(1, Backend::kReference), "reference");
}

TEST(HeadLosses, ForbiddenTokensHaveProbabilityZero) {
  const float never = -HUGE_VALF;
  std::vector<float> logits(2100, never);
  logits[1030] = 2.0F;
  logits[1031] = 2.0F;
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    Tensor log_probs = ctx.empty({1}), entropy = ctx.empty({1});
    ops::log_probs_of_logits(ctx, device_tensor(ctx, {1, 2100}, logits), device_tensor<std::int32_t>(ctx, {1}, {1031}), 1.0F, log_probs,
                             &entropy);
    EXPECT_FLOAT_EQ(values_of<float>(ctx, log_probs)[0], -std::log(2.0F)) << variant;
    EXPECT_FLOAT_EQ(values_of<float>(ctx, entropy)[0], std::log(2.0F)) << variant;
  });
}

TEST(HeadLosses, TiesForTheArgmaxGoToTheLowestId) {
  const auto ctx = make_cpu_context(1);
  const Tensor hidden = device_tensor<float>(*ctx, {2, 1}, {1.0F, 1.0F});
  std::vector<float> weight(40, 0.0F);
  weight[3] = weight[20] = 5.0F;
  Tensor loss = ctx->empty({2}), correct = ctx->empty({2});
  ops::linear_cross_entropy(*ctx, hidden, device_tensor(*ctx, {40, 1}, weight), device_tensor<std::int32_t>(*ctx, {2}, {3, 20}), loss,
                            correct, std::nullopt);
  EXPECT_THAT(values_of<float>(*ctx, correct), testing::ElementsAre(1.0F, 0.0F));
}

TEST(HeadLosses, NanLogitsShowInTheLoss) {
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    Tensor loss = ctx.empty({1}), correct = ctx.empty({1});
    ops::linear_cross_entropy(ctx, device_tensor<float>(ctx, {1, 1}, {NAN}), device_tensor(ctx, {30, 1}, random_values(30, 1)),
                              device_tensor<std::int32_t>(ctx, {1}, {4}), loss, correct, std::nullopt);
    EXPECT_TRUE(std::isnan(values_of<float>(ctx, loss)[0])) << variant;
    EXPECT_EQ(values_of<float>(ctx, correct)[0], 0.0F) << variant;
  });
}

TEST(HeadLosses, WithoutAnyLabelGradientsAreZero) {
  const auto ctx = make_cpu_context(2);
  const Tensor hidden = device_tensor(*ctx, {3, 2}, random_values(6, 1)), weight = device_tensor(*ctx, {5, 2}, random_values(10, 2));
  const Tensor labels = device_tensor<std::int32_t>(*ctx, {3}, {kIgnoreIndex, kIgnoreIndex, kIgnoreIndex});
  Tensor loss = ctx->empty({3}), correct = ctx->empty({3});
  Tensor grad_hidden = device_tensor(*ctx, {3, 2}, random_values(6, 3)), grad_weight = device_tensor(*ctx, {5, 2}, random_values(10, 4));
  ops::linear_cross_entropy(*ctx, hidden, weight, labels, loss, correct, ops::CrossEntropyGradients{1, &grad_hidden, &grad_weight});
  for (const Tensor& tensor : {loss, correct, grad_hidden, grad_weight}) EXPECT_THAT(values_of<float>(*ctx, tensor), testing::Each(0.0F));
}

TEST(HeadLosses, GradientsMatchCentralDifferences) {
  const std::vector<std::int32_t> ids = {2, kIgnoreIndex, 0, 6};
  const auto ids_tensor = [&](const ExecContext& ctx) { return device_tensor(ctx, {4}, ids); };
  GradientCheck check;
  check.inputs = {{"hidden", Shape{4, 5}, random_values<double>(20, 1)}, {"weight", Shape{7, 5}, random_values<double>(35, 2)}};
  check.forward = [&](const ExecContext& ctx, const std::vector<Tensor>& in) {
    Tensor log_probs = ctx.empty({4}, DType::kF64);
    ops::selected_log_probs(ctx, in[0], in[1], ids_tensor(ctx), 0.7F, log_probs, nullptr, nullptr);
    return std::vector<Tensor>{log_probs};
  };
  check.backward = [&](const ExecContext& ctx, const std::vector<Tensor>& in, const std::vector<Tensor>& grads) {
    Tensor log_probs = ctx.empty({4}, DType::kF64), lse = ctx.empty({4}, DType::kF64);
    Tensor grad_hidden = ctx.empty({4, 5}, DType::kF64), grad_weight = ctx.empty({7, 5}, DType::kF64);
    ops::selected_log_probs(ctx, in[0], in[1], ids_tensor(ctx), 0.7F, log_probs, nullptr, &lse);
    ops::selected_log_probs_backward(ctx, grads[0], in[0], in[1], ids_tensor(ctx), 0.7F, lse, grad_hidden, grad_weight, Accumulate::kNo);
    return std::vector<Tensor>{grad_hidden, grad_weight};
  };
  expect_gradients_match(check);
}

TEST(HeadLosses, RefuseATemperatureOfZero) {
  const auto ctx = make_cpu_context(1);
  Tensor log_probs = ctx->empty({1});
  EXPECT_THROW(ops::log_probs_of_logits(*ctx, ctx->empty({1, 3}), device_tensor<std::int32_t>(*ctx, {1}, {0}), 0.0F, log_probs, nullptr),
               Error);
}

}  // namespace
}  // namespace r1::test

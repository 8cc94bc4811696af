#include "ops/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ops/attention_cases.h"
#include "tests/support/gradient_check.h"
#include "tests/support/op_tensors.h"
#include "tests/support/ordered/attention.h"

namespace r1::test {
namespace {

// q, k and v lie side by side, as the fused projection leaves them.
struct AttentionData {
  explicit AttentionData(const AttentionCase& c, std::uint64_t seed = 1)
      : heads{c.num_attention_heads, c.num_key_value_heads, c.head_dim, 1.0F / std::sqrt(static_cast<float>(c.head_dim))} {
    for (const std::int32_t length : c.lengths) starts.push_back(starts.back() + length);
    num_tokens = starts.back();
    q_width = std::int64_t{c.num_attention_heads} * c.head_dim;
    kv_width = std::int64_t{c.num_key_value_heads} * c.head_dim;
    width = q_width + 2 * kv_width;
    qkv = random_values(num_tokens * width, seed, c.spread);
    grad_out = random_values(num_tokens * q_width, seed + 1);
  }
  const float* q(std::int64_t token, int head) const { return &qkv[token * width + head * heads.head_dim]; }
  const float* k(std::int64_t token, int head) const { return q(token, 0) + q_width + head * heads.head_dim; }
  const float* v(std::int64_t token, int head) const { return k(token, 0) + kv_width + head * heads.head_dim; }

  ops::AttentionHeads heads;
  std::vector<std::int32_t> starts = {0};
  std::int64_t num_tokens = 0, q_width = 0, kv_width = 0, width = 0;
  std::vector<float> qkv, grad_out;
};

struct AttentionResult {
  std::vector<float> out, lse, grad_qkv;
};

AttentionResult run(const ExecContext& ctx, const AttentionData& data) {
  const Tensor qkv = device_tensor(ctx, {data.num_tokens, data.width}, data.qkv);
  const auto q = [&](const Tensor& fused) { return fused.cols(0, data.q_width); };
  const auto k = [&](const Tensor& fused) { return fused.cols(data.q_width, data.q_width + data.kv_width); };
  const auto v = [&](const Tensor& fused) { return fused.cols(data.q_width + data.kv_width, data.width); };
  const Tensor starts = device_tensor(ctx, {static_cast<std::int64_t>(data.starts.size())}, data.starts);
  Tensor out = ctx.empty({data.num_tokens, data.q_width}), lse = ctx.empty({data.num_tokens, data.heads.num_attention_heads});
  ops::attention(ctx, q(qkv), k(qkv), v(qkv), starts, data.heads, out, &lse);
  Tensor grad = ctx.empty({data.num_tokens, data.width});
  Tensor grad_q = q(grad), grad_k = k(grad), grad_v = v(grad);
  ops::attention_backward(ctx, device_tensor(ctx, out.shape(), data.grad_out), q(qkv), k(qkv), v(qkv), out, lse, starts, data.heads, grad_q,
                          grad_k, grad_v);
  return {values_of<float>(ctx, out), values_of<float>(ctx, lse), values_of<float>(ctx, grad)};
}

std::string describe(const AttentionCase& c, const std::string& variant) {
  return fmt::format("{}:{} heads of {}, lengths {}, {}", c.num_attention_heads, c.num_key_value_heads, c.head_dim,
                     fmt::join(c.lengths, " "), variant);
}

AttentionResult specified(const AttentionData& data) {
  const ops::AttentionHeads& heads = data.heads;
  const std::int64_t D = heads.head_dim;
  const int group = heads.num_attention_heads / heads.num_key_value_heads;
  AttentionResult result{std::vector<float>(data.grad_out.size()), std::vector<float>(data.num_tokens * heads.num_attention_heads),
                         std::vector<float>(data.qkv.size(), 0.0F)};
  for (std::size_t s = 0; s + 1 < data.starts.size(); ++s) {
    for (int head = 0; head < heads.num_attention_heads; ++head) {
      const int kv_head = head / group;
      const auto key = [&](std::int64_t j) { return data.k(data.starts[s] + j, kv_head); };
      const auto value = [&](std::int64_t j) { return data.v(data.starts[s] + j, kv_head); };
      for (std::int64_t t = data.starts[s]; t < data.starts[s + 1]; ++t) {
        float* out = &result.out[t * data.q_width + head * D];
        const float* grad_out = &data.grad_out[t * data.q_width + head * D];
        const std::int64_t count = t - data.starts[s] + 1;
        const float lse = ordered::attention_row(data.q(t, head), key, value, count, D, heads.scale, out);
        result.lse[t * heads.num_attention_heads + head] = lse;
        const float delta = ordered::sum_of_products(
            D, [&](std::int64_t d) { return grad_out[d]; }, [&](std::int64_t d) { return out[d]; });
        // Heads of the group, then queries, ascend in the loops around: the chains of grad_k and grad_v. Keys ascend here.
        for (std::int64_t j = 0; j < count; ++j) {
          const auto [p, ds] = ordered::attention_grad_score(data.q(t, head), key(j), value(j), grad_out, lse, delta, D, heads.scale);
          float* grad_q = &result.grad_qkv[t * data.width + head * D];
          float* grad_k = &result.grad_qkv[(data.starts[s] + j) * data.width + data.q_width + kv_head * D];
          for (std::int64_t d = 0; d < D; ++d) {
            grad_q[d] = std::fma(ds, key(j)[d], grad_q[d]);
            grad_k[d] = std::fma(ds, data.q(t, head)[d], grad_k[d]);
            grad_k[data.kv_width + d] = std::fma(p, grad_out[d], grad_k[data.kv_width + d]);
          }
        }
      }
    }
  }
  return result;
}

TEST(Attention, MatchesTheReferenceAndEqualsItsScalarSpecificationBitForBit) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const AttentionCase& c : kAttentionCases) {
    const AttentionData data(c);
    const AttentionResult expected = run(*reference, data);
    const AttentionResult bits = specified(data);
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(describe(c, variant));
      const AttentionResult found = run(ctx, data);
      EXPECT_LE(largest_error(found.out, expected.out), attention_tolerance(c));
      EXPECT_LE(largest_error(found.lse, expected.lse), attention_tolerance(c));
      EXPECT_LE(largest_error(found.grad_qkv, expected.grad_qkv), attention_grad_tolerance(c));
      EXPECT_EQ(first_difference(found.out, bits.out), -1);
      EXPECT_EQ(first_difference(found.lse, bits.lse), -1);
      EXPECT_EQ(first_difference(found.grad_qkv, bits.grad_qkv), -1);
    });
  }
}

TEST(Attention, GradientsMatchCentralDifferences) {
  const std::vector<std::int32_t> starts = {0, 4, 5, 11};
  const ops::AttentionHeads heads{4, 2, 3, 0.7F};
  const Shape q_shape{11, 12}, kv_shape{11, 6};
  const auto forward = [&](const ExecContext& ctx, const std::vector<Tensor>& inputs, Tensor* lse) {
    Tensor out = ctx.empty(q_shape, DType::kF64);
    ops::attention(ctx, inputs[0], inputs[1], inputs[2], device_tensor(ctx, {4}, starts), heads, out, lse);
    return out;
  };
  expect_gradients_match({
      .forward = [&](const ExecContext& ctx, const std::vector<Tensor>& inputs) { return std::vector{forward(ctx, inputs, nullptr)}; },
      .backward =
          [&](const ExecContext& ctx, const std::vector<Tensor>& inputs, const std::vector<Tensor>& grad_outputs) {
            Tensor lse = ctx.empty({11, 4}, DType::kF64);
            const Tensor out = forward(ctx, inputs, &lse);
            Tensor grad_q = ctx.empty(q_shape, DType::kF64), grad_k = ctx.empty(kv_shape, DType::kF64),
                   grad_v = ctx.empty(kv_shape, DType::kF64);
            ops::attention_backward(ctx, grad_outputs[0], inputs[0], inputs[1], inputs[2], out, lse, device_tensor(ctx, {4}, starts), heads,
                                    grad_q, grad_k, grad_v);
            return std::vector{grad_q, grad_k, grad_v};
          },
      .inputs = {{"q", q_shape, random_values<double>(132, 1)},
                 {"k", kv_shape, random_values<double>(66, 2)},
                 {"v", kv_shape, random_values<double>(66, 3)}},
  });
}

TEST(Attention, ARowDoesNotDependOnTheOtherSequencesOfTheBatch) {
  const auto ctx = make_cpu_context(2);
  const AttentionData packed({4, 2, 16, {70, 33, 100}, 1.0});
  const AttentionResult together = run(*ctx, packed);
  for (std::size_t s = 0; s < 3; ++s) {
    AttentionData alone({4, 2, 16, {packed.starts[s + 1] - packed.starts[s]}, 1.0});
    alone.qkv.assign(packed.qkv.begin() + packed.starts[s] * packed.width, packed.qkv.begin() + packed.starts[s + 1] * packed.width);
    alone.grad_out.assign(packed.grad_out.begin() + packed.starts[s] * packed.q_width,
                          packed.grad_out.begin() + packed.starts[s + 1] * packed.q_width);
    const AttentionResult result = run(*ctx, alone);
    const auto part = [&](const std::vector<float>& all, std::int64_t width) {
      return std::vector<float>(all.begin() + packed.starts[s] * width, all.begin() + packed.starts[s + 1] * width);
    };
    EXPECT_EQ(first_difference(result.out, part(together.out, packed.q_width)), -1);
    EXPECT_EQ(first_difference(result.grad_qkv, part(together.grad_qkv, packed.width)), -1);
  }
}

TEST(Attention, RefusesHeadsThatDoNotDivide) {
  const auto ctx = make_cpu_context(1);
  const Tensor q = ctx->empty({2, 12});
  Tensor out = ctx->empty({2, 12});
  try {
    ops::attention(*ctx, q, q, q, ctx->empty({2}, DType::kI32), {3, 2, 4, 1.0F}, out);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kShape);
    EXPECT_THAT(error.what(), testing::HasSubstr("num_attention_heads (3) must be a positive multiple of num_key_value_heads (2)"));
  }
}

}  // namespace
}  // namespace r1::test

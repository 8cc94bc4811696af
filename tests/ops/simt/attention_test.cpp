#include "ops/attention.h"

#define R1_SIMT 1
#include "ops/cuda/bias_gradient.h"
#include "ops/op_scope.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

struct AttentionCase {
  int num_attention_heads, num_key_value_heads, head_dim;
  std::vector<std::int32_t> lengths;
};

// Tiles have 16 rows and steps 32: lengths of one, just under, at and over both; an empty sequence; heads in pieces of 2, 4 and 8 warps;
// more than four heads for the deltas.
const std::vector<AttentionCase> kCases = {{1, 1, 1, {1}},  {2, 1, 10, {5, 1, 0, 17}}, {4, 4, 32, {16, 33}}, {3, 1, 65, {32, 31}},
                                           {6, 2, 8, {40}}, {1, 1, 130, {20}},         {1, 1, 256, {3}}};

Results run_attention(const ExecContext& ctx, decltype(&ops::attention) forward, decltype(&ops::attention_backward) backward,
                      const AttentionCase& c, DType stored) {
  const ops::AttentionHeads heads{c.num_attention_heads, c.num_key_value_heads, c.head_dim,
                                  1.0F / std::sqrt(static_cast<float>(c.head_dim))};
  std::vector<std::int32_t> cu_seqlens = {0};
  for (const std::int32_t length : c.lengths) cu_seqlens.push_back(cu_seqlens.back() + length);
  const std::int64_t tokens = cu_seqlens.back(), q_columns = std::int64_t{c.num_attention_heads} * c.head_dim,
                     kv_columns = std::int64_t{c.num_key_value_heads} * c.head_dim, all_columns = q_columns + 2 * kv_columns;
  const auto values = [](std::int64_t count, std::uint64_t seed) { return rounded(random_values(count, seed), DType::kBF16); };
  // Views into one projection, as the model has them.
  const Tensor qkv = stored_tensor(ctx, {tokens, all_columns}, values(tokens * all_columns, 1), stored);
  const Tensor q = qkv.cols(0, q_columns), k = qkv.cols(q_columns, q_columns + kv_columns),
               v = qkv.cols(q_columns + kv_columns, all_columns);
  const Tensor grad_out = stored_tensor(ctx, {tokens, q_columns}, values(tokens * q_columns, 2), stored);
  const Tensor starts = device_tensor(ctx, {static_cast<std::int64_t>(cu_seqlens.size())}, cu_seqlens);
  Tensor out = ctx.empty({tokens, q_columns}, stored), lse = ctx.empty({tokens, c.num_attention_heads});
  Tensor grads = ctx.empty({tokens, all_columns}, stored);
  Tensor grad_q = grads.cols(0, q_columns), grad_k = grads.cols(q_columns, q_columns + kv_columns),
         grad_v = grads.cols(q_columns + kv_columns, all_columns);
  ops::OpScope scope(ctx, "attention test");
  forward(ctx, q, k, v, starts, heads, out, &lse);
  backward(ctx, grad_out, q, k, v, out, lse, starts, heads, grad_q, grad_k, grad_v);
  return {floats_of(ctx, out), floats_of(ctx, lse), floats_of(ctx, grads)};
}

TEST(SimtAttention, MatchesTheReferenceForwardAndBackward) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const AttentionCase& c : kCases) {
    if (c.head_dim * c.lengths[0] > kLargestEmulated) continue;
    SCOPED_TRACE(::testing::Message() << c.num_attention_heads << " heads of " << c.head_dim << ", first length " << c.lengths[0]);
    const Results expected =
        run_attention(*reference, ops::reference_table().attention, ops::reference_table().attention_backward, c, DType::kF32);
    for (const DType stored : kStorageTypes) {
      const Results found = on_all_schedules([&](const ExecContext& ctx) {
        return run_attention(ctx, &ops::simt_backend::attention, &ops::simt_backend::attention_backward, c, stored);
      });
      // The backward pass takes the rounded output of the forward pass: one rounding more.
      expect_close(found, expected, stored == DType::kBF16 ? 0x1p-6 : 2e-5);
    }
  }
}

TEST(SimtAttention, GivesASequenceTheSameBitsWhateverItIsPackedWith) {
  const auto run = [](const std::vector<std::int32_t>& lengths) {
    return on_all_schedules([&](const ExecContext& ctx) {
      return run_attention(ctx, &ops::simt_backend::attention, &ops::simt_backend::attention_backward, {2, 1, 16, lengths}, DType::kF32);
    });
  };
  const Results alone = run({37}), packed = run({37, 9});
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_TRUE(std::equal(alone[i].begin(), alone[i].end(), packed[i].begin())) << "result " << i;
  }
}

TEST(SimtBiasGradient, AddsTheRowsOfEachColumn) {
  for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 33}, {8, 64}, {37, 40}, {1100, 48}}) {
    for (const DType stored : kStorageTypes) {
      const std::vector<float> grads = rounded(random_values(rows * columns, 5), DType::kBF16),
                               before = rounded(random_values(columns, 6), DType::kBF16);
      std::vector<float> expected = before;
      for (std::int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (std::int64_t r = 0; r < rows; ++r) sum += grads[static_cast<std::size_t>(r * columns + c)];
        expected[static_cast<std::size_t>(c)] += static_cast<float>(sum);
      }
      const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
        const Tensor grad_out = stored_tensor(ctx, {rows, columns}, grads, stored);
        Tensor added = stored_tensor(ctx, {columns}, before, stored), fresh = ctx.empty({columns}, stored);
        ops::OpScope scope(ctx, "bias gradient test");
        ops::simt_backend::bias_gradient(ctx, grad_out, added, ops::Accumulate::kYes);
        ops::simt_backend::bias_gradient(ctx, grad_out, fresh, ops::Accumulate::kNo);
        std::vector<float> total = floats_of(ctx, fresh);
        for (std::size_t c = 0; c < total.size(); ++c) total[c] += before[c];
        return {floats_of(ctx, added), total};
      });
      expect_close(found, {expected, expected}, tolerance(1e-5, stored));
    }
  }
}

}  // namespace
}  // namespace r1::test

#include "ops/embedding.h"

#include "ops/op_scope.h"
#include "tests/ops/embedding_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtEmbedding, MatchesTheReferenceForwardAndBackward) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const EmbeddingCase& c : kEmbeddingCases) {
      SCOPED_TRACE(fmt::format("{} tokens of {}, {} columns, {}", c.num_tokens, c.vocab_size, c.hidden_size, dtype_name(dtype)));
      std::vector<std::int32_t> token_ids;
      RandomStream random(4, "ids");
      for (std::int64_t t = 0; t < c.num_tokens; ++t)
        token_ids.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(c.vocab_size))));
      const auto weights = rounded(random_values(c.vocab_size * c.hidden_size, 5), dtype);
      const auto grads = rounded(random_values(c.num_tokens * c.hidden_size, 6), dtype);
      const auto run = [&](const ExecContext& ctx, const ops::OpTable& table, DType stored) -> Results {
        const Tensor ids = device_tensor(ctx, {c.num_tokens}, token_ids);
        const Tensor weight = stored_tensor(ctx, {c.vocab_size, c.hidden_size}, weights, stored);
        const Tensor grad_out = stored_tensor(ctx, {c.num_tokens, c.hidden_size}, grads, stored);
        Tensor out = ctx.empty(grad_out.shape()), fresh = ctx.empty(weight.shape());
        Tensor added = stored_tensor(ctx, weight.shape(), weights, DType::kF32);
        ops::OpScope scope(ctx, "embedding test");
        table.embedding(ctx, ids, weight, out);
        table.embedding_backward(ctx, ids, grad_out, fresh, ops::Accumulate::kNo);
        table.embedding_backward(ctx, ids, grad_out, added, ops::Accumulate::kYes);
        return {floats_of(ctx, out), floats_of(ctx, fresh), floats_of(ctx, added)};
      };
      expect_close(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table(), dtype); }),
                   run(*reference, ops::reference_table(), DType::kF32), kEmbeddingTolerance);
    }
  }
}

TEST(SimtEmbedding, WritesBf16Activations) {
  const auto weights = rounded(random_values(3 * 16, 7), DType::kBF16);
  const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
    const Tensor ids = device_tensor(ctx, {4}, std::vector<std::int32_t>{2, 0, 2, 1});
    const Tensor weight = stored_tensor(ctx, {3, 16}, weights, DType::kBF16);
    Tensor out = ctx.empty({4, 16}, DType::kBF16);
    ops::OpScope scope(ctx, "embedding test");
    simt_table().embedding(ctx, ids, weight, out);
    return {floats_of(ctx, out)};
  });
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(found[0][i], weights[(std::vector<std::size_t>{2, 0, 2, 1})[i / 16] * 16 + i % 16]);
}

}  // namespace
}  // namespace r1::test

#include "ops/paged_attention.h"

#include "ops/op_scope.h"
#include "tests/ops/paged_attention_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

/// All keys and values are written by write_kv_cache into blocks in a scattered order; then the last tokens attend.
Results run_paged(const ExecContext& ctx, const ops::OpTable& table, const PagedCase& c, DType stored) {
  const ops::AttentionHeads heads{c.num_attention_heads, c.num_key_value_heads, c.head_dim,
                                  1.0F / std::sqrt(static_cast<float>(c.head_dim))};
  const PagedLayout layout(c);
  const std::int64_t total = layout.num_stored, new_total = layout.num_new;
  const std::int64_t kv_columns = std::int64_t{c.num_key_value_heads} * c.head_dim,
                     q_columns = std::int64_t{c.num_attention_heads} * c.head_dim;
  // Numbers that both storage types hold.
  const auto values = [](std::int64_t count, std::uint64_t seed) { return rounded(random_values(count, seed), DType::kBF16); };
  const Tensor q = stored_tensor(ctx, {new_total, q_columns}, values(new_total * q_columns, 1), stored);
  const Tensor k = stored_tensor(ctx, {total + 1, kv_columns}, values((total + 1) * kv_columns, 2), stored);
  const Tensor v = stored_tensor(ctx, {total + 1, kv_columns}, values((total + 1) * kv_columns, 3), stored);
  const Shape key_shape = ops::key_cache_shape(layout.num_blocks, heads, c.block_size),
              value_shape = ops::value_cache_shape(layout.num_blocks, heads, c.block_size);
  // What was never written must not matter: infinities are there.
  Tensor key_cache =
      stored_tensor(ctx, key_shape, std::vector<float>(static_cast<std::size_t>(key_shape.num_elements()), INFINITY), stored);
  Tensor value_cache =
      stored_tensor(ctx, value_shape, std::vector<float>(static_cast<std::size_t>(value_shape.num_elements()), INFINITY), stored);
  Tensor out = ctx.empty({new_total, q_columns}, stored);
  const auto num_sequences = static_cast<std::int64_t>(c.contexts.size());
  const Tensor starts = device_tensor(ctx, {num_sequences + 1}, layout.cu_seqlens), lens = device_tensor(ctx, {num_sequences}, c.contexts);
  const Tensor block_tables = device_tensor(ctx, {num_sequences, layout.max_blocks}, layout.block_tables),
               slot_mapping = device_tensor(ctx, {total + 1}, layout.slots);
  ops::OpScope scope(ctx, "paged attention test");
  table.write_kv_cache(ctx, k, v, slot_mapping, heads, key_cache, value_cache);
  table.paged_attention(ctx, q, key_cache, value_cache, starts, lens, block_tables, heads, out);
  return {floats_of(ctx, out), floats_of(ctx, key_cache), floats_of(ctx, value_cache)};
}

TEST(SimtPagedAttention, MatchesTheReferenceFromTheCacheOn) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const PagedCase& c : kPagedCases) {
    const Results expected = run_paged(*reference, ops::reference_table(), c, DType::kF32);
    for (const DType dtype : kStorageTypes) {
      SCOPED_TRACE(fmt::format("{} heads over {} of {}, {}", c.num_attention_heads, c.num_key_value_heads, c.head_dim, dtype_name(dtype)));
      const Results found = on_all_schedules([&](const ExecContext& ctx) { return run_paged(ctx, simt_table(), c, dtype); });
      EXPECT_LE(largest_error(found[0], expected[0]), tolerance(kPagedTolerance, dtype));
      EXPECT_EQ(found[1], expected[1]);  // the caches
      EXPECT_EQ(found[2], expected[2]);
    }
  }
}

}  // namespace
}  // namespace r1::test

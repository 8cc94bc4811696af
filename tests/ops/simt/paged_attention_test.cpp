#include "ops/paged_attention.h"

#define R1_SIMT 1
#include "ops/cuda/paged_launches.h"
#include "ops/cuda/paged_splits.h"
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

// Contexts on both sides of a border of the splits' lengths; two tokens of each sequence are new.
TEST(SimtPagedAttention, GivesARowTheSameBitsInEveryBatchAndInAnyNumberOfLaunches) {
  const auto ctx = make_simt_context();
  const ops::AttentionHeads heads{2, 1, 16, 0.25F};
  const std::int64_t block_size = 16, most_blocks = 40;
  const std::vector<std::int32_t> contexts = {3, 64, 66, 511, 513, 630};
  const Tensor keys = stored_tensor(*ctx, ops::key_cache_shape(most_blocks * 6, heads, 16), random_values(most_blocks * 6 * 256, 1),
                                    DType::kF32),
               values = stored_tensor(*ctx, ops::value_cache_shape(most_blocks * 6, heads, 16), random_values(most_blocks * 6 * 256, 2),
                                      DType::kF32);
  const std::vector<float> queries = random_values(12 * 32, 3);
  const auto attend = [&](const std::vector<std::size_t>& sequences, std::int64_t most_tokens) {
    std::vector<std::int32_t> starts = {0}, lens, tables;
    std::vector<float> q;
    std::int32_t longest = 0;
    for (const std::size_t s : sequences) longest = std::max(longest, contexts[s]);
    const auto columns = (longest + block_size - 1) / block_size;  // a batch's tables are as wide as its longest sequence needs
    for (const std::size_t s : sequences) {
      starts.push_back(starts.back() + 2);
      lens.push_back(contexts[s]);
      q.insert(q.end(), queries.begin() + static_cast<std::ptrdiff_t>(s * 64), queries.begin() + static_cast<std::ptrdiff_t>(s * 64 + 64));
      for (std::int64_t b = 0; b < columns; ++b)
        tables.push_back(static_cast<std::int32_t>(static_cast<std::int64_t>(s) * most_blocks + b));
    }
    const auto n = static_cast<std::int64_t>(sequences.size());
    Tensor out = ctx->empty({2 * n, 32});
    const Tensor block_tables = device_tensor(*ctx, {n, columns}, tables);
    ops::OpScope scope(*ctx, "paged attention test");
    ops::simt_backend::paged_attention_in_launches(*ctx, stored_tensor(*ctx, {2 * n, 32}, q, DType::kF32), keys, values,
                                                   device_tensor(*ctx, {n + 1}, starts), device_tensor(*ctx, {n}, lens), block_tables,
                                                   heads, out, most_tokens);
    return floats_of(*ctx, out);
  };
  const std::vector<float> together = attend({0, 1, 2, 3, 4, 5}, 1000);
  for (const std::int64_t most_tokens : {1, 5, 12}) EXPECT_EQ(attend({0, 1, 2, 3, 4, 5}, most_tokens), together) << most_tokens;
  for (std::size_t s = 0; s < contexts.size(); ++s) {
    const auto begin = together.begin() + static_cast<std::ptrdiff_t>(s * 64);
    EXPECT_EQ(attend({s}, 1000), std::vector<float>(begin, begin + 64)) << "context " << contexts[s];
  }
}

TEST(PagedSplits, AreEnoughForEveryContextUpToTheCapacity) {
  int most = 1;
  for (int context = 1; context <= 40'000; ++context) {
    most = std::max(most, ops::kernels::splits_of(context));
    ASSERT_EQ(ops::kernels::most_splits(context), most) << context;
  }
  EXPECT_EQ(ops::kernels::most_splits(0), 1);
}

}  // namespace
}  // namespace r1::test

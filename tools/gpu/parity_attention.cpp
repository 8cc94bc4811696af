// Cases of attention, of the paged cache, and of sampling.
#include "tests/ops/attention_cases.h"
#include "tests/ops/paged_attention_cases.h"
#include "tests/ops/sampling_cases.h"
#include "tools/gpu/parity.h"

namespace r1::gpu {
namespace {

float scale_of(int head_dim) { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }

ParityCase attention_case(const test::AttentionCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    const ops::AttentionHeads heads{c.num_attention_heads, c.num_key_value_heads, c.head_dim, scale_of(c.head_dim)};
    std::vector<std::int32_t> borders = {0};
    for (const std::int32_t length : c.lengths) borders.push_back(borders.back() + length);
    const std::int64_t tokens = borders.back(), q_columns = std::int64_t{c.num_attention_heads} * c.head_dim,
                       kv_columns = std::int64_t{c.num_key_value_heads} * c.head_dim, all_columns = q_columns + 2 * kv_columns;
    // Views into one projection, as the model has them.
    const Tensor qkv = stored_tensor(ctx, {tokens, all_columns}, rounded(random_values(tokens * all_columns, 1, c.spread), dtype), stored);
    const Tensor q = qkv.cols(0, q_columns), k = qkv.cols(q_columns, q_columns + kv_columns),
                 v = qkv.cols(q_columns + kv_columns, all_columns);
    const Tensor grad_out = stored_tensor(ctx, {tokens, q_columns}, rounded(random_values(tokens * q_columns, 2), dtype), stored);
    const Tensor cu_seqlens = index_tensor(ctx, borders);
    Tensor out = poisoned_tensor(ctx, {tokens, q_columns}, stored),
           lse = poisoned_tensor(ctx, {tokens, c.num_attention_heads}, DType::kF32),
           grads = poisoned_tensor(ctx, {tokens, all_columns}, stored);
    Tensor grad_q = grads.cols(0, q_columns), grad_k = grads.cols(q_columns, q_columns + kv_columns),
           grad_v = grads.cols(q_columns + kv_columns, all_columns);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.attention(ctx, q, k, v, cu_seqlens, heads, out, &lse);
    table.attention_backward(ctx, grad_out, q, k, v, out, lse, cu_seqlens, heads, grad_q, grad_k, grad_v);
    return {floats_of(ctx, out), floats_of(ctx, lse), floats_of(ctx, grads)};
  };
  // In bf16 the backward pass takes the rounded output and rounds the probabilities: errors in proportion to values, keys and queries.
  const double spread = c.spread * c.spread * c.spread;
  const double grad = limit(test::attention_grad_tolerance(c), dtype) + (dtype == DType::kBF16 ? 0x1p-7 * spread : 0.0);
  return {{"attention", "attention_backward"},
          fmt::format("{}/{} heads of {}, {} sequences, first {}", c.num_attention_heads, c.num_key_value_heads, c.head_dim,
                      c.lengths.size(), c.lengths[0]),
          dtype,
          run,
          {limit(test::attention_tolerance(c), dtype), limit(test::attention_tolerance(c), DType::kF32), grad}};
}

ParityCase paged_case(const test::PagedCase& c, DType dtype) {
  const auto run = [c](const ExecContext& ctx, DType stored) -> Results {
    const ops::AttentionHeads heads{c.num_attention_heads, c.num_key_value_heads, c.head_dim, scale_of(c.head_dim)};
    const test::PagedLayout layout(c);
    const std::int64_t kv_columns = std::int64_t{c.num_key_value_heads} * c.head_dim, rows = layout.num_stored + 1,
                       q_columns = std::int64_t{c.num_attention_heads} * c.head_dim;
    // Numbers that both storage types hold.
    const auto values = [](std::int64_t count, std::uint64_t seed) { return rounded(random_values(count, seed), DType::kBF16); };
    const Tensor q = stored_tensor(ctx, {layout.num_new, q_columns}, values(layout.num_new * q_columns, 1), stored);
    const Tensor k = stored_tensor(ctx, {rows, kv_columns}, values(rows * kv_columns, 2), stored);
    const Tensor v = stored_tensor(ctx, {rows, kv_columns}, values(rows * kv_columns, 3), stored);
    // What was never written must not matter: infinities are there.
    const auto cache = [&](const Shape& shape) {
      return stored_tensor(ctx, shape, std::vector<float>(static_cast<std::size_t>(shape.num_elements()), INFINITY), stored);
    };
    Tensor key_cache = cache(ops::key_cache_shape(layout.num_blocks, heads, c.block_size)),
           value_cache = cache(ops::value_cache_shape(layout.num_blocks, heads, c.block_size));
    const auto num_sequences = static_cast<std::int64_t>(c.contexts.size());
    const Tensor starts = index_tensor(ctx, layout.cu_seqlens), lens = index_tensor(ctx, c.contexts),
                 slots = index_tensor(ctx, layout.slots);
    const Tensor block_tables = index_tensor(ctx, layout.block_tables).view({num_sequences, layout.max_blocks});
    Tensor out = ctx.empty({layout.num_new, q_columns}, stored);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.write_kv_cache(ctx, k, v, slots, heads, key_cache, value_cache);
    table.paged_attention(ctx, q, key_cache, value_cache, starts, lens, block_tables, heads, out);
    return {floats_of(ctx, out), floats_of(ctx, key_cache), floats_of(ctx, value_cache)};
  };
  return {{"write_kv_cache", "paged_attention"},
          fmt::format("{}/{} heads of {}, first context {}", c.num_attention_heads, c.num_key_value_heads, c.head_dim, c.contexts[0]),
          dtype,
          run,
          {limit(test::kPagedTolerance, dtype), 0, 0}};
}

ParityCase sampling_case(std::int64_t V, DType dtype) {
  const auto run = [V, dtype](const ExecContext& ctx, DType stored) -> Results {
    const auto num_rows = static_cast<std::int64_t>(test::kRowSettings.size());
    const auto seed = static_cast<std::uint64_t>(V);
    const test::SamplingData data(V, random_values(num_rows * V, seed, 2.0), dtype, seed);
    const Tensor logits = stored_tensor(ctx, {num_rows, V}, data.logits, stored), seen = index_tensor(ctx, data.seen),
                 offsets = index_tensor(ctx, data.offsets), uniforms = stored_tensor(ctx, {num_rows}, data.uniforms, DType::kF32);
    Tensor ids = ctx.empty({num_rows}, DType::kI32), log_probs = ctx.empty({num_rows}), probabilities = ctx.empty({num_rows, V});
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.sample(ctx, logits, test::kRowSettings, seen, offsets, uniforms, ids, &log_probs);
    table.sampling_probabilities(ctx, logits, test::kRowSettings, seen, offsets, probabilities);
    return {floats_of(ctx, ids), floats_of(ctx, log_probs), floats_of(ctx, probabilities)};
  };
  return {{"sample", "sampling_probabilities"},
          fmt::format("{} ids", V),
          dtype,
          run,
          {0, limit(test::kLogProbTolerance, DType::kF32), limit(test::kProbabilityTolerance, DType::kF32)}};
}

}  // namespace

void add_measured_attention_cases(DType dtype, std::vector<ParityCase>& cases) {
  cases.push_back(attention_case({12, 2, 128, {1499, 1503}, 1.0}, dtype));
  // As many sequences as no power of two, some of one token: a table of offsets with a hole leaves NaN.
  for (const std::vector<std::int32_t>& lengths : {std::vector<std::int32_t>{200, 1, 129}, std::vector<std::int32_t>{64, 130, 7, 1, 300},
                                                   std::vector<std::int32_t>{17, 256, 33, 128, 1, 90, 65}}) {
    cases.push_back(attention_case({12, 2, 128, lengths, 1.0}, dtype));
  }
  cases.push_back(sampling_case(151'936, dtype));
}

void add_attention_cases(DType dtype, std::vector<ParityCase>& cases) {
  for (const auto& c : test::kAttentionCases) cases.push_back(attention_case(c, dtype));
  for (const auto& c : test::kPagedCases) cases.push_back(paged_case(c, dtype));
  for (const std::int64_t V : {2, 37, 1000, 3001}) cases.push_back(sampling_case(V, dtype));
}

}  // namespace r1::gpu

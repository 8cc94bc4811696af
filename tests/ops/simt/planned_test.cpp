// The memory that a plan of the CUDA backend counts for an op against what the op's own host code takes.
#include "ops/planned_cuda.h"

#include "ops/cuda/sdpa_groups.h"
#include "ops/op_scope.h"
#include "ops/paged_attention.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

constexpr std::int64_t kBlasWorkspace = std::int64_t{32} << 20;  // of cuBLASLt, whose place the CPU backend takes here

/// What `call` takes beside what is there already, at its highest.
std::int64_t scratch_of(const ExecContext& ctx, const std::function<void()>& call) {
  ops::OpScope scope(ctx, "planned test");
  ctx.allocator().reset_peak();
  const std::int64_t before = ctx.allocator().stats().bytes_in_use;
  call();
  return ctx.allocator().stats().peak_bytes - before;
}

using Call = std::function<void(const ops::OpTable&)>;

void expect_planned(const ExecContext& ctx, const Call& call, std::int64_t library_bytes, const char* what) {
  const std::int64_t taken = scratch_of(ctx, [&] { call(simt_table()); });
  const std::int64_t planned = scratch_of(ctx, [&] { call(ops::planned_cuda_table()); });
  EXPECT_EQ(planned - library_bytes, taken) << what;
}

Tensor zeros(const ExecContext& ctx, const Shape& shape, DType dtype = DType::kF32) {
  return stored_tensor(ctx, shape, std::vector<float>(static_cast<std::size_t>(shape.num_elements()), 0.0F), dtype);
}

TEST(PlannedCuda, TakesWhatTheKernelsTake) {
  const auto simt = make_simt_context();
  const ExecContext& ctx = *simt;
  // Products take nothing here: cuBLASLt's workspace is counted apart.
  ops::OpTable kernels = simt_table();
  kernels.linear = [](const ExecContext&, const Tensor&, const Tensor&, const Tensor*, Tensor&) {};
  kernels.linear_backward_input = [](const ExecContext&, const Tensor&, const Tensor&, Tensor&, ops::Accumulate) {};
  kernels.linear_backward_weight = [](const ExecContext&, const Tensor&, const Tensor&, Tensor&, Tensor*, ops::Accumulate) {};
  ops::set_cuda_table(&kernels);
  for (const DType dtype : kStorageTypes) {
    SCOPED_TRACE(dtype_name(dtype));
    const Tensor x = zeros(ctx, {70, 48}, dtype), norm = zeros(ctx, {48}, dtype), rstd = zeros(ctx, {70});
    Tensor grad_x = zeros(ctx, {70, 48}, dtype), grad_norm = zeros(ctx, {48});
    expect_planned(
        ctx,
        [&](const ops::OpTable& table) {
          table.rms_norm_backward(ctx, x, x, norm, rstd, grad_x, ops::Accumulate::kNo, grad_norm, ops::Accumulate::kNo);
        },
        0, "rms_norm_backward");

    const ops::AttentionHeads heads{4, 2, 16, 0.25F};
    const Tensor q = zeros(ctx, {9, 64}, dtype), k = zeros(ctx, {9, 32}, dtype), lse = zeros(ctx, {9, 4});
    const Tensor starts = device_tensor(ctx, {2}, std::vector<std::int32_t>{0, 9});
    Tensor out = zeros(ctx, {9, 64}, dtype), grad_k = zeros(ctx, {9, 32}, dtype), grad_v = zeros(ctx, {9, 32}, dtype);
    // The scores of cuDNN's pass, which the emulated kernels do not keep.
    const std::int64_t scores = dtype == DType::kBF16 ? ops::cuda::sdpa_groups(1, 9, heads.num_attention_heads, true).score_bytes : 0;
    expect_planned(
        ctx, [&](const ops::OpTable& table) { table.attention_backward(ctx, q, q, k, k, q, lse, starts, heads, out, grad_k, grad_v); },
        scores, "attention_backward");

    // 70 blocks of 16 positions: nine splits.
    const Tensor keys = zeros(ctx, ops::key_cache_shape(1, heads, 16), dtype),
                 values = zeros(ctx, ops::value_cache_shape(1, heads, 16), dtype);
    const Tensor lengths = device_tensor(ctx, {1}, std::vector<std::int32_t>{9}),
                 blocks = device_tensor(ctx, {1, 70}, std::vector<std::int32_t>(70, 0));
    expect_planned(
        ctx, [&](const ops::OpTable& table) { table.paged_attention(ctx, q, keys, values, starts, lengths, blocks, heads, out); }, 0,
        "paged_attention");

    const Tensor logits = zeros(ctx, {3, 200}, dtype), seen = device_tensor(ctx, {1}, std::vector<std::int32_t>{0}),
                 offsets = device_tensor(ctx, {4}, std::vector<std::int32_t>{0, 0, 0, 0}), uniforms = zeros(ctx, {3});
    const std::vector<ops::SamplingSettings> settings(3);
    Tensor ids = device_tensor(ctx, {3}, std::vector<std::int32_t>{0, 0, 0}), log_probs = zeros(ctx, {3});
    expect_planned(
        ctx, [&](const ops::OpTable& table) { table.sample(ctx, logits, settings, seen, offsets, uniforms, ids, &log_probs); }, 0,
        "sample");

    const Tensor hidden = zeros(ctx, {21, 24}, dtype), weight = zeros(ctx, {130, 24}, dtype),
                 labels = device_tensor(ctx, {21}, std::vector<std::int32_t>(21, 5));
    Tensor per_token = zeros(ctx, {21}), other = zeros(ctx, {21}), entropy = zeros(ctx, {21}), row_lse = zeros(ctx, {21});
    Tensor grad_hidden = zeros(ctx, {21, 24}, dtype), grad_weight = zeros(ctx, {130, 24});
    const std::size_t workspace = 21 * 4 * 64;  // chunks of 64 ids
    const ops::CrossEntropyGradients gradients{1, &grad_hidden, &grad_weight, ops::Accumulate::kNo};
    expect_planned(
        ctx,
        [&](const ops::OpTable& table) { table.linear_cross_entropy(ctx, hidden, weight, labels, per_token, other, gradients, workspace); },
        kBlasWorkspace, "linear_cross_entropy");
    expect_planned(
        ctx,
        [&](const ops::OpTable& table) {
          table.selected_log_probs(ctx, hidden, weight, labels, 1, per_token, &entropy, &row_lse, workspace);
        },
        kBlasWorkspace, "selected_log_probs");
    expect_planned(
        ctx,
        [&](const ops::OpTable& table) {
          table.selected_log_probs_backward(ctx, other, hidden, weight, labels, 1, row_lse, grad_hidden, grad_weight, ops::Accumulate::kNo,
                                            workspace);
        },
        kBlasWorkspace, "selected_log_probs_backward");
  }
  make_simt_context();  // its table again
}

}  // namespace
}  // namespace r1::test

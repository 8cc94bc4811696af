// Cases of the matrix products, the head, and what works row by row.
#include <algorithm>
#include <array>

#include "tests/ops/activation_cases.h"
#include "tests/ops/embedding_cases.h"
#include "tests/ops/linear_cases.h"
#include "tests/ops/loss_cases.h"
#include "tests/ops/norm_cases.h"
#include "tests/ops/rope_cases.h"
#include "tools/gpu/parity.h"

namespace r1::gpu {
namespace {

using ops::Accumulate;

ParityCase linear_case(const test::LinearCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    const auto values = [&](std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
      return stored_tensor(ctx, {rows, columns}, rounded(random_values(rows * columns, c.seed * 10 + seed), dtype), stored);
    };
    const Tensor x = values(c.M, c.K, 1), weight = values(c.N, c.K, 2), grad = values(c.M, c.N, 3);
    const Tensor bias = stored_tensor(ctx, {c.N}, rounded(random_values(c.N, 4), dtype), stored);
    Tensor plain = ctx.empty({c.M, c.N}, stored), biased = ctx.empty({c.M, c.N}, stored), wide = ctx.empty({c.M, c.N});
    Tensor grad_x = ctx.empty({c.M, c.K}, stored), added_x = values(c.M, c.K, 5);
    Tensor grad_weight = ctx.empty({c.N, c.K}, stored), added_weight = values(c.N, c.K, 6), grad_bias = ctx.empty({c.N}, stored);
    // The engine's product: f32 activations with a stored weight.
    const Tensor wide_x = stored_tensor(ctx, {c.M, c.K}, rounded(random_values(c.M * c.K, c.seed * 10 + 1), dtype), DType::kF32);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.linear(ctx, x, weight, nullptr, plain);
    table.linear(ctx, x, weight, &bias, biased);
    table.linear(ctx, wide_x, weight, nullptr, wide);
    table.linear_backward_input(ctx, grad, weight, grad_x, Accumulate::kNo);
    table.linear_backward_input(ctx, grad, weight, added_x, Accumulate::kYes);
    table.linear_backward_weight(ctx, grad, x, grad_weight, &grad_bias, Accumulate::kNo);
    table.linear_backward_weight(ctx, grad, x, added_weight, nullptr, Accumulate::kYes);
    return {floats_of(ctx, plain),   floats_of(ctx, biased),      floats_of(ctx, wide),         floats_of(ctx, grad_x),
            floats_of(ctx, added_x), floats_of(ctx, grad_weight), floats_of(ctx, added_weight), floats_of(ctx, grad_bias)};
  };
  const double out = limit(test::linear_tolerance(c.K), dtype), x = limit(test::linear_tolerance(c.N), dtype),
               weight = limit(test::linear_tolerance(c.M), dtype);
  return {{"linear", "linear_backward_input", "linear_backward_weight"},
          fmt::format("{} x {} x {}", c.M, c.N, c.K),
          dtype,
          run,
          {out, out, limit(test::linear_tolerance(c.K), DType::kF32), x, x, weight, weight, weight}};
}

/// Gates and ups of about 1: sums of K products of inputs up to 1 with weights up to 2 / sqrt(K).
ParityCase linear_swiglu_case(std::int64_t M, std::int64_t I, std::int64_t K, DType dtype) {
  const auto run = [=](const ExecContext& ctx, DType stored) -> Results {
    const double spread = 2 / std::sqrt(static_cast<double>(K));
    const Tensor x = stored_tensor(ctx, {M, K}, rounded(random_values(M * K, 41), dtype), stored),
                 weight = stored_tensor(ctx, {2 * I, K}, rounded(random_values(2 * I * K, 42, spread), dtype), stored);
    Tensor out = poisoned_tensor(ctx, {M, I}, stored);
    ops::linear_swiglu(ctx, x, weight, out);
    return {floats_of(ctx, out)};
  };
  // Both factors carry the products' errors, and in bf16 a rounding.
  return {{"linear_swiglu"}, fmt::format("{} x 2 * {} x {}", M, I, K), dtype, run, {2 * limit(test::linear_tolerance(K), dtype)}};
}

/// Numbers whose products and sums every order of additions gives alike, in matrix units with few bits too: multiples of 224 up to 448 in
/// e4m3, beside weights up to 1. Each row of x has its largest number, so that its scale is a power of two.
ParityCase fp8_case(std::int64_t M, std::int64_t N, std::int64_t K, DType dtype) {
  const auto run = [=](const ExecContext& ctx, DType stored) -> Results {
    RandomStream random(static_cast<std::uint64_t>(M * N + K), "gpu_check fp8");
    const auto step = [&] { return static_cast<float>(random.below(5)) - 2.0F; };
    std::vector<float> x, scales, biases;
    std::vector<std::uint8_t> weights;
    for (std::int64_t i = 0; i < M * K; ++i) x.push_back((i % K == i / K % K ? 448.0F : 224.0F * step()) * 0x1p-9F);
    for (std::int64_t i = 0; i < N * K; ++i) weights.push_back(f32_to_f8e4m3(0.5F * step()));
    for (std::int64_t n = 0; n < N; ++n) scales.push_back(n % 2 == 0 ? 0.25F : 0.125F), biases.push_back(step());
    const Tensor input = stored_tensor(ctx, {M, K}, rounded(x, dtype), stored), bias = stored_tensor(ctx, {N}, biases, stored);
    const Tensor weight = ops::to_device(ctx, Tensor::host_from(std::span<const std::uint8_t>(weights), {N, K}, DType::kF8E4M3)),
                 factors = stored_tensor(ctx, {N}, scales, DType::kF32);
    Tensor plain = poisoned_tensor(ctx, {M, N}, stored), biased = poisoned_tensor(ctx, {M, N}, stored);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.linear_fp8(ctx, input, weight, factors, nullptr, plain);
    table.linear_fp8(ctx, input, weight, factors, &bias, biased);
    return {floats_of(ctx, plain), floats_of(ctx, biased)};
  };
  const double one = limit(test::linear_tolerance(K), dtype);
  return {{"linear_fp8"}, fmt::format("{} x {} x {}", M, N, K), dtype, run, {one, one}};
}

ParityCase norm_case(const test::NormCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    const Shape shape{c.num_rows, c.hidden_size};
    const auto values = [&](std::uint64_t seed, double spread) {
      return stored_tensor(ctx, shape, rounded(random_values(c.num_rows * c.hidden_size, c.seed + seed, spread), dtype), stored);
    };
    const Tensor x = values(0, c.spread), residual = values(100, c.spread), grad = values(300, 1);
    const Tensor weight = stored_tensor(ctx, {c.hidden_size}, rounded(random_values(c.hidden_size, c.seed + 200), dtype), stored);
    // The backward pass takes the same rstd on both sides: what it does with it is in question.
    std::vector<float> factors;
    for (std::int64_t r = 0; r < c.num_rows; ++r)
      factors.push_back(1.0F / static_cast<float>(c.spread * (1.0 + 0.01 * static_cast<double>(r))));
    const Tensor given = stored_tensor(ctx, {c.num_rows}, factors, DType::kF32);
    Tensor out = ctx.empty(shape, stored), rstd = ctx.empty({c.num_rows}), sum = ctx.empty(shape, stored),
           sum_out = ctx.empty(shape, stored);
    Tensor grad_x = ctx.empty(shape, stored), added_x = values(400, 1), grad_weight = ctx.empty({c.hidden_size}, stored);
    Tensor added_weight = stored_tensor(ctx, {c.hidden_size}, rounded(random_values(c.hidden_size, c.seed + 500), dtype), stored);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.rms_norm(ctx, x, weight, c.eps, out, &rstd);
    table.add_rms_norm(ctx, x, residual, weight, c.eps, sum, sum_out, nullptr);
    table.rms_norm_backward(ctx, grad, x, weight, given, grad_x, Accumulate::kNo, grad_weight, Accumulate::kNo);
    table.rms_norm_backward(ctx, grad, x, weight, given, added_x, Accumulate::kYes, added_weight, Accumulate::kYes);
    return {floats_of(ctx, out),    floats_of(ctx, rstd),    floats_of(ctx, sum),         floats_of(ctx, sum_out),
            floats_of(ctx, grad_x), floats_of(ctx, added_x), floats_of(ctx, grad_weight), floats_of(ctx, added_weight)};
  };
  const double forward = limit(test::kNormTolerance, dtype), backward = limit(test::kNormGradTolerance, dtype);
  return {{"rms_norm", "add_rms_norm", "rms_norm_backward"},
          fmt::format("{} rows of {}", c.num_rows, c.hidden_size),
          dtype,
          run,
          {forward, limit(test::kNormTolerance, DType::kF32), forward, forward, backward, backward, backward, backward}};
}

ParityCase swiglu_case(const test::SwigluCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    const std::int64_t count = c.num_tokens * c.intermediate_size;
    const Tensor gate_up =
        stored_tensor(ctx, {c.num_tokens, 2 * c.intermediate_size}, rounded(random_values(2 * count, 1, c.spread), dtype), stored);
    const Tensor grad = stored_tensor(ctx, {c.num_tokens, c.intermediate_size}, rounded(random_values(count, 2), dtype), stored);
    Tensor out = ctx.empty(grad.shape(), stored), grad_gate_up = ctx.empty(gate_up.shape(), stored);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.swiglu(ctx, gate_up, out);
    table.swiglu_backward(ctx, grad, gate_up, grad_gate_up);
    return {floats_of(ctx, out), floats_of(ctx, grad_gate_up)};
  };
  const double one = limit(test::kSwigluTolerance, dtype);
  return {{"swiglu", "swiglu_backward"}, fmt::format("{} x {}", c.num_tokens, c.intermediate_size), dtype, run, {one, one}};
}

ParityCase rope_case(const test::RopeCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    const std::int64_t columns = std::int64_t{c.num_heads} * c.head_dim + c.spare_columns, angles = c.rotary_dim / 2, positions = 40;
    std::vector<float> cosines, sines;
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < positions * angles; ++i) {
      const double angle = static_cast<double>(i / angles) / std::pow(100.0, static_cast<double>(i % angles) / static_cast<double>(angles));
      cosines.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
    for (std::int64_t t = 0; t < c.num_tokens; ++t) ids.push_back(static_cast<std::int32_t>(t * 7 % positions));
    const Tensor position_ids = index_tensor(ctx, ids), cos = stored_tensor(ctx, {positions, angles}, cosines, DType::kF32),
                 sin = stored_tensor(ctx, {positions, angles}, sines, DType::kF32);
    Results results;
    for (const auto direction : {ops::RopeDirection::kForward, ops::RopeDirection::kBackward}) {
      Tensor x = stored_tensor(ctx, {c.num_tokens, columns}, rounded(random_values(c.num_tokens * columns, 3), dtype), stored);
      ops::OpScope scope(ctx, "gpu_check");
      ops::op_table(ctx).rope(ctx, x, position_ids, cos, sin, c.num_heads, c.head_dim, c.style, direction);
      results.push_back(floats_of(ctx, x));
    }
    return results;
  };
  const double one = limit(test::kRopeTolerance, dtype);
  return {{"rope"}, fmt::format("{} tokens, {} heads of {}", c.num_tokens, c.num_heads, c.head_dim), dtype, run, {one, one}};
}

ParityCase embedding_case(const test::EmbeddingCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    std::vector<std::int32_t> token_ids;
    RandomStream random(4, "ids");
    for (std::int64_t t = 0; t < c.num_tokens; ++t)
      token_ids.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(c.vocab_size))));
    const auto weights = rounded(random_values(c.vocab_size * c.hidden_size, 5), dtype);
    const Tensor ids = index_tensor(ctx, token_ids), weight = stored_tensor(ctx, {c.vocab_size, c.hidden_size}, weights, stored);
    const Tensor grad =
        stored_tensor(ctx, {c.num_tokens, c.hidden_size}, rounded(random_values(c.num_tokens * c.hidden_size, 6), dtype), stored);
    Tensor out = ctx.empty(grad.shape()), fresh = ctx.empty(weight.shape());
    Tensor added = stored_tensor(ctx, weight.shape(), weights, DType::kF32);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.embedding(ctx, ids, weight, out);
    table.embedding_backward(ctx, ids, grad, fresh, Accumulate::kNo);
    table.embedding_backward(ctx, ids, grad, added, Accumulate::kYes);
    return {floats_of(ctx, out), floats_of(ctx, fresh), floats_of(ctx, added)};
  };
  const double sum = limit(test::kEmbeddingTolerance, DType::kF32);
  return {{"embedding", "embedding_backward"},
          fmt::format("{} tokens of {}, {} columns", c.num_tokens, c.vocab_size, c.hidden_size),
          dtype,
          run,
          {0, sum, sum}};
}

ParityCase loss_case(const test::LossCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    std::vector<std::int32_t> labels;
    RandomStream random(c.seed, "labels");
    for (std::int64_t t = 0; t < c.T; ++t) {
      const auto id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(c.V)));
      labels.push_back(c.ignored_every > 0 && t % c.ignored_every == 0 ? ops::kIgnoreIndex : id);
    }
    const Tensor hidden = stored_tensor(ctx, {c.T, c.H}, rounded(random_values(c.T * c.H, c.seed), dtype), stored);
    const Tensor weight = stored_tensor(ctx, {c.V, c.H}, rounded(random_values(c.V * c.H, c.seed + 10), dtype), stored);
    const Tensor ids = index_tensor(ctx, labels), grad = stored_tensor(ctx, {c.T}, random_values(c.T, c.seed + 20), DType::kF32);
    Tensor token_loss = ctx.empty({c.T}), is_correct = ctx.empty({c.T}), log_probs = ctx.empty({c.T}), entropy = ctx.empty({c.T}),
           lse = ctx.empty({c.T}), grad_hidden = ctx.empty({c.T, c.H}, stored), grad_weight = ctx.empty({c.V, c.H}),
           grad_hidden2 = ctx.empty({c.T, c.H}, stored), grad_weight2 = ctx.empty({c.V, c.H});
    const auto workspace_bytes = static_cast<std::size_t>(c.V > 10'000 ? 16 << 20 : c.T * 1024);  // several chunks
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.linear_cross_entropy(ctx, hidden, weight, ids, token_loss, is_correct,
                               ops::CrossEntropyGradients{0.25F, &grad_hidden, &grad_weight, Accumulate::kNo}, workspace_bytes);
    table.selected_log_probs(ctx, hidden, weight, ids, c.temperature, log_probs, &entropy, &lse, workspace_bytes);
    table.selected_log_probs_backward(ctx, grad, hidden, weight, ids, c.temperature, lse, grad_hidden2, grad_weight2, Accumulate::kNo,
                                      workspace_bytes);
    return {floats_of(ctx, token_loss),  floats_of(ctx, is_correct),  floats_of(ctx, log_probs),    floats_of(ctx, entropy),
            floats_of(ctx, grad_hidden), floats_of(ctx, grad_weight), floats_of(ctx, grad_hidden2), floats_of(ctx, grad_weight2)};
  };
  // In bf16 the gradient of the logits is stored in it before its two products: by 2^-9 of what is summed, of which the sum may be a small
  // part.
  const double loss = limit(test::kLossTolerance, DType::kF32),
               grad = limit(test::kLossGradTolerance, dtype) + (dtype == DType::kBF16 ? 0x1p-7 : 0.0);
  return {{"linear_cross_entropy", "selected_log_probs", "selected_log_probs_backward"},
          fmt::format("{} rows of {}, {} ids", c.T, c.H, c.V),
          dtype,
          run,
          {loss, 0, loss, loss, grad, grad, grad, grad}};
}

ParityCase logits_case(const test::LossCase& c, DType dtype) {
  const auto run = [c, dtype](const ExecContext& ctx, DType stored) -> Results {
    auto values = rounded(random_values(c.T * c.V, c.seed, 3.0), dtype);
    values[0] = -INFINITY;
    std::vector<std::int32_t> chosen;
    for (std::int64_t t = 0; t < c.T; ++t) chosen.push_back(static_cast<std::int32_t>((t * 7919 + 1) % c.V));
    const Tensor logits = stored_tensor(ctx, {c.T, c.V}, values, stored), ids = index_tensor(ctx, chosen);
    Tensor log_probs = ctx.empty({c.T}), entropy = ctx.empty({c.T});
    ops::OpScope scope(ctx, "gpu_check");
    ops::op_table(ctx).log_probs_of_logits(ctx, logits, ids, c.temperature, log_probs, &entropy);
    return {floats_of(ctx, log_probs), floats_of(ctx, entropy)};
  };
  const double one = limit(test::kLossTolerance, DType::kF32);
  return {{"log_probs_of_logits"}, fmt::format("{} rows of {} ids", c.T, c.V), dtype, run, {one, one}};
}

}  // namespace

std::string check_batch_invariance(const ExecContext& device, DType dtype) {
  constexpr std::int64_t kRows = 300, kInner = 1536, kOuter = 2048, kFirst = 3;
  const auto values = [&](std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
    return stored_tensor(device, {rows, columns}, rounded(random_values(rows * columns, seed), dtype), dtype);
  };
  const Tensor x = values(kRows, kInner, 1), weight = values(kOuter, kInner, 2), bias = values(1, kOuter, 3).view({kOuter}),
               grad = values(kRows, kOuter, 4);
  const ops::OpTable& table = ops::op_table(device);
  ops::OpScope scope(device, "gpu_check");
  const auto products = [&](std::int64_t begin, std::int64_t end) {
    Tensor out = device.empty({end - begin, kOuter}, dtype), grad_x = device.empty({end - begin, kInner}, dtype);
    table.linear(device, x.rows(begin, end), weight, &bias, out);
    table.linear_backward_input(device, grad.rows(begin, end), weight, grad_x, Accumulate::kNo);
    return Results{floats_of(device, out), floats_of(device, grad_x)};
  };
  const Results all = products(0, kRows);
  for (const std::int64_t count : {1, 2, 5, 16, 33, 64, 128, 200, 297}) {
    const Results some = products(kFirst, kFirst + count);
    for (std::size_t product = 0; product < some.size(); ++product) {
      const auto width = static_cast<std::ptrdiff_t>(product == 0 ? kOuter : kInner);
      if (std::equal(some[product].begin(), some[product].end(), all[product].begin() + kFirst * width)) continue;
      return fmt::format("{}: a batch of {} has other bits than the same rows in one of {}",
                         product == 0 ? "linear" : "linear_backward_input", count, kRows);
    }
  }
  return {};
}

void add_measured_dense_cases(DType dtype, std::vector<ParityCase>& cases) {
  cases.push_back(norm_case({.num_rows = 37, .hidden_size = 12'288, .eps = 1e-6F, .spread = 1.0, .seed = 41}, dtype));
  cases.push_back(loss_case({.T = 64, .H = 64, .V = 151'936, .ignored_every = 5, .temperature = 0.7F, .seed = 42}, dtype));
  cases.push_back(logits_case({.T = 64, .H = 64, .V = 151'936, .ignored_every = 5, .temperature = 0.7F, .seed = 43}, dtype));
}

void add_few_row_cases(DType dtype, std::vector<ParityCase>& cases) {
  // Both numbers of weight rows that a warp takes, and more of K than it asks for at once.
  for (const auto& [M, N, K] : {std::array<std::int64_t, 3>{1, 528, 1536}, {2, 4112, 96}, {3, 48, 4640}, {4, 96, 1504}}) {
    cases.push_back(linear_case({M, N, K, 31}, dtype));
    cases.push_back(fp8_case(M, N, K, dtype));
  }
  for (const auto& [M, I, K] : {std::array<std::int64_t, 3>{1, 264, 1536}, {2, 37, 1184}, {3, 24, 256}}) {
    cases.push_back(linear_swiglu_case(M, I, K, dtype));
  }
}

void add_dense_cases(DType dtype, std::vector<ParityCase>& cases) {
  add_few_row_cases(dtype, cases);
  cases.push_back(linear_swiglu_case(40, 48, 112, dtype));
  // cuBLASLt's e4m3 products want multiples of 16: shapes of their own.
  for (const auto& [M, N, K] : {std::array<std::int64_t, 3>{1, 48, 64}, {3, 16, 16}, {64, 48, 112}, {200, 128, 304}, {70, 528, 512}}) {
    cases.push_back(fp8_case(M, N, K, dtype));
  }
  for (const auto& c : test::kLinearCases) cases.push_back(linear_case(c, dtype));
  for (const auto& c : test::kLargeLinearCases) cases.push_back(linear_case(c, dtype));
  for (const auto& c : test::kNormCases) cases.push_back(norm_case(c, dtype));
  for (const auto& c : test::kSwigluCases) cases.push_back(swiglu_case(c, dtype));
  for (const auto& c : test::kRopeCases) cases.push_back(rope_case(c, dtype));
  for (const auto& c : test::kEmbeddingCases) cases.push_back(embedding_case(c, dtype));
  for (const auto& c : test::kLossCases) cases.push_back(loss_case(c, dtype));
  for (const auto& c : test::kLossCases) cases.push_back(logits_case(c, dtype));
}

}  // namespace r1::gpu

#include <fmt/format.h>

#include "bench_ops_cases.h"
#include "ops/copy.h"
#include "ops/dispatch.h"
#include "tests/ops/activation_cases.h"
#include "tests/ops/attention_cases.h"
#include "tests/ops/linear_cases.h"
#include "tests/ops/loss_cases.h"
#include "tests/ops/norm_cases.h"
#include "tests/ops/rope_cases.h"

namespace r1::bench {
namespace {

class Tables {
 public:
  explicit Tables(const ExecContext& ctx) : ctx_(&ctx) {
    for (const auto& c : test::kLinearCases) add(c);
    for (const auto& c : test::kLargeLinearCases) add(c);
    for (const auto& c : test::kNormCases) add(c);
    for (const auto& c : test::kSwigluCases) add(c);
    for (const auto& c : test::kRopeCases) add(c);
    for (const auto& c : test::kAttentionCases) add(c);
    for (const auto& c : test::kLossCases) add(c);
  }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  Tensor filled(Shape shape) const { return bench::filled(*ctx_, shape); }
  void push(std::string name, double flops, double bytes, std::function<void()> run) {
    cases_.push_back({std::move(name), 1, flops, bytes, std::move(run)});
  }

  void add(const test::LinearCase& c) {
    Tensor x = filled({c.M, c.K}), weight = filled({c.N, c.K}), out = filled({c.M, c.N}), grad_x = filled({c.M, c.K});
    Tensor grad_weight = filled({c.N, c.K});
    const double flops = 2.0 * static_cast<double>(c.M * c.N * c.K), bytes = bytes_of({x, weight, out});
    const std::string shape = fmt::format("{}x{}x{}", c.M, c.N, c.K);
    push("linear " + shape, flops, bytes, [=, ctx = ctx_]() mutable { ops::linear(*ctx, x, weight, nullptr, out); });
    push("linear_backward_input " + shape, flops, bytes,
         [=, ctx = ctx_]() mutable { ops::linear_backward_input(*ctx, out, weight, grad_x, ops::Accumulate::kNo); });
    push("linear_backward_weight " + shape, flops, bytes,
         [=, ctx = ctx_]() mutable { ops::linear_backward_weight(*ctx, out, x, grad_weight, nullptr, ops::Accumulate::kNo); });
  }

  void add(const test::NormCase& c) {
    Tensor x = filled({c.num_rows, c.hidden_size}), grad = filled({c.num_rows, c.hidden_size}), out = filled({c.num_rows, c.hidden_size});
    Tensor weight = filled({c.hidden_size}), grad_weight = filled({c.hidden_size}), rstd = filled({c.num_rows});
    const std::string shape = fmt::format("{}x{}", c.num_rows, c.hidden_size);
    push("rms_norm " + shape, 0, bytes_of({x, out}),
         [=, ctx = ctx_, eps = c.eps]() mutable { ops::rms_norm(*ctx, x, weight, eps, out, &rstd); });
    push("rms_norm_backward " + shape, 0, bytes_of({x, grad, out}), [=, ctx = ctx_]() mutable {
      ops::rms_norm_backward(*ctx, grad, x, weight, rstd, out, ops::Accumulate::kNo, grad_weight, ops::Accumulate::kNo);
    });
  }

  void add(const test::SwigluCase& c) {
    Tensor gate_up = filled({c.num_tokens, 2 * c.intermediate_size}), out = filled({c.num_tokens, c.intermediate_size});
    Tensor grad = filled({c.num_tokens, 2 * c.intermediate_size});
    const std::string shape = fmt::format("{}x{}", c.num_tokens, c.intermediate_size);
    push("swiglu " + shape, 0, bytes_of({gate_up, out}), [=, ctx = ctx_]() mutable { ops::swiglu(*ctx, gate_up, out); });
    push("swiglu_backward " + shape, 0, bytes_of({gate_up, out, grad}),
         [=, ctx = ctx_]() mutable { ops::swiglu_backward(*ctx, out, gate_up, grad); });
  }

  void add(const test::RopeCase& c) {
    Tensor x = filled({c.num_tokens, c.num_heads * c.head_dim + c.spare_columns}), angles = filled({c.num_tokens, c.rotary_dim / 2});
    Tensor positions = integers(*ctx_, c.num_tokens, c.num_tokens);
    push(fmt::format("rope {}x{}x{}", c.num_tokens, c.num_heads, c.head_dim), 0, 2 * bytes_of({x}),
         [=, ctx = ctx_, heads = c.num_heads, dim = c.head_dim, style = c.style]() mutable {
           ops::rope(*ctx, x, positions, angles, angles, heads, dim, style, ops::RopeDirection::kForward);
         });
  }

  void add(const test::AttentionCase& c) {
    const ops::AttentionHeads heads{c.num_attention_heads, c.num_key_value_heads, c.head_dim, 0.125F};
    std::vector<std::int32_t> borders{0};
    double pairs = 0;
    for (const std::int32_t length : c.lengths) {
      borders.push_back(borders.back() + length);
      pairs += 0.5 * length * (length + 1.0);
    }
    const std::int64_t T = borders.back(), Q = std::int64_t{c.num_attention_heads} * c.head_dim,
                       KV = std::int64_t{c.num_key_value_heads} * c.head_dim;
    Tensor q = filled({T, Q}), k = filled({T, KV}), v = filled({T, KV}), out = filled({T, Q}), lse = filled({T, c.num_attention_heads});
    Tensor grad_out = filled({T, Q}), grad_q = filled({T, Q}), grad_k = filled({T, KV}), grad_v = filled({T, KV});
    Tensor cu_seqlens = from_list(*ctx_, borders);
    const double flops = 2.0 * pairs * static_cast<double>(Q);
    const std::string shape = fmt::format("{}/{}x{} of {}", c.num_attention_heads, c.num_key_value_heads, c.head_dim, T);
    push("attention " + shape, 2 * flops, bytes_of({q, k, v, out}),
         [=, ctx = ctx_]() mutable { ops::attention(*ctx, q, k, v, cu_seqlens, heads, out, &lse); });
    push("attention_backward " + shape, 5 * flops, 2 * bytes_of({q, k, v, out}), [=, ctx = ctx_]() mutable {
      ops::attention_backward(*ctx, grad_out, q, k, v, out, lse, cu_seqlens, heads, grad_q, grad_k, grad_v);
    });
  }

  void add(const test::LossCase& c) {
    Tensor hidden = filled({c.T, c.H}), weight = filled({c.V, c.H}), grad_hidden = filled({c.T, c.H}), grad_weight = filled({c.V, c.H});
    Tensor ids = integers(*ctx_, c.T, c.V), loss = filled({c.T}), other = filled({c.T});
    const double flops = 2.0 * static_cast<double>(c.T * c.H * c.V);
    const std::string shape = fmt::format("{}x{}x{}", c.T, c.H, c.V);
    push("linear_cross_entropy " + shape, 3 * flops, bytes_of({hidden, weight, grad_hidden, grad_weight}), [=, ctx = ctx_]() mutable {
      ops::linear_cross_entropy(*ctx, hidden, weight, ids, loss, other,
                                ops::CrossEntropyGradients{1.0F, &grad_hidden, &grad_weight, ops::Accumulate::kNo});
    });
    push("selected_log_probs " + shape, flops, bytes_of({hidden, weight}), [=, ctx = ctx_, temperature = c.temperature]() mutable {
      ops::selected_log_probs(*ctx, hidden, weight, ids, temperature, loss, &other, nullptr);
    });
  }

  const ExecContext* ctx_;
  std::vector<Case> cases_;
};

}  // namespace

std::vector<Case> table_cases(const ExecContext& ctx) { return Tables(ctx).take(); }

}  // namespace r1::bench

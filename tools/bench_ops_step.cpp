#include <utility>

#include "bench_ops_cases.h"
#include "ops/copy.h"
#include "ops/dispatch.h"

namespace r1::bench {
namespace {

/// Tensors of one training step and the calls of its ops.
class Step {
 public:
  Step(const ExecContext& ctx, const ModelShape& m) : ctx_(ctx), m_(m) {
    heads_ = {static_cast<int>(m.num_heads), static_cast<int>(m.num_key_value_heads), static_cast<int>(m.head_dim), 0.125F};
    add_linears();
    add_rowwise();
    add_attention();
    add_head();
    add_optimizer();
    add_decode();
  }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  Tensor filled(Shape shape) const { return bench::filled(ctx_, shape, m_.dtype); }
  Tensor filled_f32(Shape shape) const { return bench::filled(ctx_, shape); }
  Tensor integers(std::int64_t count, std::int64_t modulus) const { return bench::integers(ctx_, count, modulus); }

  void add_linears() {
    const std::int64_t qkv = (m_.num_heads + 2 * m_.num_key_value_heads) * m_.head_dim;
    add_linear("qkv_proj", qkv, m_.hidden_size);
    add_linear("o_proj", m_.hidden_size, m_.num_heads * m_.head_dim);
    add_linear("gate_up_proj", 2 * m_.intermediate_size, m_.hidden_size);
    add_linear("down_proj", m_.hidden_size, m_.intermediate_size);
  }

  void add_linear(const std::string& name, std::int64_t N, std::int64_t K) {
    Tensor x = filled({m_.tokens, K}), weight = filled({N, K}), out = filled({m_.tokens, N}), grad_x = filled({m_.tokens, K});
    Tensor grad_weight = filled({N, K});
    const double flops = 2.0 * static_cast<double>(m_.tokens * N * K), bytes = bytes_of({x, weight, out});
    const auto calls = static_cast<double>(m_.num_layers);
    cases_.push_back({"linear " + name, calls, flops, bytes,
                      [=, ctx = &ctx_, heads = heads_]() mutable { ops::op_table(*ctx).linear(*ctx, x, weight, nullptr, out); }});
    cases_.push_back({"linear_backward_input " + name, calls, flops, bytes, [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).linear_backward_input(*ctx, out, weight, grad_x, ops::Accumulate::kNo);
                      }});
    cases_.push_back({"linear_backward_weight " + name, calls, flops, bytes, [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).linear_backward_weight(*ctx, out, x, grad_weight, nullptr, ops::Accumulate::kNo);
                      }});
  }

  void add_rowwise() {
    const std::int64_t T = m_.tokens, H = m_.hidden_size, I = m_.intermediate_size;
    Tensor x = filled({T, H}), residual = filled({T, H}), sum = filled({T, H}), out = filled({T, H}), weight = filled({H}),
           rstd = filled_f32({T});
    Tensor grad_weight = filled({H}), gate_up = filled({T, 2 * I}), gated = filled({T, I}), grad_gate_up = filled({T, 2 * I});
    const auto layers = static_cast<double>(m_.num_layers);
    cases_.push_back({"add_rms_norm", 2 * layers, 0, bytes_of({x, residual, sum, out}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).add_rms_norm(*ctx, x, residual, weight, 1e-6F, sum, out, &rstd);
                      }});
    cases_.push_back({"rms_norm_backward", 2 * layers, 0, bytes_of({x, residual, out, out}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).rms_norm_backward(*ctx, x, residual, weight, rstd, out, ops::Accumulate::kYes, grad_weight,
                                                              ops::Accumulate::kNo);
                      }});
    cases_.push_back({"swiglu", layers, 0, bytes_of({gate_up, gated}),
                      [=, ctx = &ctx_, heads = heads_]() mutable { ops::op_table(*ctx).swiglu(*ctx, gate_up, gated); }});
    cases_.push_back({"swiglu_backward", layers, 0, bytes_of({gate_up, gated, grad_gate_up}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).swiglu_backward(*ctx, gated, gate_up, grad_gate_up);
                      }});
    Tensor q = filled({T, m_.num_heads * m_.head_dim}), angles = filled_f32({T, m_.head_dim / 2}), positions = integers(T, T);
    cases_.push_back({"rope (queries)", 4 * layers, 0, 2 * bytes_of({q}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).rope(*ctx, q, positions, angles, angles, heads.num_attention_heads, heads.head_dim,
                                                 ops::RopeStyle::kHalf, ops::RopeDirection::kForward);
                      }});
  }

  // Two packed sequences.
  void add_attention() {
    const std::int64_t T = m_.tokens, Q = m_.num_heads * m_.head_dim, KV = m_.num_key_value_heads * m_.head_dim;
    Tensor q = filled({T, Q}), k = filled({T, KV}), v = filled({T, KV}), out = filled({T, Q}), lse = filled_f32({T, m_.num_heads});
    Tensor grad_q = filled({T, Q}), grad_k = filled({T, KV}), grad_v = filled({T, KV}), grad_out = filled({T, Q});
    const std::vector<std::int32_t> borders = {0, static_cast<std::int32_t>(T / 2), static_cast<std::int32_t>(T)};
    Tensor cu_seqlens = ops::to_device(ctx_, Tensor::host_from(std::span<const std::int32_t>(borders), Shape{3}, DType::kI32));
    // 2 products forward and 5 backward over the pairs below the diagonal.
    const double pairs = 2 * 0.5 * static_cast<double>(T / 2) * static_cast<double>(T / 2), flops = 2.0 * pairs * static_cast<double>(Q);
    const auto layers = static_cast<double>(m_.num_layers);
    ops::AttentionHeads packed = heads_;
    packed.longest_sequence = T - T / 2;
    cases_.push_back({"attention", layers, 2 * flops, bytes_of({q, k, v, out}), [=, ctx = &ctx_, heads = packed]() mutable {
                        ops::op_table(*ctx).attention(*ctx, q, k, v, cu_seqlens, heads, out, &lse);
                      }});
    cases_.push_back({"attention_backward", layers, 5 * flops, 2 * bytes_of({q, k, v, out}), [=, ctx = &ctx_, heads = packed]() mutable {
                        ops::op_table(*ctx).attention_backward(*ctx, grad_out, q, k, v, out, lse, cu_seqlens, heads, grad_q, grad_k,
                                                               grad_v);
                      }});
  }

  void add_head() {
    const std::int64_t T = m_.tokens, H = m_.hidden_size, V = m_.vocab_size;
    Tensor hidden = filled({T, H}), weight = filled({V, H}), grad_hidden = filled({T, H}), grad_weight = filled_f32({V, H});
    Tensor ids = integers(T, V), loss = filled_f32({T}), correct = filled_f32({T});
    const double flops = 2.0 * static_cast<double>(T * H * V);
    cases_.push_back({"linear_cross_entropy", 1, 3 * flops, bytes_of({hidden, weight, grad_hidden, grad_weight}),
                      [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).linear_cross_entropy(
                            *ctx, hidden, weight, ids, loss, correct,
                            ops::CrossEntropyGradients{1.0F, &grad_hidden, &grad_weight, ops::Accumulate::kNo}, 0);
                      }});
    cases_.push_back({"selected_log_probs", 0, flops, bytes_of({hidden, weight}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).selected_log_probs(*ctx, hidden, weight, ids, 0.7F, loss, &correct, nullptr, 0);
                      }});
    cases_.push_back({"embedding", 1, 0, 2 * bytes_of({hidden}),
                      [=, ctx = &ctx_, heads = heads_]() mutable { ops::op_table(*ctx).embedding(*ctx, ids, weight, hidden); }});
    cases_.push_back({"embedding_backward", 1, 0, 3 * bytes_of({hidden}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).embedding_backward(*ctx, ids, hidden, grad_weight, ops::Accumulate::kYes);
                      }});
  }

  void add_optimizer() {
    Tensor parameter = filled_f32({m_.parameters}), gradient = filled_f32({m_.parameters}), exp_avg = filled_f32({m_.parameters});
    Tensor exp_avg_sq = filled_f32({m_.parameters});
    Tensor sums = ctx_.empty({(m_.parameters + ops::kReduceBlock - 1) / ops::kReduceBlock}, DType::kF64);
    ops::fill(ctx_, exp_avg_sq, 0.01F);
    cases_.push_back({"adamw", 1, 0, 7 * bytes_of({parameter}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).adamw(*ctx, parameter, gradient, exp_avg, exp_avg_sq, {.learning_rate = 1e-4, .step = 10},
                                                  nullptr);
                      }});
    cases_.push_back({"sum_squares_blocks", 1, 0, bytes_of({parameter}),
                      [=, ctx = &ctx_, heads = heads_]() mutable { ops::op_table(*ctx).sum_squares_blocks(*ctx, gradient, sums); }});
  }

  // 32 sequences with 512 tokens each in the cache, one new token each; not part of a training step.
  void add_decode() {
    constexpr std::int64_t kSequences = 32, kContext = 512, kBlockSize = 32, kBlocks = kContext / kBlockSize;
    Tensor q = filled({kSequences, m_.num_heads * m_.head_dim}), out = filled({kSequences, m_.num_heads * m_.head_dim});
    Tensor keys = filled(ops::key_cache_shape(kSequences * kBlocks, heads_, kBlockSize));
    Tensor values = filled(ops::value_cache_shape(kSequences * kBlocks, heads_, kBlockSize));
    std::vector<std::int32_t> borders, blocks;
    for (std::int32_t i = 0; i <= kSequences; ++i) borders.push_back(i);
    for (std::int32_t i = 0; i < kSequences * kBlocks; ++i) blocks.push_back(i);
    Tensor cu_seqlens = from_list(ctx_, borders), block_tables = from_list(ctx_, blocks).view({kSequences, kBlocks});
    Tensor context_lens = from_list(ctx_, std::vector<std::int32_t>(kSequences, kContext));
    const double flops = 4.0 * static_cast<double>(kSequences * kContext * m_.num_heads * m_.head_dim);
    cases_.push_back({"paged_attention (decode, 32 x 512)", 0, flops, bytes_of({keys, values}), [=, ctx = &ctx_, heads = heads_]() mutable {
                        ops::op_table(*ctx).paged_attention(*ctx, q, keys, values, cu_seqlens, context_lens, block_tables, heads, out);
                      }});
    Tensor logits = filled_f32({kSequences, m_.vocab_size}), uniforms = filled_f32({kSequences}), ids = integers(kSequences, 2);
    Tensor none = integers(0, 1), offsets = from_list(ctx_, std::vector<std::int32_t>(kSequences + 1, 0)),
           log_probs = filled_f32({kSequences});
    ops::fill(ctx_, uniforms, 0.37F);
    const std::pair<const char*, ops::SamplingSettings> kinds[] = {{"sample (greedy)", {.temperature = 0}},
                                                                   {"sample (temperature)", {}},
                                                                   {"sample (top_k 50, top_p 0.95)", {.top_k = 50, .top_p = 0.95F}}};
    for (const auto& [name, settings] : kinds) {
      cases_.push_back(
          {name, 0, 0, bytes_of({logits}), [=, ctx = &ctx_, rows = std::vector<ops::SamplingSettings>(kSequences, settings)]() mutable {
             ops::op_table(*ctx).sample(*ctx, logits, rows, none, offsets, uniforms, ids, &log_probs);
           }});
    }
  }

  const ExecContext& ctx_;
  ModelShape m_;
  ops::AttentionHeads heads_;
  std::vector<Case> cases_;
};

}  // namespace

Tensor filled(const ExecContext& ctx, Shape shape, DType dtype) {
  constexpr std::int64_t kPeriod = 1000;
  Tensor host = Tensor::host(shape, dtype);
  const auto value = [](std::size_t i) { return static_cast<float>(i * 7919 % kPeriod) * 1e-3F - 0.5F; };
  if (dtype == DType::kBF16) {
    auto values = host.host_span<std::uint16_t>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = f32_to_bf16(value(i));
  } else {
    auto values = host.host_span<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i);
  }
  return ops::to_device(ctx, host);
}

Tensor integers(const ExecContext& ctx, std::int64_t count, std::int64_t modulus) {
  std::vector<std::int32_t> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<std::int32_t>(i * 7919 % modulus));
  return from_list(ctx, values);
}

Tensor from_list(const ExecContext& ctx, const std::vector<std::int32_t>& values) {
  return ops::to_device(
      ctx, Tensor::host_from(std::span<const std::int32_t>(values), Shape{static_cast<std::int64_t>(values.size())}, DType::kI32));
}

double bytes_of(std::initializer_list<Tensor> tensors) {
  double bytes = 0;
  for (const Tensor& tensor : tensors) bytes += static_cast<double>(tensor.num_bytes());
  return bytes;
}

std::vector<Case> step_cases(const ExecContext& ctx, const ModelShape& shape) { return Step(ctx, shape).take(); }

}  // namespace r1::bench

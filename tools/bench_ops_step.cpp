#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "bench_ops_cases.h"
#include "ops/copy.h"
#include "ops/dispatch.h"

namespace r1::bench {
namespace {

constexpr std::int64_t kMostCopies = 64;

/// Tensors of one training step and the calls of its ops.
class Step {
 public:
  Step(const ExecContext& ctx, const ModelShape& m, double working_set_bytes) : ctx_(ctx), m_(m), working_set_bytes_(working_set_bytes) {
    heads_ = {static_cast<int>(m.num_heads), static_cast<int>(m.num_key_value_heads), static_cast<int>(m.head_dim), 0.125F};
    const std::int64_t qkv = (m_.num_heads + 2 * m_.num_key_value_heads) * m_.head_dim;
    add([&] { return linear("qkv_proj", qkv, m_.hidden_size); });
    add([&] { return linear("o_proj", m_.hidden_size, m_.num_heads * m_.head_dim); });
    add([&] { return linear("gate_up_proj", 2 * m_.intermediate_size, m_.hidden_size); });
    add([&] { return linear("down_proj", m_.hidden_size, m_.intermediate_size); });
    add([&] { return norms(); });
    add([&] { return swiglu(); });
    add([&] { return rope("rope (queries)", m_.num_heads); });
    add([&] { return rope("rope (keys)", m_.num_key_value_heads); });
    // What a step of two packed sequences has; one as long as both has twice the pairs.
    add([&] { return attention(2, static_cast<double>(m_.num_layers)); });
    add([&] { return attention(1, 0); });
    add([&] { return head(); });
    add([&] { return embedding(); });
    add([&] { return optimizer(); });
    for (const std::int64_t rows : {1, 4}) {
      add([&] { return few_rows("gate_up_proj", rows, 2 * m_.intermediate_size, m_.hidden_size); });
      add([&] { return few_rows("down_proj", rows, m_.hidden_size, m_.intermediate_size); });
    }
    add([&] { return row_with_swiglu(); });
    add([&] { return paged_attention(); });
    add([&] { return sampling(); });
  }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  using Cases = std::vector<Case>;

  /// `make` gives the calls on one copy of their tensors.
  void add(const std::function<Cases()>& make) {
    Cases cases = make();
    double fewest_bytes = working_set_bytes_;
    for (const Case& one : cases) fewest_bytes = std::min(fewest_bytes, one.bytes);
    const std::int64_t copies =
        fewest_bytes > 0 ? std::min(kMostCopies, static_cast<std::int64_t>(std::ceil(working_set_bytes_ / fewest_bytes))) : 1;
    std::vector<std::vector<std::function<void()>>> calls(cases.size());
    for (std::int64_t copy = 0; copy < copies; ++copy) {
      Cases next = copy == 0 ? cases : make();
      for (std::size_t i = 0; i < cases.size(); ++i) calls[i].push_back(std::move(next[i].run));
    }
    for (std::size_t i = 0; i < cases.size(); ++i) {
      cases[i].run = copies == 1 ? calls[i].front()
                                 : [turn = std::size_t{0}, of_copy = std::move(calls[i])]() mutable { of_copy[turn++ % of_copy.size()](); };
      cases_.push_back(std::move(cases[i]));
    }
  }

  Tensor filled(Shape shape) const { return bench::filled(ctx_, shape, m_.dtype); }
  Tensor filled_f32(Shape shape) const { return bench::filled(ctx_, shape); }
  Tensor integers(std::int64_t count, std::int64_t modulus) const { return bench::integers(ctx_, count, modulus); }
  static Case memory_bound(std::string name, double calls_per_step, double bytes, std::function<void()> run) {
    return {std::move(name), calls_per_step, 0, bytes, std::move(run), true};
  }

  Cases linear(const std::string& name, std::int64_t N, std::int64_t K) const {
    Tensor x = filled({m_.tokens, K}), weight = filled({N, K}), out = filled({m_.tokens, N}), grad_x = filled({m_.tokens, K});
    Tensor grad_weight = filled({N, K});
    const double flops = 2.0 * static_cast<double>(m_.tokens * N * K), bytes = bytes_of({x, weight, out});
    const auto calls = static_cast<double>(m_.num_layers);
    return {
        {"linear " + name, calls, flops, bytes, [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).linear(*ctx, x, weight, nullptr, out); }},
        {"linear_backward_input " + name, calls, flops, bytes,
         [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).linear_backward_input(*ctx, out, weight, grad_x, ops::Accumulate::kNo); }},
        {"linear_backward_weight " + name, calls, flops, bytes, [=, ctx = &ctx_]() mutable {
           ops::op_table(*ctx).linear_backward_weight(*ctx, out, x, grad_weight, nullptr, ops::Accumulate::kNo);
         }}};
  }

  /// As in a decode step; not part of a training step.
  Cases few_rows(const std::string& name, std::int64_t rows, std::int64_t N, std::int64_t K) const {
    Tensor x = filled({rows, K}), weight = filled({N, K}), out = filled({rows, N});
    const double flops = 2.0 * static_cast<double>(rows * N * K);
    Case one =
        memory_bound(std::string("linear ") + name + (rows == 1 ? ", one row" : fmt::format(", {} rows", rows)), 0,
                     bytes_of({x, weight, out}), [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).linear(*ctx, x, weight, nullptr, out); });
    one.flops = flops;
    return {one};
  }

  Cases row_with_swiglu() const {
    const std::int64_t I = m_.intermediate_size, K = m_.hidden_size;
    Tensor x = filled({1, K}), weight = filled({2 * I, K}), out = filled({1, I});
    Case one = memory_bound("linear_swiglu gate_up_proj, one row", 0, bytes_of({x, weight, out}),
                            [=, ctx = &ctx_]() mutable { ops::linear_swiglu(*ctx, x, weight, out); });
    one.flops = 4.0 * static_cast<double>(I * K);
    return {one};
  }

  Cases norms() const {
    const Shape shape{m_.tokens, m_.hidden_size};
    Tensor x = filled(shape), residual = filled(shape), sum = filled(shape), out = filled(shape), weight = filled({m_.hidden_size});
    Tensor grad_weight = filled({m_.hidden_size}), rstd = filled_f32({m_.tokens});
    const double calls = 2 * static_cast<double>(m_.num_layers);
    return {
        memory_bound("add_rms_norm", calls, bytes_of({x, residual, sum, out, weight, rstd}),
                     [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).add_rms_norm(*ctx, x, residual, weight, 1e-6F, sum, out, &rstd); }),
        // The gradient is added to: read and written.
        memory_bound("rms_norm_backward", calls, bytes_of({x, residual, out, out, weight, grad_weight, rstd}), [=, ctx = &ctx_]() mutable {
          ops::op_table(*ctx).rms_norm_backward(*ctx, x, residual, weight, rstd, out, ops::Accumulate::kYes, grad_weight,
                                                ops::Accumulate::kNo);
        })};
  }

  Cases swiglu() const {
    const std::int64_t T = m_.tokens, I = m_.intermediate_size;
    Tensor gate_up = filled({T, 2 * I}), gated = filled({T, I}), grad_gate_up = filled({T, 2 * I});
    const auto layers = static_cast<double>(m_.num_layers);
    return {memory_bound("swiglu", layers, bytes_of({gate_up, gated}),
                         [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).swiglu(*ctx, gate_up, gated); }),
            memory_bound("swiglu_backward", layers, bytes_of({gate_up, gated, grad_gate_up}),
                         [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).swiglu_backward(*ctx, gated, gate_up, grad_gate_up); })};
  }

  Cases rope(const std::string& name, std::int64_t num_heads) const {
    const std::int64_t T = m_.tokens;
    Tensor x = filled({T, num_heads * m_.head_dim}), cos = filled_f32({T, m_.head_dim / 2}), sin = filled_f32({T, m_.head_dim / 2});
    Tensor positions = integers(T, T);
    return {memory_bound(name, 2 * static_cast<double>(m_.num_layers), bytes_of({x, x, cos, sin, positions}),
                         [=, ctx = &ctx_, heads = static_cast<int>(num_heads), head_dim = heads_.head_dim]() mutable {
                           ops::op_table(*ctx).rope(*ctx, x, positions, cos, sin, heads, head_dim, ops::RopeStyle::kHalf,
                                                    ops::RopeDirection::kForward);
                         })};
  }

  /// The step's tokens as packed sequences of one length.
  Cases attention(std::int64_t num_sequences, double calls) const {
    const std::int64_t T = m_.tokens, Q = m_.num_heads * m_.head_dim, KV = m_.num_key_value_heads * m_.head_dim, length = T / num_sequences;
    Tensor q = filled({T, Q}), k = filled({T, KV}), v = filled({T, KV}), out = filled({T, Q}), lse = filled_f32({T, m_.num_heads});
    Tensor grad_q = filled({T, Q}), grad_k = filled({T, KV}), grad_v = filled({T, KV}), grad_out = filled({T, Q});
    std::vector<std::int32_t> borders;
    for (std::int64_t i = 0; i < num_sequences; ++i) borders.push_back(static_cast<std::int32_t>(i * length));
    borders.push_back(static_cast<std::int32_t>(T));
    Tensor cu_seqlens = from_list(ctx_, borders);
    // 2 products forward and 5 backward over the pairs below the diagonal.
    const double pairs = static_cast<double>(num_sequences) * 0.5 * static_cast<double>(length) * static_cast<double>(length),
                 flops = 2.0 * pairs * static_cast<double>(Q);
    const std::string shape = " (" + std::to_string(num_sequences) + " x " + std::to_string(length) + ")";
    ops::AttentionHeads packed = heads_;
    packed.longest_sequence = static_cast<int>(T - (num_sequences - 1) * length);
    return {{"attention" + shape, calls, 2 * flops, bytes_of({q, k, v, out, lse}),
             [=, ctx = &ctx_, heads = packed]() mutable { ops::op_table(*ctx).attention(*ctx, q, k, v, cu_seqlens, heads, out, &lse); }},
            {"attention_backward" + shape, calls, 5 * flops, bytes_of({q, k, v, out, grad_out, lse, grad_q, grad_k, grad_v}),
             [=, ctx = &ctx_, heads = packed]() mutable {
               ops::op_table(*ctx).attention_backward(*ctx, grad_out, q, k, v, out, lse, cu_seqlens, heads, grad_q, grad_k, grad_v);
             }}};
  }

  Cases head() const {
    const std::int64_t T = m_.tokens, H = m_.hidden_size, V = m_.vocab_size;
    Tensor hidden = filled({T, H}), weight = filled({V, H}), grad_hidden = filled({T, H}), grad_weight = filled_f32({V, H});
    Tensor ids = integers(T, V), loss = filled_f32({T}), correct = filled_f32({T});
    const double flops = 2.0 * static_cast<double>(T * H * V);
    return {{"linear_cross_entropy", 1, 3 * flops, bytes_of({hidden, weight, grad_hidden, grad_weight}),
             [=, ctx = &ctx_]() mutable {
               ops::op_table(*ctx).linear_cross_entropy(*ctx, hidden, weight, ids, loss, correct,
                                                        ops::CrossEntropyGradients{1.0F, &grad_hidden, &grad_weight, ops::Accumulate::kNo},
                                                        0);
             }},
            {"selected_log_probs", 0, flops, bytes_of({hidden, weight}), [=, ctx = &ctx_]() mutable {
               ops::op_table(*ctx).selected_log_probs(*ctx, hidden, weight, ids, 0.7F, loss, &correct, nullptr, 0);
             }}};
  }

  /// As many rows of the table as there are tokens: their ids differ.
  Cases embedding() const {
    const std::int64_t T = m_.tokens, H = m_.hidden_size, V = m_.vocab_size;
    Tensor hidden = filled({T, H}), weight = filled({V, H}), grad_weight = filled_f32({V, H}), ids = integers(T, V);
    const double grad_rows = static_cast<double>(T * H) * sizeof(float);
    return {memory_bound("embedding", 1, 2 * bytes_of({hidden}) + bytes_of({ids}),
                         [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).embedding(*ctx, ids, weight, hidden); }),
            memory_bound("embedding_backward", 1, bytes_of({hidden, ids}) + 2 * grad_rows, [=, ctx = &ctx_]() mutable {
              ops::op_table(*ctx).embedding_backward(*ctx, ids, hidden, grad_weight, ops::Accumulate::kYes);
            })};
  }

  /// With the rounded working copy where activations are bf16.
  Cases optimizer() const {
    Tensor parameter = filled_f32({m_.parameters}), gradient = filled_f32({m_.parameters}), exp_avg = filled_f32({m_.parameters});
    Tensor exp_avg_sq = filled_f32({m_.parameters});
    Tensor sums = ctx_.empty({(m_.parameters + ops::kReduceBlock - 1) / ops::kReduceBlock}, DType::kF64);
    ops::fill(ctx_, exp_avg_sq, 0.01F);
    const bool has_copy = m_.dtype == DType::kBF16;
    Tensor copy = has_copy ? ctx_.empty({m_.parameters}, DType::kBF16) : Tensor();
    const double bytes = 7 * bytes_of({parameter}) + (has_copy ? bytes_of({copy}) : 0.0);
    return {memory_bound(has_copy ? "adamw with a bf16 copy" : "adamw", 1, bytes,
                         [=, ctx = &ctx_]() mutable {
                           ops::op_table(*ctx).adamw(*ctx, parameter, gradient, exp_avg, exp_avg_sq, {.learning_rate = 1e-4, .step = 10},
                                                     has_copy ? &copy : nullptr);
                         }),
            memory_bound("sum_squares_blocks", 1, bytes_of({gradient, sums}),
                         [=, ctx = &ctx_]() mutable { ops::op_table(*ctx).sum_squares_blocks(*ctx, gradient, sums); })};
  }

  // 32 sequences with 512 tokens each in the cache, one new token each; not part of a training step.
  static constexpr std::int64_t kSequences = 32;

  Cases paged_attention() const {
    constexpr std::int64_t kContext = 512, kBlockSize = 32, kBlocks = kContext / kBlockSize;
    Tensor q = filled({kSequences, m_.num_heads * m_.head_dim}), out = filled({kSequences, m_.num_heads * m_.head_dim});
    Tensor keys = filled(ops::key_cache_shape(kSequences * kBlocks, heads_, kBlockSize));
    Tensor values = filled(ops::value_cache_shape(kSequences * kBlocks, heads_, kBlockSize));
    std::vector<std::int32_t> borders, blocks;
    for (std::int32_t i = 0; i <= kSequences; ++i) borders.push_back(i);
    for (std::int32_t i = 0; i < kSequences * kBlocks; ++i) blocks.push_back(i);
    Tensor cu_seqlens = from_list(ctx_, borders), block_tables = from_list(ctx_, blocks).view({kSequences, kBlocks});
    Tensor context_lens = from_list(ctx_, std::vector<std::int32_t>(kSequences, kContext));
    const double flops = 4.0 * static_cast<double>(kSequences * kContext * m_.num_heads * m_.head_dim);
    return {{"paged_attention (decode, 32 x 512)", 0, flops, bytes_of({keys, values, q, out, block_tables}),
             [=, ctx = &ctx_, heads = heads_]() mutable {
               ops::op_table(*ctx).paged_attention(*ctx, q, keys, values, cu_seqlens, context_lens, block_tables, heads, out);
             },
             true}};
  }

  Cases sampling() const {
    Tensor logits = filled_f32({kSequences, m_.vocab_size}), uniforms = filled_f32({kSequences}), ids = integers(kSequences, 2);
    Tensor none = integers(0, 1), offsets = from_list(ctx_, std::vector<std::int32_t>(kSequences + 1, 0)),
           log_probs = filled_f32({kSequences});
    ops::fill(ctx_, uniforms, 0.37F);
    const std::pair<const char*, ops::SamplingSettings> kinds[] = {{"sample (greedy)", {.temperature = 0}},
                                                                   {"sample (temperature)", {}},
                                                                   {"sample (top_k 50, top_p 0.95)", {.top_k = 50, .top_p = 0.95F}}};
    Cases cases;
    for (const auto& [name, settings] : kinds) {
      cases.push_back(memory_bound(name, 0, bytes_of({logits}),
                                   [=, ctx = &ctx_, rows = std::vector<ops::SamplingSettings>(kSequences, settings)]() mutable {
                                     ops::op_table(*ctx).sample(*ctx, logits, rows, none, offsets, uniforms, ids, &log_probs);
                                   }));
    }
    return cases;
  }

  const ExecContext& ctx_;
  ModelShape m_;
  double working_set_bytes_;
  ops::AttentionHeads heads_;
  std::vector<Case> cases_;
};

}  // namespace

/// A piece of the pattern is made on the host and repeated where the tensor lies: most of it never crosses a bus.
Tensor filled(const ExecContext& ctx, Shape shape, DType dtype) {
  constexpr std::int64_t kPeriod = 1000, kPiece = 1000 * kPeriod;
  const std::int64_t count = shape.num_elements(), piece_count = std::min(count, kPiece);
  Tensor host = Tensor::host({piece_count}, dtype);
  const auto value = [](std::size_t i) { return static_cast<float>(i * 7919 % kPeriod) * 1e-3F - 0.5F; };
  if (dtype == DType::kBF16) {
    auto values = host.host_span<std::uint16_t>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = f32_to_bf16(value(i));
  } else {
    auto values = host.host_span<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i);
  }
  const Tensor piece = ops::to_device(ctx, host);
  if (count == piece_count) return piece.view(shape);
  const Tensor whole = ctx.empty({count}, dtype);
  for (std::int64_t begin = 0; begin < count; begin += kPiece) {
    const std::int64_t length = std::min(kPiece, count - begin);
    Tensor part = whole.slice(begin, {length});
    ops::copy(ctx, piece.slice(0, {length}), part);
  }
  return whole.view(shape);
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

std::vector<Case> step_cases(const ExecContext& ctx, const ModelShape& shape, double working_set_bytes) {
  return Step(ctx, shape, working_set_bytes).take();
}

}  // namespace r1::bench

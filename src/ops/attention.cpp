#include "ops/attention.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {
namespace {

struct Shapes {
  Shape queries, keys, lse;
};

Shapes check_inputs(const ExecContext& ctx, const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
                    const AttentionHeads& heads) {
  require_attention_heads(op, heads);
  require_activation(ctx, op, "q", q);
  require_rank(op, "q", q, 2);
  const std::int64_t num_tokens = q.dim(0);
  const Shapes shapes{.queries = Shape{num_tokens, std::int64_t{heads.num_attention_heads} * heads.head_dim},
                      .keys = Shape{num_tokens, std::int64_t{heads.num_key_value_heads} * heads.head_dim},
                      .lse = Shape{num_tokens, heads.num_attention_heads}};
  require_shape(op, "q", q, shapes.queries);
  require_float_like(op, "k", k, q);
  require_shape(op, "k", k, shapes.keys);
  require_float_like(op, "v", v, q);
  require_shape(op, "v", v, shapes.keys);
  require_dtype(op, "cu_seqlens", cu_seqlens, DType::kI32);
  require_rank(op, "cu_seqlens", cu_seqlens, 1);
  if (cu_seqlens.dim(0) < 1) fail(ErrorKind::kShape, "{}: cu_seqlens must have num_sequences + 1 elements, found none", op);
  return shapes;
}

}  // namespace

void attention(const ExecContext& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
               const AttentionHeads& heads, Tensor& out, Tensor* lse) {
  const Shapes shapes = check_inputs(ctx, "attention", q, k, v, cu_seqlens, heads);
  require_float_like("attention", "out", out, q);
  require_shape("attention", "out", out, shapes.queries);
  if (lse != nullptr) {
    require_full_precision("attention", "lse", *lse, q);
    require_shape("attention", "lse", *lse, shapes.lse);
    require_contiguous("attention", "lse", *lse);
  }
  OpScope scope(ctx, "attention");
  op_table(ctx).attention(ctx, q, k, v, cu_seqlens, heads, out, lse);
}

void attention_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& out, const Tensor& lse, const Tensor& cu_seqlens, const AttentionHeads& heads, Tensor& grad_q,
                        Tensor& grad_k, Tensor& grad_v) {
  const char* op = "attention_backward";
  const Shapes shapes = check_inputs(ctx, op, q, k, v, cu_seqlens, heads);
  const auto check = [&](const char* name, const Tensor& tensor, const Shape& shape) {
    require_float_like(op, name, tensor, q);
    require_shape(op, name, tensor, shape);
  };
  check("grad_out", grad_out, shapes.queries);
  check("out", out, shapes.queries);
  require_full_precision(op, "lse", lse, q);
  require_shape(op, "lse", lse, shapes.lse);
  require_contiguous(op, "lse", lse);
  check("grad_q", grad_q, shapes.queries);
  check("grad_k", grad_k, shapes.keys);
  check("grad_v", grad_v, shapes.keys);
  OpScope scope(ctx, op);
  op_table(ctx).attention_backward(ctx, grad_out, q, k, v, out, lse, cu_seqlens, heads, grad_q, grad_k, grad_v);
}

}  // namespace r1::ops

#include "ops/reduce.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {
namespace {

void check(const ExecContext& ctx, const char* op, const Tensor& x, const Tensor& sums) {
  require_float(ctx, op, "x", x);
  require_contiguous(op, "x", x);
  require_dtype(op, "sums", sums, DType::kF64);
  require_shape(op, "sums", sums, Shape{(x.num_elements() + kReduceBlock - 1) / kReduceBlock});
}

}  // namespace

void sum_squares_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums) {
  check(ctx, "sum_squares_blocks", x, sums);
  OpScope scope(ctx, "sum_squares_blocks");
  op_table(ctx).sum_squares_blocks(ctx, x, sums);
}

void sum_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums) {
  check(ctx, "sum_blocks", x, sums);
  OpScope scope(ctx, "sum_blocks");
  op_table(ctx).sum_blocks(ctx, x, sums);
}

}  // namespace r1::ops

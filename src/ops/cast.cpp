#include "ops/cast.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {

void cast(const ExecContext& ctx, const Tensor& x, Tensor& out) {
  require_shape("cast", "out", out, x.shape());
  require_contiguous("cast", "x", x);
  require_contiguous("cast", "out", out);
  const DType from = x.dtype(), to = out.dtype();
  const bool widening = to == DType::kF32 && (from == DType::kBF16 || from == DType::kF16 || from == DType::kF8E4M3);
  const bool rounding = from == DType::kF32 && (to == DType::kBF16 || to == DType::kF16);
  if (!widening && !rounding && !(from == DType::kF32 && to == DType::kF32)) {
    fail(ErrorKind::kDType, "cast: {} to {} is not supported; float32 from and to bfloat16 and float16, and from float8_e4m3fn are",
         dtype_name(from), dtype_name(to));
  }
  OpScope scope(ctx, "cast");
  op_table(ctx).cast(ctx, x, out);
}

}  // namespace r1::ops

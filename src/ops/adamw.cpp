#include "ops/adamw.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {

void adamw(const ExecContext& ctx, Tensor& parameter, const Tensor& gradient, Tensor& exp_avg, Tensor& exp_avg_sq, const AdamWStep& step,
           Tensor* bf16_copy) {
  const char* op = "adamw";
  require_float(ctx, op, "parameter", parameter);
  require_contiguous(op, "parameter", parameter);
  for (const auto& [name, tensor] :
       {std::pair<const char*, const Tensor*>{"gradient", &gradient}, {"exp_avg", &exp_avg}, {"exp_avg_sq", &exp_avg_sq}}) {
    require_float_like(op, name, *tensor, parameter);
    require_shape(op, name, *tensor, parameter.shape());
    require_contiguous(op, name, *tensor);
  }
  if (bf16_copy != nullptr) {
    require_dtype(op, "bf16_copy", *bf16_copy, DType::kBF16);
    require_shape(op, "bf16_copy", *bf16_copy, parameter.shape());
    require_contiguous(op, "bf16_copy", *bf16_copy);
  }
  if (step.step < 1) fail(ErrorKind::kUsage, "adamw: step counts from 1, found {}", step.step);
  OpScope scope(ctx, op);
  op_table(ctx).adamw(ctx, parameter, gradient, exp_avg, exp_avg_sq, step, bf16_copy);
}

}  // namespace r1::ops

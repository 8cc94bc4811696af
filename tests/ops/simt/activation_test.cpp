#include "ops/activation.h"

#include "ops/op_scope.h"
#include "tests/ops/activation_cases.h"
#include "tests/ops/simt/compare.h"

namespace r1::test {
namespace {

TEST(SimtSwiglu, MatchesTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const SwigluCase& c : kSwigluCases) {
      SCOPED_TRACE(fmt::format("{} rows of {}, {}", c.num_tokens, c.intermediate_size, dtype_name(dtype)));
      const auto gate_up = rounded(random_values(c.num_tokens * 2 * c.intermediate_size, 1, c.spread), dtype);
      const auto grad = rounded(random_values(c.num_tokens * c.intermediate_size, 2), dtype);
      const auto run = [&](const ExecContext& ctx, const ops::OpTable& table, DType stored) -> Results {
        Tensor input = stored_tensor(ctx, {c.num_tokens, 2 * c.intermediate_size}, gate_up, stored);
        const Tensor grad_out = stored_tensor(ctx, {c.num_tokens, c.intermediate_size}, grad, stored);
        Tensor out = ctx.empty(grad_out.shape(), stored), grads = ctx.empty(input.shape(), stored);
        ops::OpScope scope(ctx, "swiglu test");
        table.swiglu(ctx, input, out);
        table.swiglu_backward(ctx, grad_out, input, grads);
        const auto apart = floats_of(ctx, grads);
        table.swiglu_backward(ctx, grad_out, input, input);  // in place
        return {floats_of(ctx, out), apart, floats_of(ctx, input)};
      };
      expect_close(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table(), dtype); }),
                   run(*reference, ops::reference_table(), DType::kF32), tolerance(kSwigluTolerance * c.spread, dtype));
    }
  }
}

}  // namespace
}  // namespace r1::test

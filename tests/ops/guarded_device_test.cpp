#include "tests/support/guarded_device.h"

#include <gtest/gtest.h>

#include "ops/elementwise.h"
#include "ops/norm.h"
#include "tensor/raw_access.h"
#include "tests/support/op_tensors.h"

namespace r1::test {
namespace {

TEST(GuardedDeviceDeathTest, AnAccessOutsideOfAnOpFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto ctx = make_guarded_context(1);
  Tensor x = device_tensor(*ctx, {4, 4}, random_values(16, 1));
  volatile float* element = raw<float>(x);
  EXPECT_EXIT(static_cast<void>(*element), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(*element = 1.0F, testing::KilledBySignal(SIGSEGV), "");
}

TEST(GuardedDevice, OpsComputeOnItAsOnOrdinaryMemory) {
  const std::vector<float> values = random_values(300 * 64, 1), weights = random_values(64, 2);
  const auto run = [&](const ExecContext& ctx) {
    const Tensor x = device_tensor(ctx, {300, 64}, values);
    Tensor out = ctx.empty({300, 64}), grad = ctx.empty({300, 64}), rstd = ctx.empty({300}), grad_weight = ctx.empty({64});
    const Tensor weight = device_tensor(ctx, {64}, weights);
    ops::rms_norm(ctx, x, weight, 1e-6F, out, &rstd);
    ops::rms_norm_backward(ctx, out, x, weight, rstd, grad, ops::Accumulate::kNo, grad_weight, ops::Accumulate::kNo);
    return values_of<float>(ctx, grad);
  };
  EXPECT_EQ(first_difference(run(*make_guarded_context(2)), run(*make_cpu_context(1))), -1);
}

TEST(GuardedDevice, SaysWhenItsRegionIsUsedUp) {
  const ExecContext ctx(Backend::kCpu, make_guarded_source(1 << 20), 1);
  EXPECT_THROW(ctx.empty({1 << 20}), Error);
}

}  // namespace
}  // namespace r1::test

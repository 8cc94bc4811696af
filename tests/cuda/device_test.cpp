// Choosing a CUDA device and moving tensors to it, on the stand-in module and, where there is one, on the real one.
#include <gmock/gmock.h>

#include <cstdlib>

#include "ops/copy.h"
#include "ops/device_context.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "tensor/cuda_module.h"
#include "tensor/device_choice.h"
#include "tests/support/op_tensors.h"

namespace r1 {
namespace {

using ::testing::HasSubstr;

/// The process opens one module: this one.
[[maybe_unused]] const int kStandIn = setenv("R1_CUDA_MODULE", R1_STAND_IN, 1);

TEST(CudaDevice, IsChosenWhenItIsAskedForAndWhenOneWasGiven) {
  for (const char* name : {"SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE", "CUDA_VISIBLE_DEVICES"}) unsetenv(name);
  EXPECT_EQ(choose_device("cuda"), (Device{DeviceKind::kCuda, 0}));
  EXPECT_EQ(choose_device("cuda", 3), (Device{DeviceKind::kCuda, 0})) << "four ranks share the only device";
  EXPECT_EQ(choose_device("auto"), kCpuDevice) << "a GPU that nobody gave is not taken";
  setenv("CUDA_VISIBLE_DEVICES", "0", 1);
  EXPECT_EQ(choose_device("auto"), (Device{DeviceKind::kCuda, 0}));
  EXPECT_EQ(choose_device("cpu"), kCpuDevice);
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(CudaDevice, TakesRowsInAndGivesThemBack) {
  const auto ctx = ops::make_context({DeviceKind::kCuda, 0}, 1);
  EXPECT_EQ(ctx->backend(), Backend::kCuda);
  EXPECT_EQ(ops::describe_device(*ctx), "stand-in (CUDA device 0)");
  std::vector<float> values(12);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor host = Tensor::host_from<float>(values, {3, 4}, DType::kF32);
  Tensor wide = ctx->empty({3, 10});
  EXPECT_EQ(wide.device(), (Device{DeviceKind::kCuda, 0}));
  ops::fill(*ctx, wide, -1);
  Tensor middle = wide.cols(2, 6);
  ops::from_host(*ctx, host, middle);  // rows that lie apart
  const Tensor all = ops::to_host(*ctx, wide), part = ops::to_host(*ctx, middle);
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 10; ++column) {
      const bool is_inside = column >= 2 && column < 6;
      EXPECT_EQ(all.host_span<float>()[row * 10 + column], is_inside ? values[row * 4 + column - 2] : -1.0F);
    }
  }
  EXPECT_EQ(std::vector<float>(part.host_span<float>().begin(), part.host_span<float>().end()), values);
}

TEST(CudaDevice, RunsTheModulesOpsOnItsMemory) {
  const auto ctx = ops::make_context({DeviceKind::kCuda, 0}, 1), cpu = make_cpu_context(1);
  const auto product = [](const ExecContext& on) {
    const Tensor x = test::device_tensor(on, {3, 8}, test::random_values(24, 1)),
                 weight = test::device_tensor(on, {5, 8}, test::random_values(40, 2));
    Tensor out = on.empty({3, 5});
    ops::linear(on, x, weight, nullptr, out);
    const Tensor host = ops::to_host(on, out);
    return std::vector<float>(host.host_span<float>().begin(), host.host_span<float>().end());
  };
  EXPECT_EQ(product(*ctx), product(*cpu));
}

TEST(CudaDevice, SaysHowMuchWasAskedForWhenItsMemoryIsOut) {
  const auto ctx = ops::make_context({DeviceKind::kCuda, 0}, 1);
  setenv("R1_STAND_IN_BYTES", "100000", 1);
  try {
    ctx->empty({1'000'000});
    FAIL() << "four megabytes of a hundred kilobytes";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kMemory);
    EXPECT_THAT(error.what(), HasSubstr("CUDA device 0"));
    EXPECT_THAT(error.what(), HasSubstr("smaller batches"));
  }
  unsetenv("R1_STAND_IN_BYTES");
}

}  // namespace
}  // namespace r1

// The checksum of weights that every rollout record carries.
#include "train/weight_transfer.h"

#include <gtest/gtest.h>

#include "ops/copy.h"
#include "tests/support/tiny_model.h"

namespace r1::train {
namespace {

nn::Parameter named(const std::string& name, std::int64_t size) {
  nn::Parameter parameter;
  parameter.name = name;
  parameter.shape = {size};
  return parameter;
}

Tensor counting(const ExecContext& ctx, std::int64_t size) {
  Tensor host = Tensor::host({size}, DType::kF32);
  for (std::int64_t i = 0; i < size; ++i) host.host_span<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i % 7) + 0.5F;
  return ops::to_device(ctx, host);
}

TEST(WeightsChecksum, OfPiecesAddsUpToThatOfTheWhole) {
  const auto ctx = make_cpu_context(1);
  const nn::Parameter parameter = named("a", 5000);
  const Tensor values = counting(*ctx, 5000);
  const std::uint64_t whole = checksum_of(*ctx, parameter, 0, values);
  EXPECT_EQ(whole,
            checksum_of(*ctx, parameter, 0, values.slice(0, {2048})) + checksum_of(*ctx, parameter, 2048, values.slice(2048, {2952})));
}

TEST(WeightsChecksum, SeesAValueAPlaceAndAName) {
  const auto ctx = make_cpu_context(1);
  const Tensor values = counting(*ctx, 4096);
  const std::uint64_t expected = checksum_of(*ctx, named("a", 4096), 0, values);
  EXPECT_NE(expected, checksum_of(*ctx, named("b", 4096), 0, values));
  EXPECT_NE(expected, checksum_of(*ctx, named("a", 8192), 4096, values));
  Tensor host = ops::to_host(*ctx, values);
  host.host_span<float>()[4000] += 1e-4F;
  EXPECT_NE(expected, checksum_of(*ctx, named("a", 4096), 0, ops::to_device(*ctx, host)));
  EXPECT_EQ((WeightsStamp{3, 0xABCULL}.checksum_text()), "0000000000000abc");
}

}  // namespace
}  // namespace r1::train

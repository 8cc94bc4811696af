#include "engine/sampler.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/support/op_tensors.h"

namespace r1::engine {
namespace {

using ::testing::HasSubstr;

Sequence sequence_of_row(std::uint64_t row_id) {
  Sequence sequence;
  sequence.request.row_id = row_id;
  sequence.request.sample = 2;
  sequence.request.prompt_ids = std::make_shared<std::vector<std::int32_t>>(std::vector<std::int32_t>{1});
  sequence.request.params = std::make_shared<SamplingParams>();
  sequence.tokens = {1, 0, 0};  // the prompt and two drawn tokens
  return sequence;
}

/// The error of drawing from two rows, the second of which holds infinity.
std::string error_of(const ExecContext& ctx) {
  Sequence first = sequence_of_row(6), second = sequence_of_row(7);
  Sequence* const sequences[] = {&first, &second};
  const float infinity = std::numeric_limits<float>::infinity();
  Tensor logits = test::device_tensor(ctx, {2, 3}, std::vector<float>{0, 1, 2, 0, infinity, 1});
  try {
    draw_tokens(ctx, logits, sequences, 1);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    return error.what();
  }
  return "no error";
}

TEST(DrawTokens, SaysThatTheModelsOutputIsNotFinite) {
  EXPECT_THAT(error_of(*make_cpu_context(1)), HasSubstr("the model's output holds NaN or infinity"));
}

TEST(DrawTokens, SaysItOfARowThatADeviceMarkedToo) {
  // A device's kernel cannot throw: it writes -1.
  static const ops::OpTable& cpu = ops::op_table(*make_cpu_context(1));
  ops::OpTable device = cpu;
  device.sample = [](const ExecContext& ctx, const Tensor&, std::span<const ops::SamplingSettings>, const Tensor&, const Tensor&,
                     const Tensor&, Tensor& ids, Tensor* log_probs) {
    ops::from_host(ctx, Tensor::host_from<std::int32_t>(std::vector<std::int32_t>{2, -1}, {2}, DType::kI32), ids);
    ops::from_host(ctx, Tensor::host_from<float>(std::vector<float>{-1, 0}, {2}, DType::kF32), *log_probs);
  };
  ops::set_cuda_table(&device);
  const std::string error = error_of(ExecContext(Backend::kCuda, make_page_source(kCpuDevice), 1));
  ops::set_cuda_table(nullptr);
  EXPECT_THAT(error, HasSubstr("row 7, sample 2: no token can be drawn at place 2 of the completion"));
  EXPECT_THAT(error, HasSubstr("the model's output holds NaN or infinity"));
}

}  // namespace
}  // namespace r1::engine

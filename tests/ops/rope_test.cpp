#include "ops/rope.h"

#include <gtest/gtest.h>

#include "tests/ops/rope_cases.h"
#include "tests/support/op_tensors.h"
#include "tests/support/ordered/pointwise.h"

namespace r1::test {
namespace {

using ops::RopeDirection;
using ops::RopeStyle;

constexpr std::int64_t kMaxPosition = 50;

struct RopeData {
  explicit RopeData(const RopeCase& c)
      : width(std::int64_t{c.num_heads} * c.head_dim + c.spare_columns), x(random_values(c.num_tokens * width, 3)) {
    for (std::int64_t t = 0; t < c.num_tokens; ++t) positions.push_back(static_cast<std::int32_t>((t * 7) % kMaxPosition));
    for (std::int64_t position = 0; position < kMaxPosition; ++position) {
      for (int i = 0; i < c.rotary_dim / 2; ++i) {
        const double angle = static_cast<double>(position) * std::pow(10000.0, -2.0 * i / c.rotary_dim);
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
  std::int64_t width;
  std::vector<float> x, cos, sin;
  std::vector<std::int32_t> positions;
};

std::vector<float> run(const ExecContext& ctx, const RopeCase& c, const RopeData& data, RopeDirection direction) {
  Tensor x = device_tensor(ctx, {c.num_tokens, data.width}, data.x);
  const Shape table{kMaxPosition, c.rotary_dim / 2};
  ops::rope(ctx, x, device_tensor(ctx, {c.num_tokens}, data.positions), device_tensor(ctx, table, data.cos),
            device_tensor(ctx, table, data.sin), c.num_heads, c.head_dim, c.style, direction);
  return values_of<float>(ctx, x);
}

std::vector<float> specified(const RopeCase& c, const RopeData& data, RopeDirection direction) {
  std::vector<float> x = data.x;
  const int half = c.rotary_dim / 2;
  for (std::int64_t t = 0; t < c.num_tokens; ++t) {
    for (int head = 0; head < c.num_heads; ++head) {
      float* elements = &x[t * data.width + head * c.head_dim];
      for (int i = 0; i < half; ++i) {
        float& first = elements[c.style == RopeStyle::kHalf ? i : 2 * i];
        float& second = elements[c.style == RopeStyle::kHalf ? i + half : 2 * i + 1];
        const std::int64_t angle = data.positions[t] * half + i;
        std::tie(first, second) =
            ordered::rotate(first, second, data.cos[angle], direction == RopeDirection::kForward ? data.sin[angle] : -data.sin[angle]);
      }
    }
  }
  return x;
}

TEST(Rope, MatchesTheReferenceAndEqualsItsScalarSpecificationBitForBit) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const RopeCase& c : kRopeCases) {
    const RopeData data(c);
    for (const RopeDirection direction : {RopeDirection::kForward, RopeDirection::kBackward}) {
      const std::vector<float> expected = run(*reference, c, data, direction);
      const std::vector<float> bits = specified(c, data, direction);
      for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
        SCOPED_TRACE(
            fmt::format("{} tokens, {} heads of {}, {} rotated, {}", c.num_tokens, c.num_heads, c.head_dim, c.rotary_dim, variant));
        const std::vector<float> found = run(ctx, c, data, direction);
        EXPECT_LE(largest_error(found, expected), kRopeTolerance);
        EXPECT_EQ(first_difference(found, bits), -1);
      });
    }
  }
}

// The transpose of a rotation is the rotation back: <R x, y> = <x, R' y>.
TEST(Rope, BackwardIsTheTransposeOfForward) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const RopeCase& c : kRopeCases) {
    const RopeData data(c);
    RopeData other = data;
    other.x = random_values(static_cast<std::int64_t>(data.x.size()), 9);
    const std::vector<float> forward = run(*reference, c, data, RopeDirection::kForward);
    const std::vector<float> backward = run(*reference, c, other, RopeDirection::kBackward);
    double left = 0, right = 0;
    for (std::size_t i = 0; i < data.x.size(); ++i) {
      left += double{forward[i]} * double{other.x[i]};
      right += double{data.x[i]} * double{backward[i]};
    }
    EXPECT_NEAR(left, right, 1e-4 * (1 + std::abs(left)));
    if (c.num_tokens > 1) EXPECT_NE(forward, data.x);  // position 0 is not rotated
  }
}

TEST(Rope, RefusesMoreAnglesThanTheHeadHolds) {
  const auto ctx = make_cpu_context(1);
  Tensor x = ctx->empty({2, 16});
  const Tensor table = ctx->empty({4, 9});
  try {
    ops::rope(*ctx, x, ctx->empty({2}, DType::kI32), table, table, 1, 16, RopeStyle::kHalf, RopeDirection::kForward);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rope: cos has 9 angles, rotary_dim 18 is over head_dim 16");
  }
}

}  // namespace
}  // namespace r1::test

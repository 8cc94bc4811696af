#include "ops/rope.h"

#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

// (a, b) becomes (a cos - b sin, b cos + a sin): the product with sin is rounded, then one FMA.
struct Rotation {
  const float* cos;
  const float* sin;
  Vec sign;  // -1 rotates back

  template <typename Io>
  void turn(Io io, std::int64_t i, float* first, float* second) const {
    const Vec a = io.load(first);
    const Vec b = io.load(second);
    const Vec c = io.load(cos + i);
    const Vec s = mul(io.load(sin + i), sign);
    io.store(first, fma(a, c, mul(b, mul(s, broadcast(-1.0F)))));
    io.store(second, fma(b, c, mul(a, s)));
  }
};

void rotate_halves(float* head, const Rotation& rotation, std::int64_t num_angles) {
  for_each_vec(num_angles, [&](std::int64_t i, auto io) { rotation.turn(io, i, head + i, head + num_angles + i); });
}

void rotate_neighbours(float* head, const Rotation& rotation, std::int64_t num_angles) {
  for_each_vec(num_angles, [&](std::int64_t i, auto io) {
    alignas(64) float first[kLanes] = {};
    alignas(64) float second[kLanes] = {};
    const std::int64_t count = std::min<std::int64_t>(kLanes, num_angles - i);
    for (std::int64_t lane = 0; lane < count; ++lane) {
      first[lane] = head[2 * (i + lane)];
      second[lane] = head[2 * (i + lane) + 1];
    }
    rotation.turn(io, i, first, second);
    for (std::int64_t lane = 0; lane < count; ++lane) {
      head[2 * (i + lane)] = first[lane];
      head[2 * (i + lane) + 1] = second[lane];
    }
  });
}

}  // namespace

void rope(const ExecContext& ctx, Tensor& x, const Tensor& position_ids, const Tensor& cos, const Tensor& sin, int num_heads, int head_dim,
          RopeStyle style, RopeDirection direction) {
  const std::int64_t num_angles = cos.dim(1);
  const auto* positions = raw<std::int32_t>(position_ids);
  const Vec sign = broadcast(direction == RopeDirection::kForward ? 1.0F : -1.0F);
  ctx.threads().parallel_for(
      x.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
          const Rotation rotation{row(cos, positions[t]), row(sin, positions[t]), sign};
          for (int head = 0; head < num_heads; ++head) {
            float* elements = row(x, t) + std::int64_t{head} * head_dim;
            if (style == RopeStyle::kHalf) {
              rotate_halves(elements, rotation, num_angles);
            } else {
              rotate_neighbours(elements, rotation, num_angles);
            }
          }
        }
      },
      rows_worth_a_thread(std::int64_t{num_heads} * head_dim));
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

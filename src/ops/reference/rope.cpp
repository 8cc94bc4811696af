#include "ops/rope.h"

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {

void rope(const ExecContext&, Tensor& x, const Tensor& position_ids, const Tensor& cos, const Tensor& sin, int num_heads, int head_dim,
          RopeStyle style, RopeDirection direction) {
  with_float_type(x, [&]<typename T>(T) {
    const std::int64_t num_angles = cos.dim(1);
    const double sign = direction == RopeDirection::kForward ? 1.0 : -1.0;
    for (std::int64_t t = 0; t < x.dim(0); ++t) {
      const std::int64_t position = raw<std::int32_t>(position_ids)[t];
      const T* c = row<T>(cos, position);
      const T* s = row<T>(sin, position);
      for (int head = 0; head < num_heads; ++head) {
        T* elements = row<T>(x, t) + std::int64_t{head} * head_dim;
        for (std::int64_t i = 0; i < num_angles; ++i) {
          T& first = elements[style == RopeStyle::kHalf ? i : 2 * i];
          T& second = elements[style == RopeStyle::kHalf ? i + num_angles : 2 * i + 1];
          const double a = static_cast<double>(first);
          const double b = static_cast<double>(second);
          const double cosine = static_cast<double>(c[i]);
          const double sine = sign * static_cast<double>(s[i]);
          first = static_cast<T>(a * cosine - b * sine);
          second = static_cast<T>(b * cosine + a * sine);
        }
      }
    }
  });
}

}  // namespace r1::ops::reference

// Cases of swiglu and swiglu_backward.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

struct SwigluCase {
  std::int64_t num_tokens, intermediate_size;
  double spread;
};

inline const std::vector<SwigluCase> kSwigluCases = {{1, 1, 1.0}, {3, 17, 30.0}, {5, 96, 1.0}, {33, 160, 3.0}, {40, 1408, 1.0}};

// f32: exp errs by 1 ulp or so, then a handful of roundings.
inline constexpr double kSwigluTolerance = 1e-6;

}  // namespace r1::test

#pragma once

#include "tests/support/ordered/math.h"

namespace r1::test::ordered {

/// (a, b) turned by the angle with this cosine and sine.
inline std::pair<float, float> rotate(float a, float b, float cosine, float sine) {
  return {std::fma(a, cosine, b * -sine), std::fma(b, cosine, a * sine)};
}

inline float swiglu(float gate, float up) { return gate / (1.0F + exp(-gate)) * up; }

/// (d / d gate, d / d up).
inline std::pair<float, float> swiglu_backward(float grad, float gate, float up) {
  const float sigmoid = 1.0F / (1.0F + exp(-gate));
  return {grad * up * sigmoid * std::fma(gate, 1.0F - sigmoid, 1.0F), grad * (gate * sigmoid)};
}

}  // namespace r1::test::ordered

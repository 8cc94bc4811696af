// Comparisons of emulated kernels with the reference.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/op_tensors.h"
#include "tests/support/simt/device.h"
#include "tests/support/simt/runtime.h"

namespace r1::test {

// A switch between two emulated threads costs fifty times as much under AddressSanitizer: what it may find shows in smaller cases.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::int64_t kLargestEmulated = 600;
#else
inline constexpr std::int64_t kLargestEmulated = INT64_MAX;
#endif

inline constexpr DType kStorageTypes[] = {DType::kF32, DType::kBF16};

/// bf16 results are f32 ones rounded to 8 bits, 2^-9 of the value at most, some of them after one rounded intermediate value that the
/// f32 reference does not round.
inline double tolerance(double f32_tolerance, DType dtype) { return dtype == DType::kBF16 ? 0x1p-7 + f32_tolerance : f32_tolerance; }

inline void expect_close(const Results& found, const Results& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_LE(largest_error(found[i], expected[i]), tolerance) << "result " << i;
}

}  // namespace r1::test

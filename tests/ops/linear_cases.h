// Cases of linear and its two backward products.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

struct LinearCase {
  std::int64_t M, N, K;
  std::uint64_t seed;
};

inline const std::vector<LinearCase> kLinearCases = {
    {1, 1, 1, 1}, {1, 37, 129, 2}, {3, 16, 16, 3}, {13, 33, 65, 4}, {64, 48, 100, 5}, {90, 70, 33, 6}, {200, 129, 300, 7},
};

// Large enough for every path: several blocks of K, of rows and of columns, threads with unequal shares. The second and the
// third put the long dimension where the backward products sum; the last needs two blocks of columns in a 2 MiB cache.
inline const std::vector<LinearCase> kLargeLinearCases = {
    {150, 67, 801, 8}, {70, 803, 41, 9}, {905, 69, 35, 10}, {7, 4200, 33, 11}, {70, 530, 512, 12}};

// f32: a chain of K products of standard normal numbers errs by about K^0.5 half-ulps of its size K^0.5.
inline double linear_tolerance(std::int64_t reduction) { return 1e-7 * (4.0 + static_cast<double>(reduction)); }

}  // namespace r1::test

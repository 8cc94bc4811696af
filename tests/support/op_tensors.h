// Tensors for op tests: made from values, filled with fixed random numbers, read back.
#pragma once

#include <bit>
#include <cmath>
#include <span>
#include <vector>

#include "base/rng.h"
#include "ops/copy.h"
#include "ops/dispatch.h"

namespace r1::test {

template <typename T>
inline constexpr DType kDTypeOf = DType::kF32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kF64;
template <>
inline constexpr DType kDTypeOf<std::int32_t> = DType::kI32;
template <>
inline constexpr DType kDTypeOf<std::int8_t> = DType::kI8;
template <>
inline constexpr DType kDTypeOf<std::int64_t> = DType::kI64;

template <typename T>
Tensor device_tensor(const ExecContext& ctx, Shape shape, const std::vector<T>& values) {
  return ops::to_device(ctx, Tensor::host_from(std::span<const T>(values), shape, kDTypeOf<T>));
}

template <typename T>
std::vector<T> values_of(const ExecContext& ctx, const Tensor& tensor) {
  const Tensor host = ops::to_host(ctx, tensor);
  const auto values = host.host_span<T>();
  return {values.begin(), values.end()};
}

/// Standard normal numbers times `spread`, the same for f32 and f64 (exact in f32).
template <typename T = float>
std::vector<T> random_values(std::int64_t count, std::uint64_t seed, double spread = 1.0) {
  RandomStream random(seed, "op test");
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(static_cast<float>(spread * random.normal()));
  return values;
}

inline std::vector<double> widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

/// Largest |found - expected| / (1 + |expected|); infinity when a NaN is on one side only.
inline double largest_error(const std::vector<float>& found, const std::vector<float>& expected) {
  if (found.size() != expected.size()) return HUGE_VAL;
  double largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double error = std::abs(double{found[i]} - double{expected[i]}) / (1.0 + std::abs(double{expected[i]}));
    if (!(error <= largest)) largest = std::isnan(error) ? HUGE_VAL : error;
  }
  return largest;
}

/// Index of the first element whose bits differ, or -1.
inline std::int64_t first_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return static_cast<std::int64_t>(i);
  }
  return -1;
}

/// Calls body(context, "avx2, 2 threads") for each instruction set of this processor with 1 and 2 threads.
template <typename Body>
void for_each_cpu_variant(Body&& body) {
  const ops::CpuIsa before = ops::cpu_isa();
  for (const ops::CpuIsa isa : {ops::CpuIsa::kPortable, ops::CpuIsa::kAvx2, ops::CpuIsa::kAvx512}) {
    if (!ops::cpu_supports(isa)) continue;
    ops::set_cpu_isa(isa);
    for (const int num_threads : {1, 2}) {
      const auto ctx = make_cpu_context(num_threads);
      body(*ctx, fmt::format("{}, {} threads", ops::cpu_isa_name(isa), num_threads));
    }
  }
  ops::set_cpu_isa(before);
}

}  // namespace r1::test

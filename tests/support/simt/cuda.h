// The dialect of CUDA C++ that our kernels are written in, as ordinary C++ on the emulation.
//
// Included before a *_kernels.cuh when a host compiler builds it. Only what the kernels use is here; another intrinsic is a
// compile error, not a wrong result.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tests/support/simt/shared_array.h"

#define R1_SIMT 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// Built-in variables.
#define threadIdx ::r1::simt::current_thread
#define blockIdx ::r1::simt::current_block
#define blockDim ::r1::simt::current_block_size
#define gridDim ::r1::simt::current_grid_size

/// A static __shared__ array; every instantiation of a function has its own, as in CUDA.
#define R1_SHARED(type, name, count) \
  static char name##_key;            \
  const ::r1::simt::SharedArray<type> name(::r1::simt::shared_region(&name##_key, #name, sizeof(type), count))
/// The launch's dynamic shared memory.
#define R1_DYNAMIC_SHARED(type, name) const ::r1::simt::SharedArray<type> name(::r1::simt::dynamic_shared_region(sizeof(type)))
template <typename T>
using SharedPointer = ::r1::simt::SharedArray<T>;

// Line of the caller, for messages; nothing under nvcc.
#define R1_SITE , ::r1::simt::Site site = ::r1::simt::Site::current()
#define R1_CHECK_READ(pointer, bytes, alignment) ::r1::simt::check_global(pointer, bytes, alignment, ::r1::simt::Access::kRead, site)
#define R1_CHECK_WRITE(pointer, bytes, alignment) ::r1::simt::check_global(pointer, bytes, alignment, ::r1::simt::Access::kWrite, site)

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

inline void __syncthreads(::r1::simt::Site site = ::r1::simt::Site::current()) { ::r1::simt::barrier(site); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  ::r1::simt::exchange(::r1::simt::WarpOperation::kSync, mask, 0, site);
}

namespace r1::simt {

inline unsigned lane_index() {
  return (current_thread.x + current_block_size.x * (current_thread.y + current_block_size.y * current_thread.z)) % kWarpSize;
}

template <typename T>
T shuffle(unsigned mask, T value, unsigned source_lane, const Site& site) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const std::uint64_t found = exchange(WarpOperation::kShuffle, mask, bits, site)[source_lane % kWarpSize];
  T result;
  std::memcpy(&result, &found, sizeof(T));
  return result;
}

inline unsigned vote(unsigned mask, bool predicate, const Site& site) {
  const std::uint64_t* votes = exchange(WarpOperation::kVote, mask, predicate ? 1 : 0, site);
  unsigned result = 0;
  for (unsigned lane = 0; lane < kWarpSize; ++lane) result |= static_cast<unsigned>(votes[lane]) << lane;
  return result;
}

}  // namespace r1::simt

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  return ::r1::simt::shuffle(mask, value, static_cast<unsigned>(lane), site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  return ::r1::simt::shuffle(mask, value, ::r1::simt::lane_index() ^ static_cast<unsigned>(lane_mask), site);
}
/// The first `delta` lanes keep their own value.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  const unsigned lane = ::r1::simt::lane_index();
  return ::r1::simt::shuffle(mask, value, lane < delta ? lane : lane - delta, site);
}
/// The last `delta` lanes keep their own value.
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  const unsigned lane = ::r1::simt::lane_index();
  return ::r1::simt::shuffle(mask, value, lane + delta >= ::r1::simt::kWarpSize ? lane : lane + delta, site);
}
inline unsigned __ballot_sync(unsigned mask, bool predicate, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  return ::r1::simt::vote(mask, predicate, site);
}
inline bool __any_sync(unsigned mask, bool predicate, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  return ::r1::simt::vote(mask, predicate, site) != 0;
}
inline bool __all_sync(unsigned mask, bool predicate, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  return ::r1::simt::vote(mask, predicate, site) == 0xFFFFFFFFu;
}

template <typename T>
T __ldg(const T* pointer, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  ::r1::simt::check_global(pointer, sizeof(T), alignof(T), ::r1::simt::Access::kRead, site);
  return *pointer;
}

// Atomics on shared cells and on global memory (integers: our results hold no float atomics).
template <typename T>
T atomicAdd(const ::r1::simt::SharedReference<T>* cell, T value) {
  return ::r1::simt::atomic_update<T>(*cell, [value](T before) { return static_cast<T>(before + value); });
}
template <typename T>
T atomicMin(const ::r1::simt::SharedReference<T>* cell, T value) {
  return ::r1::simt::atomic_update<T>(*cell, [value](T before) { return before < value ? before : value; });
}
template <typename T>
T atomicMax(const ::r1::simt::SharedReference<T>* cell, T value) {
  return ::r1::simt::atomic_update<T>(*cell, [value](T before) { return before > value ? before : value; });
}
inline unsigned atomicOr(unsigned* address, unsigned value, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  ::r1::simt::check_global(address, sizeof(unsigned), sizeof(unsigned), ::r1::simt::Access::kAtomic, site);
  return std::exchange(*address, *address | value);
}
inline unsigned atomicAdd(unsigned* address, unsigned value, ::r1::simt::Site site = ::r1::simt::Site::current()) {
  ::r1::simt::check_global(address, sizeof(unsigned), sizeof(unsigned), ::r1::simt::Access::kAtomic, site);
  return std::exchange(*address, *address + value);
}

// Arithmetic intrinsics: each rounded once, never contracted (the build has -ffp-contract=off).
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float rsqrtf(float a) { return 1.0F / std::sqrt(a); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __ffs(unsigned bits) { return bits == 0 ? 0 : std::countr_zero(bits) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32); }

// What all kernels share: storage types, 16-byte accesses, sums over a warp and a block. Plain CUDA C++, no header included:
// nvcc builds it as it is, and the tests build it with a host compiler on an emulation of the machine (tests/support/simt).
//
// Sums are f32 (f64 where a contract says so), values are f32 or bf16 in memory. No result depends on the order in which
// threads run: no atomics on floating-point numbers, and each sum has a fixed shape.
#pragma once

#ifndef R1_SIMT
#define R1_SHARED(type, name, count) __shared__ type name[count]
#define R1_DYNAMIC_SHARED(type, name)                  \
  extern __shared__ __align__(16) char name##_bytes[]; \
  type* const name = reinterpret_cast<type*>(name##_bytes)
template <typename T>
using SharedPointer = T*;
#define R1_SITE
#define R1_CHECK_READ(pointer, bytes, alignment)
#define R1_CHECK_WRITE(pointer, bytes, alignment)
#endif

namespace r1::ops::kernels {

using index_t = long long;

constexpr unsigned kFullWarp = 0xFFFFFFFFu;
constexpr int kWarp = 32;

/// Every kernel calls it before it reads or writes what another may touch: waits until all work before it is complete, where its launch did
/// not (launch.h: early launches), and lets the next kernel take its place on the device, where that waits in the same way.
__device__ __forceinline__ void begin_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// ---- Storage types.

struct bf16 {
  unsigned short bits;
};
struct f16 {
  unsigned short bits;
};
struct f8e4m3 {
  unsigned char bits;
};

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(bf16 value) { return __uint_as_float(static_cast<unsigned>(value.bits) << 16); }

__device__ __forceinline__ float to_float(f16 value) {
  const unsigned sign = (value.bits & 0x8000u) << 16, exponent = (value.bits >> 10) & 0x1Fu, fraction = value.bits & 0x3FFu;
  if (exponent == 0x1Fu) return __uint_as_float(sign | 0x7F800000u | fraction << 13);
  if (exponent != 0) return __uint_as_float(sign | (exponent + 112u) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24: subnormal, exact
  return __uint_as_float(sign | __float_as_uint(magnitude));
}

// e4m3fn: no infinities, 0x7F and 0xFF are NaN.
__device__ __forceinline__ float to_float(f8e4m3 value) {
  const unsigned sign = (value.bits & 0x80u) << 24, exponent = (value.bits >> 3) & 0xFu, fraction = value.bits & 7u;
  if ((value.bits & 0x7Fu) == 0x7Fu) return __uint_as_float(sign | 0x7FC00000u);
  if (exponent != 0) return __uint_as_float(sign | (exponent + 120u) << 23 | fraction << 20);
  return __uint_as_float(sign | __float_as_uint(static_cast<float>(fraction) * 1.953125e-3f));  // 2^-9
}

__device__ __forceinline__ void from_float(float value, float& result) { result = value; }

// Round to nearest, ties to even.
__device__ __forceinline__ void from_float(float value, bf16& result) {
#ifdef __CUDA_ARCH__
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else
  const unsigned bits = __float_as_uint(value);
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  result.bits = static_cast<unsigned short>(is_nan ? (bits >> 16) | 0x40u : (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
#endif
}

__device__ __forceinline__ void from_float(float value, f16& result) {
#ifdef __CUDA_ARCH__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else
  const unsigned bits = __float_as_uint(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  unsigned half = 0;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u;
  } else if (magnitude >= 0x477FF000u) {  // rounds to 2^16 or more
    half = 0x7C00u;
  } else if (magnitude >= 0x38800000u) {
    half = (magnitude - 0x38000000u + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  } else {  // subnormal: adding 2^-1 puts the last place at 2^-24
    half = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), 0.5f)) - 0x3F000000u;
  }
  result.bits = static_cast<unsigned short>(sign | half);
#endif
}

// Round to nearest, ties to even; finite values stay within 448. NaN becomes 0x7F.
__device__ __forceinline__ void from_float(float value, f8e4m3& result) {
  const unsigned bits = __float_as_uint(value), sign = (bits >> 24) & 0x80u, magnitude = bits & 0x7FFFFFFFu;
  unsigned code = 0;
  if (magnitude > 0x43E00000u) {  // 448
    code = 0x7Eu;
  } else if (magnitude >= 0x3C800000u) {
    code = (magnitude - 0x3C000000u + 0x7FFFFu + ((magnitude >> 20) & 1u)) >> 20;
  } else {  // subnormal: adding 2^14 puts the last place at 2^-9
    code = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), 16384.0f)) - 0x46800000u;
  }
  result.bits = static_cast<unsigned char>(magnitude > 0x7F800000u ? 0x7Fu : sign | code);
}

// ---- Access to global memory. Every access of a kernel is one of these, so that the emulation sees it.

template <typename T>
__device__ __forceinline__ T load(const T* pointer R1_SITE) {
  R1_CHECK_READ(pointer, sizeof(T), alignof(T));
  return *pointer;
}

template <typename T>
__device__ __forceinline__ void store(T* pointer, T value R1_SITE) {
  R1_CHECK_WRITE(pointer, sizeof(T), alignof(T));
  *pointer = value;
}

/// 16 bytes at once; the address must be a multiple of 16.
__device__ __forceinline__ uint4 load16(const void* pointer R1_SITE) {
  R1_CHECK_READ(pointer, 16, 16);
#ifdef __CUDA_ARCH__
  return *static_cast<const uint4*>(pointer);
#else
  uint4 words;
  __builtin_memcpy(&words, pointer, 16);
  return words;
#endif
}

__device__ __forceinline__ void store16(void* pointer, uint4 words R1_SITE) {
  R1_CHECK_WRITE(pointer, 16, 16);
#ifdef __CUDA_ARCH__
  *static_cast<uint4*>(pointer) = words;
#else
  __builtin_memcpy(pointer, &words, 16);
#endif
}

/// Elements of T that fill one 16-byte access.
template <typename T>
constexpr int kVectorWidth = 16 / static_cast<int>(sizeof(T));

/// kWidth elements as floats.
template <int kWidth>
struct Floats {
  float v[kWidth];
};

template <int kWidth, typename T>
__device__ __forceinline__ Floats<kWidth> load_floats(const T* pointer R1_SITE) {
  Floats<kWidth> result;
  if constexpr (kWidth * sizeof(T) % 16 == 0) {
    constexpr int kPart = kVectorWidth<T>;
#pragma unroll
    for (int part = 0; part < kWidth / kPart; ++part) {
      union {
        uint4 words;
        T elements[kPart];
      } bits;
#ifdef R1_SIMT
      bits.words = load16(pointer + part * kPart, site);
#else
      bits.words = load16(pointer + part * kPart);
#endif
#pragma unroll
      for (int k = 0; k < kPart; ++k) result.v[part * kPart + k] = to_float(bits.elements[k]);
    }
  } else {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      R1_CHECK_READ(pointer + k, sizeof(T), alignof(T));
      result.v[k] = to_float(pointer[k]);
    }
  }
  return result;
}

template <int kWidth, typename T>
__device__ __forceinline__ void store_floats(T* pointer, const Floats<kWidth>& values R1_SITE) {
  if constexpr (kWidth * sizeof(T) % 16 == 0) {
    constexpr int kPart = kVectorWidth<T>;
#pragma unroll
    for (int part = 0; part < kWidth / kPart; ++part) {
      union {
        uint4 words;
        T elements[kPart];
      } bits;
#pragma unroll
      for (int k = 0; k < kPart; ++k) from_float(values.v[part * kPart + k], bits.elements[k]);
#ifdef R1_SIMT
      store16(pointer + part * kPart, bits.words, site);
#else
      store16(pointer + part * kPart, bits.words);
#endif
    }
  } else {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      R1_CHECK_WRITE(pointer + k, sizeof(T), alignof(T));
      from_float(values.v[k], pointer[k]);
    }
  }
}

// ---- Sums over a warp and a block of one dimension. All threads of the block call them; all get the result.

template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kFullWarp, value, distance);
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value = fmaxf(value, __shfl_xor_sync(kFullWarp, value, distance));
  return value;
}

/// Warps in ascending order. Shared: one T a warp.
template <typename T>
__device__ __forceinline__ T block_sum(T value) {
  R1_SHARED(T, warp_sums, 32);
  value = warp_sum(value);
  if (blockDim.x == kWarp) return value;
  __syncthreads();  // the last call's values have been read
  if (threadIdx.x % kWarp == 0) warp_sums[threadIdx.x / kWarp] = value;
  __syncthreads();
  T total = warp_sums[0];
  for (int warp = 1; warp < static_cast<int>(blockDim.x) / kWarp; ++warp) total += warp_sums[warp];
  return total;
}

__device__ __forceinline__ float block_max(float value) {
  R1_SHARED(float, warp_maxima, 32);
  value = warp_max(value);
  if (blockDim.x == kWarp) return value;
  __syncthreads();
  if (threadIdx.x % kWarp == 0) warp_maxima[threadIdx.x / kWarp] = value;
  __syncthreads();
  float largest = warp_maxima[0];
  for (int warp = 1; warp < static_cast<int>(blockDim.x) / kWarp; ++warp) largest = fmaxf(largest, warp_maxima[warp]);
  return largest;
}

}  // namespace r1::ops::kernels

// Rotary position embedding, in place. One block a token; a thread rotates kWidth pairs at a time. Bound by bandwidth: the heads are
// read and written once, the token's angles stay in cache.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// x [T, num_heads * head_dim and more]; pairs (i, i + num_angles) or, interleaved, (2i, 2i + 1). cos, sin [positions, num_angles] f32.
/// sign -1 rotates back (the gradient).
template <typename T, int kWidth, bool kInterleaved>
__global__ void __launch_bounds__(256) rope_kernel(T* x, index_t stride, const int* position_ids, const float* cos, const float* sin,
                                                   int num_heads, int head_dim, int num_angles, float sign) {
  begin_kernel();
  const index_t token = blockIdx.x;
  const index_t position = load(position_ids + token);
  const int pieces = num_angles / kWidth;
  for (int piece = threadIdx.x; piece < num_heads * pieces; piece += blockDim.x) {
    const int head = piece / pieces, angle = piece % pieces * kWidth;
    const Floats<kWidth> cosines = load_floats<kWidth>(cos + position * num_angles + angle);
    const Floats<kWidth> sines = load_floats<kWidth>(sin + position * num_angles + angle);
    T* elements = x + token * stride + static_cast<index_t>(head) * head_dim;
    if constexpr (kInterleaved) {
      Floats<2 * kWidth> pairs = load_floats<2 * kWidth>(elements + 2 * angle);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const float a = pairs.v[2 * k], b = pairs.v[2 * k + 1], sine = sign * sines.v[k];
        pairs.v[2 * k] = a * cosines.v[k] - b * sine;
        pairs.v[2 * k + 1] = b * cosines.v[k] + a * sine;
      }
      store_floats(elements + 2 * angle, pairs);
    } else {
      Floats<kWidth> firsts = load_floats<kWidth>(elements + angle);
      Floats<kWidth> seconds = load_floats<kWidth>(elements + num_angles + angle);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const float a = firsts.v[k], b = seconds.v[k], sine = sign * sines.v[k];
        firsts.v[k] = a * cosines.v[k] - b * sine;
        seconds.v[k] = b * cosines.v[k] + a * sine;
      }
      store_floats(elements + angle, firsts);
      store_floats(elements + num_angles + angle, seconds);
    }
  }
}

}  // namespace r1::ops::kernels

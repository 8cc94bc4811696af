// AdamW on one flat piece of parameters: f32 master weights and moments, an optional bf16 working copy. Bound by bandwidth: 28 bytes an
// element (f32 gradient), 30 with the copy.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// ops/adamw.h: AdamWCoefficients<float>.
struct AdamWFactors {
  float gradient_scale, decay, one_minus_beta1, beta2, one_minus_beta2, bias_correction2_sqrt, epsilon, step_size;
};

/// The CPU's operations, each rounded once and in its order: the same bits.
__device__ __forceinline__ void adamw_element(float& p, float gradient, float& m, float& v, const AdamWFactors& c) {
  const float g = __fmul_rn(gradient, c.gradient_scale);
  m = __fmaf_rn(c.one_minus_beta1, __fsub_rn(g, m), m);
  v = __fmaf_rn(__fmul_rn(c.one_minus_beta2, g), g, __fmul_rn(v, c.beta2));
  const float denominator = __fadd_rn(__fdiv_rn(__fsqrt_rn(v), c.bias_correction2_sqrt), c.epsilon);
  p = __fsub_rn(__fmul_rn(p, c.decay), __fdiv_rn(__fmul_rn(c.step_size, m), denominator));
}

/// kWidth elements a thread. copy may be null.
template <typename G, int kWidth>
__global__ void __launch_bounds__(256)
    adamw_kernel(float* parameter, const G* gradient, float* exp_avg, float* exp_avg_sq, bf16* copy, AdamWFactors c, index_t count) {
  begin_kernel();
  const index_t i = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (i >= count) return;
  if (i + kWidth <= count) {
    Floats<kWidth> p = load_floats<kWidth>(parameter + i), m = load_floats<kWidth>(exp_avg + i), v = load_floats<kWidth>(exp_avg_sq + i);
    const Floats<kWidth> g = load_floats<kWidth>(gradient + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) adamw_element(p.v[k], g.v[k], m.v[k], v.v[k], c);
    store_floats(parameter + i, p);
    store_floats(exp_avg + i, m);
    store_floats(exp_avg_sq + i, v);
    if (copy != nullptr) store_floats(copy + i, p);
    return;
  }
  for (index_t k = i; k < count; ++k) {  // the last few
    float p = load(parameter + k), m = load(exp_avg + k), v = load(exp_avg_sq + k);
    adamw_element(p, to_float(load(gradient + k)), m, v, c);
    store(parameter + k, p);
    store(exp_avg + k, m);
    store(exp_avg_sq + k, v);
    bf16 rounded;
    from_float(p, rounded);
    if (copy != nullptr) store(copy + k, rounded);
  }
}

}  // namespace r1::ops::kernels

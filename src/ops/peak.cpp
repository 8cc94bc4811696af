#include "ops/peak.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/profile.h"
#include "base/rng.h"
#include "ops/cast.h"
#include "ops/copy.h"
#include "ops/dispatch.h"
#include "ops/elementwise.h"
#include "tensor/cuda_module.h"

#if defined(R1_X86_VARIANTS)
#include <immintrin.h>
#endif

namespace r1::ops {
namespace {

// Independent chains hide the latency of an FMA (4 cycles, 2 a cycle): 12 are enough on every current processor. Each
// function returns the operations it did; `sink` keeps the compiler from dropping them.
constexpr int kChains = 12;
volatile float sink;

double run_portable(std::int64_t rounds) {
  float chains[kChains * 4] = {};
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (float& chain : chains) chain = chain * 0.999F + 0.5F;
  }
  for (const float chain : chains) sink = sink + chain;
  return 2.0 * static_cast<double>(rounds) * kChains * 4;
}

#if defined(R1_X86_VARIANTS)
__attribute__((target("avx2,fma"))) double run_avx2(std::int64_t rounds) {
  __m256 chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = _mm256_set1_ps(static_cast<float>(c));
  const __m256 factor = _mm256_set1_ps(0.999F), addend = _mm256_set1_ps(0.5F);
  for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chains[c] = _mm256_fmadd_ps(chains[c], factor, addend);
  }
  for (int c = 0; c < kChains; ++c) sink = sink + _mm256_cvtss_f32(chains[c]);
  return 2.0 * static_cast<double>(rounds) * kChains * 8;
}

__attribute__((target("avx512f"))) double run_avx512(std::int64_t rounds) {
  __m512 chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = _mm512_set1_ps(static_cast<float>(c));
  const __m512 factor = _mm512_set1_ps(0.999F), addend = _mm512_set1_ps(0.5F);
  for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chains[c] = _mm512_fmadd_ps(chains[c], factor, addend);
  }
  for (int c = 0; c < kChains; ++c) sink = sink + _mm512_cvtss_f32(chains[c]);
  return 2.0 * static_cast<double>(rounds) * kChains * 16;
}
#endif

double run(CpuIsa isa, std::int64_t rounds) {
#if defined(R1_X86_VARIANTS)
  if (isa == CpuIsa::kAvx512) return run_avx512(rounds);
  if (isa == CpuIsa::kAvx2) return run_avx2(rounds);
#endif
  (void)isa;
  return run_portable(rounds);
}

// Products of zeros or of one value draw less power, and run at a higher clock, than those of a model. 64 random rows, again and again.
Tensor random_matrix(const ExecContext& ctx, std::int64_t size, DType dtype) {
  constexpr std::int64_t kRows = 64;
  RandomStream random(1, "peak");
  Tensor rows = Tensor::host({kRows, size}, DType::kF32), matrix = ctx.empty({size, size}, dtype);
  for (float& value : rows.host_span<float>()) value = static_cast<float>(random.normal());
  Tensor first = matrix.rows(0, kRows);
  cast(ctx, to_device(ctx, rows), first);
  for (std::int64_t filled = kRows; filled < size; filled *= 2) {
    Tensor next = matrix.rows(filled, 2 * filled);
    copy(ctx, matrix.rows(0, filled), next);
  }
  return matrix;
}

// A GPU's peak is what its matrix products reach: squares that grow until one takes a millisecond.
double measure_cuda_peak_flops(const ExecContext& ctx, DType dtype) {
  const R1CudaModule& module = cuda_module();
  double best = 0, shortest = 0;
  for (std::int64_t size = 512; size <= 16384 && shortest < 1e-3; size *= 2) {
    Tensor x = random_matrix(ctx, size, dtype), weight = random_matrix(ctx, size, dtype), out = ctx.empty({size, size}, dtype);
    for (int attempt = 0; attempt < 4; ++attempt) {  // the first one chooses the algorithm
      double seconds = 0;
      check_cuda(module.begin_timing(ctx.device().index), "measuring the peak");
      op_table(ctx).linear(ctx, x, weight, nullptr, out);
      check_cuda(module.end_timing(ctx.device().index, &seconds), "measuring the peak");
      shortest = attempt == 0 ? seconds : std::min(shortest, seconds);
    }
    best = std::max(best, 2.0 * static_cast<double>(size * size * size) / shortest);
  }
  return best;
}

}  // namespace

double measure_peak_flops(const ExecContext& ctx, DType dtype) {
  if (ctx.device().kind == DeviceKind::kCuda) return measure_cuda_peak_flops(ctx, dtype);
  ThreadPool& threads = ctx.threads();
  constexpr std::int64_t kRounds = 1 << 18;
  constexpr int kTries = 6;  // the best one: others of this machine's jobs must not make us look good
  const CpuIsa isa = cpu_isa();
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const double start = now_seconds();
    double operations = 0;
    threads.run_on_all([&](std::int64_t thread, std::int64_t, int) {
      const double mine = run(isa, kRounds);
      if (thread == 0) operations = mine * threads.num_threads();
    });
    best = std::max(best, operations / (now_seconds() - start));
  }
  return best;
}

double peak_flops(const ExecContext& ctx, DType dtype) {
  static std::mutex mutex;
  static std::map<DType, double> measured;
  std::lock_guard lock(mutex);
  double& peak = measured[dtype];
  if (peak == 0) peak = measure_peak_flops(ctx, dtype);
  return peak;
}

}  // namespace r1::ops

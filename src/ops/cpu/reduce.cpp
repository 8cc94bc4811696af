#include "ops/reduce.h"

#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

constexpr int kChains = 8;

double add_chains(double (&sums)[kChains]) {
  for (int half = kChains / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

/// 8 chains of double, chain j over the elements j, j + 8, …, added pairwise (4, 2, 1).
template <typename Term>
double sum_block(const float* x, std::int64_t count, Term&& term) {
  double sums[kChains] = {};
  std::int64_t i = 0;
  for (; i + kChains <= count; i += kChains) {
#pragma GCC unroll 8
    for (int j = 0; j < kChains; ++j) sums[j] += term(static_cast<double>(x[i + j]));
  }
  for (int j = 0; i + j < count; ++j) sums[j] += term(static_cast<double>(x[i + j]));
  return add_chains(sums);
}

/// kBlocksAtOnce whole blocks side by side: the additions of one block wait for each other, those of several do not.
constexpr int kBlocksAtOnce = 4;
template <typename Term>
void sum_whole_blocks(const float* x, double* block_sums, Term&& term) {
  double sums[kBlocksAtOnce][kChains] = {};
  for (std::int64_t i = 0; i < kReduceBlock; i += kChains) {
#pragma GCC unroll 4
    for (int b = 0; b < kBlocksAtOnce; ++b) {
#pragma GCC unroll 8
      for (int j = 0; j < kChains; ++j) sums[b][j] += term(static_cast<double>(x[b * kReduceBlock + i + j]));
    }
  }
  for (int b = 0; b < kBlocksAtOnce; ++b) block_sums[b] = add_chains(sums[b]);
}

template <typename Term>
void sum_each_block(const ExecContext& ctx, const Tensor& x, Tensor& sums, Term&& term) {
  const std::int64_t count = x.num_elements();
  const float* values = raw<float>(x);
  ctx.threads().parallel_for(
      sums.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        std::int64_t block = begin;
        for (; block + kBlocksAtOnce <= end && (block + kBlocksAtOnce) * kReduceBlock <= count; block += kBlocksAtOnce) {
          sum_whole_blocks(values + block * kReduceBlock, raw<double>(sums) + block, term);
        }
        for (; block < end; ++block) {
          const std::int64_t first = block * kReduceBlock;
          raw<double>(sums)[block] = sum_block(values + first, std::min(kReduceBlock, count - first), term);
        }
      },
      32);
}

}  // namespace

void sum_squares_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums) {
  sum_each_block(ctx, x, sums, [](double value) { return value * value; });
}

void sum_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums) {
  sum_each_block(ctx, x, sums, [](double value) { return value; });
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

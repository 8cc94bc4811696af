// The matrix product behind linear and its two backward products.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/exec_context.h"

namespace r1::ops::R1_CPU_NAMESPACE {

/// Which of an operand's two indices is dense in memory.
enum class Dense : std::uint8_t {
  kReduction,  // the index that is summed over
  kOutput,     // the row index of A, the column index of B
};

/// One operand: element (output index i, reduction index k) is data[i * stride + k] or data[k * stride + i].
struct GemmOperand {
  const void* data = nullptr;
  std::int64_t stride = 0;
  Dense dense = Dense::kReduction;
  DType dtype = DType::kF32;  // B with a dense reduction index may be bf16, f8_e4m3 or i8
};

struct GemmOutput {
  float* data = nullptr;
  std::int64_t stride = 0;
  bool accumulate = false;        // the chains start from the stored values instead of +0
  const float* bias = nullptr;    // [columns], added once at the end of each chain
  const float* scales = nullptr;  // [columns], multiplied once at the end of each chain, before the bias
};

/// C[m, n] = sum over k of A[m, k] * B[n, k]: one FMA chain per element with k ascending, whatever the blocks, the tile, the
/// threads and the other rows: bit for bit the scalar loop of std::fma. C must not overlap A or B.
void gemm(const ExecContext& ctx, std::int64_t M, std::int64_t N, std::int64_t K, const GemmOperand& a, const GemmOperand& b,
          const GemmOutput& c);

}  // namespace r1::ops::R1_CPU_NAMESPACE

// Matrix products of the device through cuBLASLt.
#pragma once

#include <cstdint>

#include "ops/types.h"

namespace r1::ops::cuda {

/// Row-major d [rows, columns] = a b (+ what stands in d) (+ bias of each column), f32 sums.
///
/// Columns of d are rows or columns of `weight`, rows of d those of `x`; f32 and f32, bf16 and bf16, or e4m3 and e4m3.
/// cuBLASLt numbers matrices by columns: our row-major [R, C] is its [C, R] with the row stride as leading dimension, so that each product
/// is written for the transposed result, with `weight` as its first factor.
struct Product {
  std::int64_t m, n, k;           // of the transposed result: m columns of d, n rows of d
  bool transpose_a, transpose_b;  // of cuBLASLt's factors
  const Tensor *a, *b;
  Tensor* d;
  float beta = 0;                // 1: adds to d
  const Tensor* bias = nullptr;  // [m], dtype of d
  bool is_invariant = false;     // n is a batch, whose columns do not depend on each other
  /// Of e4m3 factors: f32 [m] and [n] that each sum is multiplied with; null: none.
  const Tensor *a_scales = nullptr, *b_scales = nullptr;
};

/// Algorithms are chosen once per shape. Throws Error(kInternal) with cuBLASLt's text, Error(kUsage) without the library.
void multiply(const ExecContext& ctx, const char* op, const Product& product);

/// Whether this device and library multiply e4m3 matrices, and with a scale for each row and column.
struct Fp8Support {
  bool products = false, row_scales = false;
};
Fp8Support fp8_support(const ExecContext& ctx);

}  // namespace r1::ops::cuda

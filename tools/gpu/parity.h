// Every entry of the ops table on a device beside the CPU backend, over the case tables of tests/ops.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "ops/copy.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"
#include "tensor/cuda_abi.h"

namespace r1::gpu {

using Results = std::vector<std::vector<float>>;

/// One row of a case table with one storage type.
struct ParityCase {
  std::vector<std::string> ops;  // entries of ops::OpTable that it runs
  std::string shape;
  DType dtype;
  /// The results through op_table(ctx). Inputs are numbers that dtype holds; they are stored in `stored`: dtype on the device, f32 on the
  /// CPU, whose arithmetic is f32.
  std::function<Results(const ExecContext& ctx, DType stored)> run;
  /// One per result: largest |found - expected| / (1 + |expected|); 0 = the same bits.
  std::vector<double> tolerances;
};

/// The tables' rows in f32 and in bf16.
std::vector<ParityCase> parity_cases(DType dtype);

/// An entry of ops::OpTable and what it needs on a GPU beside the module; "" = one of our own kernels.
struct TableEntry {
  const char* name;
  const char* library;
};
const std::vector<TableEntry>& table_entries();

enum class Verdict { kPassed, kFailed, kNotRun };

/// One entry with one storage type.
struct OpReport {
  std::string op;
  DType dtype;
  Verdict verdict = Verdict::kNotRun;
  std::string reason;  // of a failure (the first) or of not running
  int num_cases = 0;
  double largest_error = 0;  // relative to the tolerance: 1 = at the limit
};

struct ParityOptions {
  std::vector<DType> dtypes = {DType::kF32, DType::kBF16};
  std::string ops;                            // only entries whose names contain this
  std::vector<std::string> missing;           // libraries that could not be opened
  std::function<void(const OpReport&)> tell;  // called for each entry when it is done
  /// R1CudaModule::choose_attention. Where it is given, the entries of attention prove our own kernels, and those of cuDNN follow in bf16
  /// as "attention (cuDNN)" and "attention_backward (cuDNN)".
  std::function<const char*(R1CudaAttention)> choose_attention;
};

/// Runs every case twice on the device (the bits must be the same) and once on the CPU. An entry is passed when all of its cases are; it
/// is not run when it needs a missing library or is for the CPU alone.
std::vector<OpReport> check_parity(const ExecContext& device, const ParityOptions& options);

/// With the batch-invariant mode on: rows of linear() and linear_backward_input() in batches of many sizes have the same bits. "" or where
/// they have not.
std::string check_batch_invariance(const ExecContext& device, DType dtype);

/// Own kernels that did not pass with one of the storage types: on a machine with a device this must be empty.
std::vector<std::string> own_kernels_missing(const std::vector<OpReport>& reports, const std::vector<DType>& dtypes);

// What the cases are made of.

std::vector<float> random_values(std::int64_t count, std::uint64_t seed, double spread = 1.0);
/// What a tensor of that dtype holds of the values.
std::vector<float> rounded(std::vector<float> values, DType dtype);
/// f32 or bf16 from floats.
Tensor stored_tensor(const ExecContext& ctx, Shape shape, const std::vector<float>& values, DType dtype);
Tensor index_tensor(const ExecContext& ctx, const std::vector<std::int32_t>& values);
/// f32, bf16 and i32 as floats; f64 as three floats that add up to it.
std::vector<float> floats_of(const ExecContext& ctx, const Tensor& tensor);
/// Both backends are right within the tolerance of the table, and bf16 results are rounded to 8 bits, some after one rounded intermediate.
inline double limit(double f32_tolerance, DType dtype) { return 2 * f32_tolerance + (dtype == DType::kBF16 ? 0x1p-7 : 0.0); }

void add_dense_cases(DType dtype, std::vector<ParityCase>& cases);
void add_attention_cases(DType dtype, std::vector<ParityCase>& cases);
void add_optimizer_cases(DType dtype, std::vector<ParityCase>& cases);

}  // namespace r1::gpu

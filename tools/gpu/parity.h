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

/// Where a case is worth its time.
enum class CaseSize : std::uint8_t {
  kSmall,     // everywhere: a thread of the emulation is a function call
  kFlat,      // a million elements in one row: on whatever is not emulated
  kMeasured,  // the sizes whose speed is measured: on a device whose kernels they are
};

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

/// The tables' rows, and larger ones up to a size.
std::vector<ParityCase> parity_cases(DType dtype, CaseSize largest = CaseSize::kSmall);

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
  std::string ops;                   // only entries whose names contain this
  std::vector<std::string> missing;  // libraries that could not be opened
  CaseSize largest = CaseSize::kSmall;
  std::function<bool(const std::string&)> begin;  // called with "swiglu float32" before that entry; false: leave it out
  std::function<void(const OpReport&)> tell;      // called for each entry when it is done
  /// R1CudaModule::choose_attention. Where it is given, the entries of attention prove our own kernels, and those of cuDNN follow in bf16
  /// as "attention (cuDNN)" and "attention_backward (cuDNN)".
  std::function<const char*(R1CudaAttention)> choose_attention;
  /// R1CudaModule::choose_small_products. Where it is given, products of few rows are proven with our own kernels, and then again with
  /// cuBLASLt alone.
  std::function<void(R1CudaSmallProducts)> choose_small_products;
};

/// Runs every case twice on the device (the bits must be the same) and once on the CPU. An entry is passed when all of its cases are; it
/// is not run when it needs a missing library or is for the CPU alone.
std::vector<OpReport> check_parity(const ExecContext& device, const ParityOptions& options);

/// With the batch-invariant mode on: rows of linear() and linear_backward_input() in batches of many sizes have the same bits. "" or where
/// they have not.
std::string check_batch_invariance(const ExecContext& device, DType dtype);

/// "swiglu float32", as check_parity names its entries; --ops chooses among them.
std::vector<std::string> parity_names(const std::vector<DType>& dtypes);

/// Those of them whose kernels are ours: on a machine with a device each must pass.
std::vector<std::string> own_kernels(const std::vector<DType>& dtypes);

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

/// Before an op writes there: whatever it leaves out is found.
Tensor poisoned_tensor(const ExecContext& ctx, const Shape& shape, DType dtype);

/// Of linear, linear_fp8 and linear_swiglu: one to four rows, as in decode steps.
void add_few_row_cases(DType dtype, std::vector<ParityCase>& cases);
void add_dense_cases(DType dtype, std::vector<ParityCase>& cases);
void add_attention_cases(DType dtype, std::vector<ParityCase>& cases);
void add_optimizer_cases(DType dtype, std::vector<ParityCase>& cases);
void add_flat_cases(DType dtype, std::vector<ParityCase>& cases);
/// Of the sizes that are measured.
void add_measured_dense_cases(DType dtype, std::vector<ParityCase>& cases);
void add_measured_attention_cases(DType dtype, std::vector<ParityCase>& cases);

}  // namespace r1::gpu

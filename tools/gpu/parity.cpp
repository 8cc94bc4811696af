#include "tools/gpu/parity.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "tensor/cuda_module.h"

namespace r1::gpu {
namespace {

/// The largest error relative to the tolerance; infinite when sizes differ, a NaN is on one side only, or bits that must not differ do.
double relative_error(const std::vector<float>& found, const std::vector<float>& expected, double tolerance) {
  if (found.size() != expected.size()) return HUGE_VAL;
  double largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(found[i]) == std::bit_cast<std::uint32_t>(expected[i])) continue;
    if (tolerance == 0) return HUGE_VAL;
    const double error = std::abs(double{found[i]} - double{expected[i]}) / (1.0 + std::abs(double{expected[i]})) / tolerance;
    largest = std::isnan(error) ? HUGE_VAL : std::max(largest, error);
  }
  return largest;
}

bool have_same_bits(const Results& a, const Results& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (relative_error(a[i], b[i], 0) != 0) return false;
  }
  return true;
}

/// The reason why the case failed, or "".
std::string run_case(const ParityCase& c, const ExecContext& device, const ExecContext& cpu, double& error) {
  try {
    const Results found = c.run(device, c.dtype), again = c.run(device, c.dtype), expected = c.run(cpu, DType::kF32);
    if (found.size() != expected.size() || expected.size() != c.tolerances.size()) return "internal: numbers of results differ";
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double one = relative_error(found[i], expected[i], c.tolerances[i]);
      error = std::max(error, one);
      if (one > 1) {
        return fmt::format("{}: result {} differs from the CPU's by {:.3g} times the tolerance {:.2g}", c.shape, i, one, c.tolerances[i]);
      }
    }
    if (!have_same_bits(found, again)) return c.shape + ": the second run gave other bits";
    return {};
  } catch (const std::exception& failure) {
    return c.shape + ": " + failure.what();
  }
}

/// An older device, or a library, that does not have the work: no fault of a kernel.
bool is_refusal(const std::string& failure) {
  return failure.find("cuDNN does not serve") != std::string::npos || failure.find("need compute capability") != std::string::npos;
}

bool is_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const std::string kFewRows = " (cuBLASLt for few rows)";
constexpr const char* kOpsOfFewRows[] = {"linear", "linear_fp8", "linear_swiglu"};

std::string name_of(const OpReport& report) { return fmt::format("{} {}", report.op, dtype_name(report.dtype)); }

/// The cases of one storage type; one of several ops runs once.
class Cases {
 public:
  Cases(std::vector<ParityCase> cases, const ExecContext& device, const ExecContext& cpu)
      : cases_(std::move(cases)), problems_(cases_.size()), errors_(cases_.size(), 0), device_(device), cpu_(cpu) {}

  /// Adds to the report what the cases of `op` say.
  void check(const std::string& op, OpReport& report) {
    std::string refusal;
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (!is_in(cases_[i].ops, op)) continue;
      if (!problems_[i]) problems_[i] = run_case(cases_[i], device_, cpu_, errors_[i]);
      if (is_refusal(*problems_[i])) {
        if (refusal.empty()) refusal = *problems_[i];
        continue;
      }
      ++report.num_cases;
      report.largest_error = std::max(report.largest_error, errors_[i]);
      if (report.verdict != Verdict::kFailed) report.verdict = problems_[i]->empty() ? Verdict::kPassed : Verdict::kFailed;
      if (report.verdict == Verdict::kFailed && report.reason.empty()) report.reason = *problems_[i];
    }
    if (report.num_cases == 0) report.reason = refusal.empty() ? "it has no case" : refusal;
  }

 private:
  std::vector<ParityCase> cases_;
  std::vector<std::optional<std::string>> problems_;  // nothing: not run yet
  std::vector<double> errors_;
  const ExecContext &device_, &cpu_;
};

/// Asks whether the entry is wanted, lets `check` fill its report, and tells it.
void check_entry(OpReport report, const ParityOptions& options, std::vector<OpReport>& reports,
                 const std::function<void(OpReport&)>& check) {
  const std::string name = name_of(report);
  if (name.find(options.ops) == std::string::npos || (options.begin && !options.begin(name))) return;
  check(report);
  if (options.tell) options.tell(report);
  reports.push_back(std::move(report));
}

/// The cases of attention that cuDNN serves, with nothing but cuDNN.
void check_cudnn(const ExecContext& device, const ExecContext& cpu, const ParityOptions& options, std::vector<OpReport>& reports) {
  std::vector<ParityCase> attention;
  add_attention_cases(DType::kBF16, attention);
  if (options.largest == CaseSize::kMeasured) add_measured_attention_cases(DType::kBF16, attention);
  Cases cases(std::move(attention), device, cpu);
  for (const char* op : {"attention", "attention_backward"}) {
    check_entry({std::string(op) + " (cuDNN)", DType::kBF16, Verdict::kNotRun, {}, 0, 0}, options, reports, [&](OpReport& report) {
      const char* problem = is_in(options.missing, "cuDNN") ? "no libcudnn" : options.choose_attention(R1_CUDA_ATTENTION_CUDNN);
      if (problem == nullptr) return cases.check(op, report);
      report.reason = problem;
    });
  }
  options.choose_attention(R1_CUDA_ATTENTION_AUTO);
}

/// The cases of products with cuBLASLt for every number of rows.
void check_cublaslt(const ExecContext& device, const ExecContext& cpu, const ParityOptions& options, std::vector<OpReport>& reports) {
  options.choose_small_products(R1_CUDA_SMALL_PRODUCTS_CUBLASLT);
  for (const DType dtype : options.dtypes) {
    std::vector<ParityCase> products;
    add_few_row_cases(dtype, products);
    Cases cases(std::move(products), device, cpu);
    for (const char* op : kOpsOfFewRows) {
      check_entry({op + kFewRows, dtype, Verdict::kNotRun, {}, 0, 0}, options, reports, [&](OpReport& report) {
        if (!is_in(options.missing, "cuBLASLt")) return cases.check(op, report);
        report.reason = "no libcublasLt";
      });
    }
  }
  options.choose_small_products(R1_CUDA_SMALL_PRODUCTS_OWN);
}

}  // namespace

const std::vector<TableEntry>& table_entries() {
  static const std::vector<TableEntry> entries = {{"linear", "cuBLASLt"},
                                                  {"linear_int8", "CPU"},
                                                  {"linear_fp8", "cuBLASLt"},
                                                  {"linear_swiglu", "cuBLASLt"},
                                                  {"linear_backward_input", "cuBLASLt"},
                                                  {"linear_backward_weight", "cuBLASLt"},
                                                  {"rms_norm", ""},
                                                  {"add_rms_norm", ""},
                                                  {"rms_norm_backward", ""},
                                                  {"rope", ""},
                                                  {"attention", ""},
                                                  {"attention_backward", ""},
                                                  {"write_kv_cache", ""},
                                                  {"paged_attention", ""},
                                                  {"swiglu", ""},
                                                  {"swiglu_backward", ""},
                                                  {"embedding", ""},
                                                  {"embedding_backward", ""},
                                                  {"linear_cross_entropy", "cuBLASLt"},
                                                  {"selected_log_probs", "cuBLASLt"},
                                                  {"selected_log_probs_backward", "cuBLASLt"},
                                                  {"log_probs_of_logits", ""},
                                                  {"fill", ""},
                                                  {"add", ""},
                                                  {"scale", ""},
                                                  {"copy", ""},
                                                  {"cast", ""},
                                                  {"sum_squares_blocks", ""},
                                                  {"sum_blocks", ""},
                                                  {"adamw", ""},
                                                  {"sample", ""},
                                                  {"sampling_probabilities", ""}};
  return entries;
}

std::vector<ParityCase> parity_cases(DType dtype, CaseSize largest) {
  std::vector<ParityCase> cases;
  add_dense_cases(dtype, cases);
  add_attention_cases(dtype, cases);
  add_optimizer_cases(dtype, cases);
  if (largest >= CaseSize::kFlat) add_flat_cases(dtype, cases);
  if (largest >= CaseSize::kMeasured) {
    add_measured_dense_cases(dtype, cases);
    add_measured_attention_cases(dtype, cases);
  }
  return cases;
}

std::vector<std::string> parity_names(const std::vector<DType>& dtypes) {
  std::vector<std::string> names;
  for (const DType dtype : dtypes) {
    for (const TableEntry& entry : table_entries()) names.push_back(fmt::format("{} {}", entry.name, dtype_name(dtype)));
    if (dtype != DType::kBF16) continue;
    names.insert(names.end(), {"attention (cuDNN) bfloat16", "attention_backward (cuDNN) bfloat16"});
  }
  for (const DType dtype : dtypes) {
    for (const char* op : kOpsOfFewRows) names.push_back(op + kFewRows + " " + std::string(dtype_name(dtype)));
    names.push_back(fmt::format("batch-invariant products {}", dtype_name(dtype)));
  }
  return names;
}

std::vector<OpReport> check_parity(const ExecContext& device, const ParityOptions& options) {
  R1_ASSERT(table_entries().size() * sizeof(void*) == sizeof(ops::OpTable), "an op was added to the table: name it here, with its cases");
  const auto cpu = make_cpu_context(0);
  std::vector<OpReport> reports;
  if (options.choose_attention) check_cuda(options.choose_attention(R1_CUDA_ATTENTION_OWN), "attention");
  for (const DType dtype : options.dtypes) {
    Cases cases(parity_cases(dtype, options.largest), device, *cpu);
    for (const TableEntry& entry : table_entries()) {
      check_entry({entry.name, dtype, Verdict::kNotRun, {}, 0, 0}, options, reports, [&](OpReport& report) {
        const std::string library = entry.library;
        if (library == "CPU") {
          report.reason = "not on CUDA: weights in int8 are for the CPU";
        } else if (is_in(options.missing, library)) {
          report.reason = "no lib" + std::string(library == "cuBLASLt" ? "cublasLt" : library);
        } else {
          cases.check(entry.name, report);
        }
      });
    }
  }
  const bool has_bf16 = std::find(options.dtypes.begin(), options.dtypes.end(), DType::kBF16) != options.dtypes.end();
  if (options.choose_attention && has_bf16) check_cudnn(device, *cpu, options, reports);
  if (options.choose_small_products) check_cublaslt(device, *cpu, options, reports);
  return reports;
}

std::vector<std::string> own_kernels(const std::vector<DType>& dtypes) {
  std::vector<std::string> names;
  for (const TableEntry& entry : table_entries()) {
    if (*entry.library != '\0') continue;
    for (const DType dtype : dtypes) names.push_back(fmt::format("{} {}", entry.name, dtype_name(dtype)));
  }
  return names;
}

std::vector<float> random_values(std::int64_t count, std::uint64_t seed, double spread) {
  RandomStream random(seed, "gpu_check");
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(spread * random.normal());
  return values;
}

std::vector<float> rounded(std::vector<float> values, DType dtype) {
  if (dtype == DType::kBF16) {
    for (float& value : values) value = bf16_to_f32(f32_to_bf16(value));
  }
  return values;
}

Tensor stored_tensor(const ExecContext& ctx, Shape shape, const std::vector<float>& values, DType dtype) {
  if (dtype == DType::kF32) return ops::to_device(ctx, Tensor::host_from(std::span<const float>(values), shape, dtype));
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(f32_to_bf16(value));
  return ops::to_device(ctx, Tensor::host_from(std::span<const std::uint16_t>(bits), shape, DType::kBF16));
}

Tensor index_tensor(const ExecContext& ctx, const std::vector<std::int32_t>& values) {
  const Shape shape{static_cast<std::int64_t>(values.size())};
  return ops::to_device(ctx, Tensor::host_from(std::span<const std::int32_t>(values), shape, DType::kI32));
}

Tensor poisoned_tensor(const ExecContext& ctx, const Shape& shape, DType dtype) {
  return stored_tensor(ctx, shape, std::vector<float>(static_cast<std::size_t>(shape.num_elements()), NAN), dtype);
}

std::vector<float> floats_of(const ExecContext& ctx, const Tensor& tensor) {
  const Tensor host = ops::to_host(ctx, tensor);
  std::vector<float> values;
  if (tensor.dtype() == DType::kF32) {
    for (const float value : host.host_span<float>()) values.push_back(value);
  } else if (tensor.dtype() == DType::kBF16) {
    for (const std::uint16_t bits : host.host_span<std::uint16_t>()) values.push_back(bf16_to_f32(bits));
  } else if (tensor.dtype() == DType::kI32) {
    for (const std::int32_t value : host.host_span<std::int32_t>()) values.push_back(static_cast<float>(value));
  } else {
    R1_ASSERT(tensor.dtype() == DType::kF64, "no case has a result of this dtype");
    for (double value : host.host_span<double>()) {
      for (int part = 0; part < 3; ++part) {
        values.push_back(static_cast<float>(value));
        value -= double{values.back()};
      }
    }
  }
  return values;
}

}  // namespace r1::gpu

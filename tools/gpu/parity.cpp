#include "tools/gpu/parity.h"

#include <algorithm>
#include <bit>

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
std::string problem_of(const ParityCase& c, const ExecContext& device, const ExecContext& cpu, double& error) {
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

/// The cases of attention that cuDNN serves, with nothing but cuDNN.
std::vector<OpReport> check_cudnn(const ExecContext& device, const ExecContext& cpu, const ParityOptions& options) {
  std::vector<OpReport> reports;
  std::vector<ParityCase> cases;
  add_attention_cases(DType::kBF16, cases);
  for (const char* op : {"attention", "attention_backward"}) {
    OpReport report{std::string(op) + " (cuDNN)", DType::kBF16, Verdict::kNotRun, {}, 0, 0};
    if (report.op.find(options.ops) == std::string::npos) continue;
    const bool is_missing = std::find(options.missing.begin(), options.missing.end(), "cuDNN") != options.missing.end();
    const char* problem = is_missing ? "no libcudnn" : options.choose_attention(R1_CUDA_ATTENTION_CUDNN);
    if (problem != nullptr) report.reason = problem;
    for (const ParityCase& one : cases) {
      if (problem != nullptr || std::find(one.ops.begin(), one.ops.end(), op) == one.ops.end()) continue;
      const std::string failure = problem_of(one, device, cpu, report.largest_error);
      if (failure.find("cuDNN does not serve") != std::string::npos) {
        if (report.reason.empty()) report.reason = failure;  // stays when there is no other case
        continue;
      }
      if (++report.num_cases == 1 && report.verdict == Verdict::kNotRun) report.verdict = Verdict::kPassed;
      if (failure.empty() || report.verdict == Verdict::kFailed) continue;
      report.verdict = Verdict::kFailed;
      report.reason = failure;
    }
    if (options.tell) options.tell(report);
    reports.push_back(report);
  }
  options.choose_attention(R1_CUDA_ATTENTION_AUTO);
  return reports;
}

}  // namespace

const std::vector<TableEntry>& table_entries() {
  static const std::vector<TableEntry> entries = {{"linear", "cuBLASLt"},
                                                  {"linear_int8", "CPU"},
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

std::vector<ParityCase> parity_cases(DType dtype) {
  std::vector<ParityCase> cases;
  add_dense_cases(dtype, cases);
  add_attention_cases(dtype, cases);
  add_optimizer_cases(dtype, cases);
  return cases;
}

std::vector<OpReport> check_parity(const ExecContext& device, const ParityOptions& options) {
  R1_ASSERT(table_entries().size() * sizeof(void*) == sizeof(ops::OpTable), "an op was added to the table: name it here, with its cases");
  const auto cpu = make_cpu_context(0);
  std::vector<OpReport> reports;
  if (options.choose_attention) check_cuda(options.choose_attention(R1_CUDA_ATTENTION_OWN), "attention");
  for (const DType dtype : options.dtypes) {
    const std::vector<ParityCase> cases = parity_cases(dtype);
    std::vector<int> is_run(cases.size(), 0);  // a case of several ops runs once
    std::vector<std::string> problems(cases.size());
    std::vector<double> errors(cases.size(), 0);
    for (const TableEntry& entry : table_entries()) {
      const std::string name = entry.name, library = entry.library;
      if (name.find(options.ops) == std::string::npos) continue;
      OpReport report{name, dtype, Verdict::kNotRun, {}, 0, 0};
      if (library == "CPU") {
        report.reason = "not on CUDA: weights in int8 are for the CPU";
      } else if (std::find(options.missing.begin(), options.missing.end(), library) != options.missing.end()) {
        report.reason = "no lib" + std::string(library == "cuBLASLt" ? "cublasLt" : library == "cuDNN" ? "cudnn" : library);
      } else {
        report.verdict = Verdict::kPassed;
        for (std::size_t i = 0; i < cases.size(); ++i) {
          if (std::find(cases[i].ops.begin(), cases[i].ops.end(), name) == cases[i].ops.end()) continue;
          if (!is_run[i]) problems[i] = problem_of(cases[i], device, *cpu, errors[i]);
          is_run[i] = 1;
          ++report.num_cases;
          report.largest_error = std::max(report.largest_error, errors[i]);
          if (problems[i].empty() || report.verdict == Verdict::kFailed) continue;
          report.verdict = Verdict::kFailed;
          report.reason = problems[i];
        }
        if (report.num_cases == 0) {
          report.verdict = Verdict::kNotRun;
          report.reason = "it has no case";
        }
      }
      if (options.tell) options.tell(report);
      reports.push_back(report);
    }
  }
  const bool has_bf16 = std::find(options.dtypes.begin(), options.dtypes.end(), DType::kBF16) != options.dtypes.end();
  if (options.choose_attention && has_bf16) {
    for (OpReport& report : check_cudnn(device, *cpu, options)) reports.push_back(std::move(report));
  }
  return reports;
}

std::vector<std::string> own_kernels_missing(const std::vector<OpReport>& reports, const std::vector<DType>& dtypes) {
  std::vector<std::string> missing;
  for (const TableEntry& entry : table_entries()) {
    if (*entry.library != '\0') continue;
    for (const DType dtype : dtypes) {
      const bool is_passed = std::any_of(reports.begin(), reports.end(), [&](const OpReport& report) {
        return report.op == entry.name && report.dtype == dtype && report.verdict == Verdict::kPassed;
      });
      if (!is_passed) missing.push_back(fmt::format("{} ({})", entry.name, dtype_name(dtype)));
    }
  }
  return missing;
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

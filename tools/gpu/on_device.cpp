#include "tools/gpu/on_device.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/device_context.h"
#include "tensor/cuda_module.h"
#include "tools/gpu/parity.h"

namespace r1::gpu {
namespace {

void report_entry(const OpReport& op, const ExecContext& device, Report& report) {
  const Outcome outcome = op.verdict == Verdict::kPassed   ? Outcome::kPassed
                          : op.verdict == Verdict::kFailed ? Outcome::kFailed
                                                           : Outcome::kNotRun;
  const std::string text = op.verdict == Verdict::kPassed
                               ? fmt::format("{} cases, largest error {:.2f} of the tolerance", op.num_cases, op.largest_error)
                               : op.reason;
  report.line(fmt::format("{} {}", op.op, dtype_name(op.dtype)), outcome, text,
              {{"op", op.op}, {"dtype", dtype_name(op.dtype)}, {"cases", op.num_cases}, {"error_of_tolerance", op.largest_error}});
  if (outcome == Outcome::kFailed) leave_if_lost(device);
}

void check_batch_invariant_products(const ExecContext& device, const Options& options, Report& report) {
  for (const DType dtype : options.dtypes) {
    const std::string name = fmt::format("batch-invariant products {}", dtype_name(dtype));
    if (name.find(options.ops) == std::string::npos || !report.begin(name)) continue;
    if (std::find(options.missing.begin(), options.missing.end(), "cuBLASLt") != options.missing.end()) {
      report.line(name, Outcome::kNotRun, "no libcublasLt");
      continue;
    }
    ops::set_batch_invariant(device, true);
    std::string problem;
    try {
      problem = check_batch_invariance(device, dtype);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    ops::set_batch_invariant(device, false);
    report.line(name, problem.empty() ? Outcome::kPassed : Outcome::kFailed, problem.empty() ? "the same bits in ten sizes" : problem);
    if (!problem.empty()) leave_if_lost(device);
  }
}

void check_entries(const ExecContext& device, const Options& options, Report& report) {
  report.section(kParitySection);
  ParityOptions parity{.dtypes = options.dtypes, .ops = options.ops, .missing = options.missing};
  if (!options.own_kernels) parity.largest = options.is_real && !options.quick ? CaseSize::kMeasured : CaseSize::kFlat;
  parity.begin = [&](const std::string& name) {
    const bool is_cudnn = name.find("(cuDNN)") != std::string::npos;
    return !(options.own_kernels && is_cudnn) && report.begin(name);
  };
  parity.tell = [&](const OpReport& op) { report_entry(op, device, report); };
  parity.choose_attention = cuda_module().choose_attention;
  if (!options.own_kernels) parity.choose_small_products = cuda_module().choose_small_products;
  check_parity(device, parity);
  if (!options.own_kernels) check_batch_invariant_products(device, options, report);
}

}  // namespace

int run_child(const Options& options) {
  Report report(told_to_parent(), options.skip);
  if (options.child == "machine") {
    report_machine(report);
  } else {
    const auto device = ops::make_context({DeviceKind::kCuda, 0}, 0);
    if (options.child == "parity") {
      check_entries(*device, options, report);
    } else if (options.child == "speed_ops") {
      measure_on_device(*device, options.ceilings, options.dtypes, options.quick, report);
    } else {
      fail(ErrorKind::kUsage, "--child {}: expected machine, parity or speed_ops", options.child);
    }
  }
  tell_end();
  return 0;
}

}  // namespace r1::gpu

// gpu_check: proves the CUDA module on the machine where it runs, then measures it. tools/gpu_check is its driver.
//
//   gpu_check [--root FOLDER] [--output FOLDER] [--dtypes float32,bfloat16] [--ops TEXT] [--only parity,programs,sanitizer,speed]
//             [--fixtures FOLDER] [--quick]
//
// Exit codes: 0 all that ran passed (without a device nothing ran: "no device: nothing proven"), 1 a failure, or one of our own kernels
// did not run on a machine with a device, 2 usage.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/strings.h"
#include "ops/device_context.h"
#include "tensor/cuda_module.h"
#include "tools/gpu/libraries.h"
#include "tools/gpu/parity.h"
#include "tools/gpu/programs.h"
#include "tools/gpu/report.h"
#include "tools/gpu/speed.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string root = ".", output = "gpu_check_results", ops, only, fixtures;
  std::vector<DType> dtypes = {DType::kF32, DType::kBF16};
  bool quick = false;
  bool wants(const std::string& part) const { return only.empty() || ("," + only + ",").find("," + part + ",") != std::string::npos; }
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--quick") {
      options.quick = true;
      continue;
    }
    if (i + 1 == argc) fail(ErrorKind::kUsage, "{}: unknown, or its value is missing; see the top of tools/gpu/gpu_check.cpp", name);
    const std::string value = argv[++i];
    if (name == "--root") {
      options.root = value;
    } else if (name == "--output") {
      options.output = value;
    } else if (name == "--ops") {
      options.ops = value;
    } else if (name == "--only") {
      options.only = value;
    } else if (name == "--fixtures") {
      options.fixtures = value;
    } else if (name == "--dtypes") {
      options.dtypes.clear();
      if (value.find("float32") != std::string::npos) options.dtypes.push_back(DType::kF32);
      if (value.find("bfloat16") != std::string::npos) options.dtypes.push_back(DType::kBF16);
      if (options.dtypes.empty()) fail(ErrorKind::kUsage, "--dtypes {}: expected float32, bfloat16 or both", value);
    } else {
      fail(ErrorKind::kUsage, "unknown option {}; see the top of tools/gpu/gpu_check.cpp", name);
    }
  }
  return options;
}

Places places_of(const Options& options) {
  const char* launched = std::getenv("R1_LAUNCHER");  // then /proc/self/exe is the loader
  const fs::path bin = launched != nullptr ? fs::path(options.root) / "bin" : fs::read_symlink("/proc/self/exe").parent_path();
  Places places{options.root, bin.string(), options.output + "/work", options.fixtures};
  if (places.fixtures.empty()) places.fixtures = options.root + "/../shared/fixtures";
  fs::create_directories(places.work);
  return places;
}

void report_device(const ExecContext& device, Report& report) {
  R1CudaDevice found{};
  check_cuda(cuda_module().describe_device(device.device().index, &found), "CUDA device");
  report.section("device");
  report.line(found.name, Outcome::kPassed,
              fmt::format("compute capability {}.{}, {} multiprocessors, {:.1f} of {:.1f} GiB free", found.compute_capability / 10,
                          found.compute_capability % 10, found.num_multiprocessors, static_cast<double>(found.free_bytes) / (1 << 30),
                          static_cast<double>(found.total_bytes) / (1 << 30)));
}

void report_batch_invariance(const ExecContext& device, const Options& options, const std::vector<std::string>& missing, Report& report) {
  for (const DType dtype : options.dtypes) {
    const std::string name = fmt::format("batch-invariant products {}", dtype_name(dtype));
    if (name.find(options.ops) == std::string::npos) continue;
    if (std::find(missing.begin(), missing.end(), "cuBLASLt") != missing.end()) {
      report.line(name, Outcome::kNotRun, "no libcublasLt");
      continue;
    }
    ops::set_batch_invariant(device, true);
    std::string problem;
    try {
      problem = check_batch_invariance(device, dtype);
    } catch (const Error& error) {
      problem = error.what();
    }
    ops::set_batch_invariant(device, false);
    report.line(name, problem.empty() ? Outcome::kPassed : Outcome::kFailed, problem.empty() ? "the same bits in ten sizes" : problem);
  }
}

/// Returns whether all of our own kernels passed with every dtype that was asked for.
bool report_parity(const ExecContext& device, const Options& options, const std::vector<std::string>& missing, Report& report) {
  report.section("parity with the CPU backend, and the same bits twice");
  ParityOptions parity{options.dtypes, options.ops, missing, {}, cuda_module().choose_attention};
  parity.tell = [&](const OpReport& op) {
    const Outcome outcome = op.verdict == Verdict::kPassed   ? Outcome::kPassed
                            : op.verdict == Verdict::kFailed ? Outcome::kFailed
                                                             : Outcome::kNotRun;
    const std::string text = op.verdict == Verdict::kPassed
                                 ? fmt::format("{} cases, largest error {:.2f} of the tolerance", op.num_cases, op.largest_error)
                                 : op.reason;
    report.line(fmt::format("{} {}", op.op, dtype_name(op.dtype)), outcome, text,
                {{"op", op.op}, {"dtype", dtype_name(op.dtype)}, {"cases", op.num_cases}, {"error_of_tolerance", op.largest_error}});
  };
  const std::vector<OpReport> reports = check_parity(device, parity);
  report_batch_invariance(device, options, missing, report);
  std::vector<std::string> without;
  for (const std::string& kernel : own_kernels_missing(reports, options.dtypes)) {
    if (kernel.find(options.ops) != std::string::npos) without.push_back(kernel);
  }
  if (!without.empty()) {
    report.line("our own kernels", Outcome::kFailed,
                fmt::format("{} did not run or did not pass: {}", without.size(), fmt::join(without, ", ")));
  }
  return without.empty();
}

int run(const Options& options) {
  Report report;
  fs::create_directories(options.output);
  const std::string file = options.output + "/gpu_check.json";
  const std::vector<std::string> missing = report_libraries(find_libraries(), report);
  std::string problem;
  const bool has_device = count_cuda_devices(&problem) > 0;
  report.set("has_device", has_device);
  if (has_device) {
    const auto device = ops::make_context({DeviceKind::kCuda, 0}, 0);
    report_device(*device, report);
    if (options.wants("parity")) report_parity(*device, options, missing, report);
    const Places places = places_of(options);
    const bool has_products = std::find(missing.begin(), missing.end(), "cuBLASLt") == missing.end();
    if (!has_products) {  // no model runs without matrix products
      report.section("programs and their speed");
      report.line("all of them", Outcome::kNotRun, "no libcublasLt");
    }
    if (options.wants("programs") && has_products) {
      check_programs(places, report);
      check_fixtures(places, report);
    }
    if (options.wants("sanitizer")) check_sanitizer(places, report);
    if (options.wants("speed")) {
      const Ceilings ceilings = measure_ceilings(*device, options.quick, report);
      measure_ops(*device, ceilings, options.dtypes, options.quick, report);
      device->allocator().trim();  // the programs need the memory
      if (has_products) measure_programs(places, ceilings, options.quick, report);
    }
  }
  const int failed = report.count(Outcome::kFailed);
  report.set("failed", failed);
  report.write(file);
  if (!has_device) {
    fmt::print("\nno device: nothing proven ({})\n{}\n", problem, file);
    return 0;
  }
  fmt::print("\n{} passed, {} failed, {} not run, {} measured\n{}\n", report.count(Outcome::kPassed), failed,
             report.count(Outcome::kNotRun), report.count(Outcome::kMeasured), file);
  return failed > 0 ? 1 : 0;
}

}  // namespace
}  // namespace r1::gpu

int main(int argc, char** argv) {
  try {
    return r1::gpu::run(r1::gpu::parse(argc, argv));
  } catch (const r1::Error& error) {
    fmt::print(stderr, "gpu_check: {}\n", error.what());
    return r1::exit_code(error.kind());
  }
}

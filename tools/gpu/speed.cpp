// Ops and ceilings, in the process that has the device.
#include "tools/gpu/speed.h"

#include <fmt/format.h>

#include <algorithm>

#include "tensor/cuda_module.h"
#include "tools/bench_ops_cases.h"
#include "tools/gpu/machine.h"

namespace r1::gpu {
namespace {

/// Seconds of one call by the device's clock: as many calls as fill some hundredths of a second, the median of five such runs.
double seconds_of(const ExecContext& device, const std::function<void()>& run) {
  const R1CudaModule& module = cuda_module();
  const int index = device.device().index;
  const auto time = [&](int calls) {
    check_cuda(module.begin_timing(index), "timing");
    for (int i = 0; i < calls; ++i) run();
    double seconds = 0;
    check_cuda(module.end_timing(index, &seconds), "timing");
    return seconds / calls;
  };
  run();  // chooses algorithms, fills the allocator's cache
  const double first = time(1);
  const int calls = static_cast<int>(std::clamp(0.05 / std::max(first, 1e-7), 1.0, 10000.0));
  std::vector<double> rounds;
  for (int round = 0; round < 5; ++round) rounds.push_back(time(calls));
  return median(rounds);
}

std::string share(double rate, double ceiling) { return ceiling > 0 ? fmt::format("{:5.1f} %", 100 * rate / ceiling) : "-"; }

/// Between caches of tens of MB and what a device holds.
constexpr double kWorkingSetBytes = 256e6;

// Qwen2.5-1.5B; quick: a few hundred thousand parameters.
bench::ModelShape shape_of(bool quick, DType dtype) {
  // As many parameters for the optimizer as take longer than any overhead.
  if (quick) return {64, 128, 384, 3, 4, 2, 32, 264, 4096, dtype};
  return {4096, 1536, 8960, 28, 12, 2, 128, 151936, 256 << 20, dtype};
}

/// Memory of the driver's, for its own copy.
class RawMemory {
 public:
  RawMemory(int device, std::size_t bytes) : device_(device) {
    check_cuda(cuda_module().allocate(device, bytes, &memory_), "memory of a copy");
  }
  ~RawMemory() { cuda_module().release(device_, memory_); }
  RawMemory(const RawMemory&) = delete;
  RawMemory& operator=(const RawMemory&) = delete;
  void* get() const { return memory_; }

 private:
  int device_;
  void* memory_ = nullptr;
};

class OnDevice {
 public:
  OnDevice(const ExecContext& device, Ceilings ceilings, bool quick, Report& report)
      : device_(device), ceilings_(ceilings), quick_(quick), report_(report) {}

  void measure_ceilings() {
    report_.section(kCeilingsSection);
    if (report_.begin("copy")) guarded("copy", [&] { copies(); });
    if (report_.begin("matrix product, bfloat16")) guarded("matrix product, bfloat16", [&] { product(); });
  }

  void measure_ops(DType dtype) {
    report_.section(kOpsSection);
    const std::string preparation = fmt::format("tensors of the ops, {}", dtype_name(dtype));
    if (!report_.begin(preparation, /*is_preparation=*/true)) return;
    std::vector<bench::Case> cases;
    guarded(preparation, [&] { cases = bench::step_cases(device_, shape_of(quick_, dtype), quick_ ? 0 : kWorkingSetBytes); });
    for (bench::Case& one : cases) {
      const std::string name = fmt::format("{}, {}", one.name, dtype_name(dtype));
      if (report_.begin(name)) guarded(name, [&] { measure(one, name, dtype); });
      one.run = nullptr;  // gives its tensors back
    }
  }

 private:
  /// A failure is a line; a lost device ends the process behind it.
  void guarded(const std::string& name, const std::function<void()>& work) {
    try {
      work();
    } catch (const std::exception& error) {
      const bool has_no_library = std::string_view(error.what()).find("libcublasLt") != std::string_view::npos;
      report_.line(name, has_no_library ? Outcome::kNotRun : Outcome::kFailed, error.what());
      leave_if_lost(device_);
    }
  }

  void copies() {
    const std::int64_t bytes = quick_ ? 1 << 20 : 1 << 30;
    const int index = device_.device().index;
    const double moved = 2.0 * static_cast<double>(bytes);
    double ours = 0, drivers = 0;
    {
      Tensor from = device_.empty({bytes / 4}), to = device_.empty({bytes / 4});
      const ops::OpTable& table = ops::op_table(device_);
      table.fill(device_, from, 1);
      ours = moved / seconds_of(device_, [&] { table.copy(device_, from, to); });
    }
    {
      const auto count = static_cast<std::size_t>(bytes);
      const RawMemory from(index, count), to(index, count);
      drivers = moved / seconds_of(device_, [&] {
                  check_cuda(cuda_module().copy(index, R1_CUDA_ON_DEVICE, to.get(), count, from.get(), count, count, 1), "copy");
                });
    }
    R1CudaDevice found{};
    check_cuda(cuda_module().describe_device(index, &found), "CUDA device");
    const auto sheet = data_sheet_of(found.name);
    const double best = std::max(ours, drivers);
    const bool is_right = quick_ || is_plausible_copy(sheet, best);
    ceilings_.copy_bytes_per_second = is_right ? best : 0;  // a share of a wrong ceiling says nothing
    std::string text =
        fmt::format("{:.0f} GB/s read and written: our kernel {:.0f}, the driver's copy {:.0f}", best * 1e-9, ours * 1e-9, drivers * 1e-9);
    if (sheet) {
      text +=
          fmt::format("; {}'s data sheet {:.0f}{}", sheet->name, sheet->bytes_per_second * 1e-9, is_right ? "" : ": less than half of it");
    }
    Json details = {{"bytes_per_second", best}, {"own_kernel", ours}, {"driver", drivers}, {"quick", quick_}};
    if (sheet) details["data_sheet"] = sheet->bytes_per_second;
    report_.line("copy", is_right ? Outcome::kMeasured : Outcome::kFailed, text, details);
  }

  void product() {
    const std::int64_t n = quick_ ? 64 : 8192;
    const Tensor a = bench::filled(device_, {n, n}, DType::kBF16), b = bench::filled(device_, {n, n}, DType::kBF16);
    Tensor result = device_.empty({n, n}, DType::kBF16);
    const ops::OpTable& table = ops::op_table(device_);
    const double seconds = seconds_of(device_, [&] { table.linear(device_, a, b, nullptr, result); });
    ceilings_.matmul_flops = 2.0 * static_cast<double>(n * n * n) / seconds;
    report_.line("matrix product, bfloat16", Outcome::kMeasured,
                 fmt::format("{:.1f} TFLOP/s, {} x {} x {}", ceilings_.matmul_flops * 1e-12, n, n, n),
                 {{"flops", ceilings_.matmul_flops}, {"quick", quick_}});
  }

  void measure(const bench::Case& one, const std::string& name, DType dtype) {
    if (one.name.find(" row") != std::string::npos && one.name.starts_with("linear")) {
      measure_one(one, name);
      bench::Case others = one;
      others.is_memory_bound = false;  // a comparison, no part of the goals
      cuda_module().choose_small_products(R1_CUDA_SMALL_PRODUCTS_CUBLASLT);
      guarded(name + ", cuBLASLt", [&] { measure_one(others, name + ", cuBLASLt"); });
      return cuda_module().choose_small_products(R1_CUDA_SMALL_PRODUCTS_OWN);
    }
    const bool is_attention = std::string_view(one.name).starts_with("attention");
    if (!is_attention) return measure_one(one, name);
    check_cuda(cuda_module().choose_attention(R1_CUDA_ATTENTION_OWN), "attention");
    measure_one(one, name);
    if (dtype == DType::kBF16) {
      if (const char* problem = cuda_module().choose_attention(R1_CUDA_ATTENTION_CUDNN)) {
        report_.line(name + ", cuDNN", Outcome::kNotRun, problem);
      } else {
        with_cudnn(one, name + ", cuDNN");
      }
    }
    check_cuda(cuda_module().choose_attention(R1_CUDA_ATTENTION_AUTO), "attention");
  }

  void with_cudnn(const bench::Case& one, const std::string& name) {
    try {
      measure_one(one, name);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUsage) throw;
      report_.line(name, Outcome::kNotRun, error.what());  // it does not serve this device or shape
    }
  }

  void measure_one(const bench::Case& one, const std::string& name) {
    const double seconds = seconds_of(device_, one.run), bytes = one.bytes / seconds, flops = one.flops / seconds;
    std::string text =
        fmt::format("{:10.1f} µs {:8.1f} GB/s {:>8} of copy", seconds * 1e6, bytes * 1e-9, share(bytes, ceilings_.copy_bytes_per_second));
    if (flops > 0) {
      text += fmt::format(" {:8.2f} TFLOP/s {:>8} of the matrix product", flops * 1e-12, share(flops, ceilings_.matmul_flops));
    }
    report_.line(name, Outcome::kMeasured, text,
                 {{"seconds", seconds},
                  {"bytes_per_second", bytes},
                  {"flops", flops},
                  {"calls_per_step", one.calls_per_step},
                  {"is_memory_bound", one.is_memory_bound},
                  {"quick", quick_}});
  }

  const ExecContext& device_;
  Ceilings ceilings_;
  bool quick_;
  Report& report_;
};

}  // namespace

void measure_on_device(const ExecContext& device, Ceilings ceilings, const std::vector<DType>& dtypes, bool quick, Report& report) {
  OnDevice measuring(device, ceilings, quick, report);
  measuring.measure_ceilings();
  for (const DType dtype : dtypes) measuring.measure_ops(dtype);
}

Ceilings ceilings_of(const Json& report) {
  Ceilings ceilings;
  for (const Json& one : report.value(kCeilingsSection, Json::array())) {
    if (one.value("outcome", "") != name_of(Outcome::kMeasured)) continue;
    if (one.value("name", "") == "copy") ceilings.copy_bytes_per_second = one.value("bytes_per_second", 0.0);
    if (one.value("name", "") == "matrix product, bfloat16") ceilings.matmul_flops = one.value("flops", 0.0);
  }
  return ceilings;
}

}  // namespace r1::gpu

#include "tools/gpu/speed.h"

#include <fmt/format.h>

#include <algorithm>

#include "tensor/cuda_module.h"
#include "tools/bench_ops_cases.h"

namespace r1::gpu {
namespace {

/// Seconds of one call by the device's clock: as many calls as fill a tenth of a second, the best of three such runs.
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
  const int calls = static_cast<int>(std::clamp(0.1 / std::max(first, 1e-7), 1.0, 10000.0));
  double best = HUGE_VAL;
  for (int round = 0; round < 3; ++round) best = std::min(best, time(calls));
  return best;
}

std::string share(double rate, double ceiling) { return ceiling > 0 ? fmt::format("{:5.1f} %", 100 * rate / ceiling) : "-"; }

// Qwen2.5-1.5B; quick: a few hundred thousand parameters.
bench::ModelShape shape_of(bool quick, DType dtype) {
  // As many parameters for the optimizer as take longer than any overhead.
  if (quick) return {64, 128, 384, 3, 4, 2, 32, 264, 4096, dtype};
  return {4096, 1536, 8960, 28, 12, 2, 128, 151936, 256 << 20, dtype};
}

}  // namespace

Ceilings measure_ceilings(const ExecContext& device, bool quick, Report& report) {
  report.section("ceilings of this device");
  Ceilings ceilings;
  const std::int64_t bytes = quick ? 1 << 20 : 1 << 30;
  Tensor from = device.empty({bytes / 4}), to = device.empty({bytes / 4});
  const ops::OpTable& table = ops::op_table(device);
  table.fill(device, from, 1);
  const double copy_seconds = seconds_of(device, [&] { table.copy(device, from, to); });
  ceilings.copy_bytes_per_second = 2.0 * static_cast<double>(bytes) / copy_seconds;
  report.line("copy", Outcome::kMeasured, fmt::format("{:.0f} GB/s read and written", ceilings.copy_bytes_per_second * 1e-9),
              {{"bytes_per_second", ceilings.copy_bytes_per_second}});
  const std::int64_t n = quick ? 64 : 8192;
  try {
    const Tensor a = bench::filled(device, {n, n}, DType::kBF16), b = bench::filled(device, {n, n}, DType::kBF16);
    Tensor product = device.empty({n, n}, DType::kBF16);
    const double seconds = seconds_of(device, [&] { table.linear(device, a, b, nullptr, product); });
    ceilings.matmul_flops = 2.0 * static_cast<double>(n * n * n) / seconds;
    report.line(fmt::format("matrix product, bfloat16, {0} x {0} x {0}", n), Outcome::kMeasured,
                fmt::format("{:.1f} TFLOP/s", ceilings.matmul_flops * 1e-12), {{"flops", ceilings.matmul_flops}});
  } catch (const Error& error) {
    report.line("matrix product, bfloat16", Outcome::kNotRun, error.what());
  }
  return ceilings;
}

void measure_ops(const ExecContext& device, const Ceilings& ceilings, const std::vector<DType>& dtypes, bool quick, Report& report) {
  report.section("ops of a training step and of a decode step");
  const auto measure = [&](const bench::Case& one, const std::string& name) {
    try {
      const double seconds = seconds_of(device, one.run), bytes = one.bytes / seconds, flops = one.flops / seconds;
      std::string text =
          fmt::format("{:10.1f} µs {:8.1f} GB/s {:>8} of copy", seconds * 1e6, bytes * 1e-9, share(bytes, ceilings.copy_bytes_per_second));
      if (flops > 0)
        text += fmt::format(" {:8.2f} TFLOP/s {:>8} of the matrix product", flops * 1e-12, share(flops, ceilings.matmul_flops));
      report.line(name, Outcome::kMeasured, text,
                  {{"seconds", seconds}, {"bytes_per_second", bytes}, {"flops", flops}, {"calls_per_step", one.calls_per_step}});
    } catch (const Error& error) {
      report.line(name, Outcome::kNotRun, error.what());
    }
  };
  for (const DType dtype : dtypes) {
    std::vector<bench::Case> cases = bench::step_cases(device, shape_of(quick, dtype));
    for (bench::Case& one : cases) {
      const std::string name = fmt::format("{}, {}", one.name, dtype_name(dtype));
      const bool is_attention = std::string_view(one.name).starts_with("attention");
      if (is_attention) check_cuda(cuda_module().choose_attention(R1_CUDA_ATTENTION_OWN), "attention");
      measure(one, name);
      if (is_attention && dtype == DType::kBF16) {
        const char* problem = cuda_module().choose_attention(R1_CUDA_ATTENTION_CUDNN);
        if (problem == nullptr) {
          measure(one, name + ", cuDNN");
        } else {
          report.line(name + ", cuDNN", Outcome::kNotRun, problem);
        }
      }
      if (is_attention) check_cuda(cuda_module().choose_attention(R1_CUDA_ATTENTION_AUTO), "attention");
      one.run = nullptr;  // gives its tensors back
    }
  }
}

}  // namespace r1::gpu

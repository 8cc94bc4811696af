// What this machine and this process have.
#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/profile.h"
#include "base/strings.h"
#include "base/thread_pool.h"
#include "comm/topology.h"
#include "ops/device_context.h"
#include "ops/peak.h"
#include "plan/job_plan.h"
#include "tensor/cuda_module.h"
#include "tensor/device_choice.h"

namespace r1::plan {

double measure_memory_bandwidth(ThreadPool& threads) {
  constexpr std::size_t kWords = std::size_t{8} << 20;  // 64 MiB: beyond most caches' reach for one of these passes
  constexpr int kTries = 3;
  std::vector<std::uint64_t> words(kWords, 1);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads.num_threads()) * 8, 0);
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const double start = now_seconds();
    threads.parallel_for(static_cast<std::int64_t>(kWords), [&](std::int64_t begin, std::int64_t end, int thread) {
      std::uint64_t sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum += words[static_cast<std::size_t>(i)];
      sums[static_cast<std::size_t>(thread) * 8] += sum;
    });
    best = std::max(best, static_cast<double>(kWords * sizeof words[0]) / (now_seconds() - start));
  }
  return sums[0] > 0 ? best : 0;
}

// A context with the libraries that training opens; not measured: a GPU says what is free when the job starts.
constexpr double kCudaProcessBytes = 1 << 30;

double process_bytes(Device device) {
  if (device.kind == DeviceKind::kCuda) return kCudaProcessBytes;
  std::ifstream status("/proc/self/status");
  double bytes = 0;
  for (std::string key; status >> key;) {
    std::string rest;
    if (key == "RssAnon:" || key == "RssFile:") {
      double kibibytes = 0;
      status >> kibibytes;
      bytes += 1024 * kibibytes;
    }
    std::getline(status, rest);
  }
  return bytes;
}

double machine_bytes() {
  double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  struct sysinfo information {};
  if (sysinfo(&information) == 0) bytes += static_cast<double>(information.totalswap) * information.mem_unit;
  double limit = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit) bytes = std::min(bytes, limit);
  return bytes;
}

void set_speed(const config::CommonConfig& config, const ExecContext& ctx, JobPlan& plan) {
  RankSpeed& speed = plan.speed;
  if (config.peak_tflops == "measured") {
    if (plan.device.kind == DeviceKind::kCuda) {
      if (count_cuda_devices() == 0) return;  // nothing to measure: no times without --peak_tflops
      speed.peak_flops = ops::peak_flops(*ops::make_context(plan.device, 1), plan.compute_dtype);
    } else {
      speed.peak_flops = ops::peak_flops(ctx);
    }
    speed.origin = "measured here";
    if (plan.generation_bytes > 0 && plan.device.kind == DeviceKind::kCpu) speed.memory_bandwidth = measure_memory_bandwidth(ctx.threads());
  } else {
    const auto given = parse_double(config.peak_tflops);
    if (!given || !(*given > 0)) {
      fail(ErrorKind::kUsage, "{}: expected a number of TFLOP/s above 0, or measured, found '{}'", config.place_of("peak_tflops"),
           config.peak_tflops);
    }
    speed.peak_flops = *given * 1e12;
    speed.origin = "given";
  }
  if (config.memory_bandwidth) speed.memory_bandwidth = static_cast<double>(config.memory_bandwidth->bytes);
  if (config.link_bandwidth) speed.link_bandwidth = static_cast<double>(config.link_bandwidth->bytes);
}

Device device_of_job(const config::CommonConfig& config) {
  const std::string_view choice = config::enum_names(config.device)[static_cast<std::size_t>(config.device)];
  return config.planning() ? planned_device(choice) : choose_device(choice, comm::topology_from_environment().local_rank);
}

void set_device_memory(const config::CommonConfig& config, JobPlan& plan) {
  if (config.device_memory) {
    plan.device_memory = static_cast<double>(config.device_memory->bytes);
    plan.device_memory_origin = "--device_memory";
  } else if (plan.device.kind == DeviceKind::kCuda) {  // without a GPU here no limit is known
    R1CudaDevice found{};
    if (config.nodes || config.ntasks_per_node || count_cuda_devices() == 0) return;
    check_cuda(cuda_module().describe_device(plan.device.index, &found), "the GPU's memory");
    plan.device_memory = static_cast<double>(found.total_bytes);
    plan.device_memory_origin = found.name;
  } else if (!config.nodes && !config.ntasks_per_node) {
    plan.device_memory = machine_bytes() / plan.ranks_per_node;
    plan.device_memory_origin =
        plan.ranks_per_node == 1 ? "this machine's" : fmt::format("this machine's, for each of {} ranks", plan.ranks_per_node);
  }
}

bool holds_dimensions_alone(const std::string& model_folder) {
  namespace fs = std::filesystem;
  for (const auto& entry : fs::directory_iterator(model_folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") || name.starts_with("tokenizer")) return false;
  }
  return true;
}

}  // namespace r1::plan

#include "tools/gpu/machine.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "tensor/cuda_module.h"
#include "tools/gpu/child.h"
#include "tools/gpu/libraries.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// 0 where there is no driver.
int count_devices_of_driver() {
  void* driver = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return 0;
  const auto start = reinterpret_cast<int (*)(unsigned)>(::dlsym(driver, "cuInit"));
  const auto count_devices = reinterpret_cast<int (*)(int*)>(::dlsym(driver, "cuDeviceGetCount"));
  int count = 0;
  return start != nullptr && count_devices != nullptr && start(0) == 0 && count_devices(&count) == 0 ? count : 0;
}

void report_device(Report& report) {
  R1CudaDevice found{};
  check_cuda(cuda_module().describe_device(0, &found), "CUDA device");
  const char* cudnn = cuda_module().choose_attention(R1_CUDA_ATTENTION_CUDNN);
  cuda_module().choose_attention(R1_CUDA_ATTENTION_AUTO);
  report.section("device");
  const std::string capability = fmt::format("{}.{}", found.compute_capability / 10, found.compute_capability % 10);
  report.line(found.name, Outcome::kFound,
              fmt::format("compute capability {}, {} multiprocessors, {:.1f} of {:.1f} GiB free", capability, found.num_multiprocessors,
                          static_cast<double>(found.free_bytes) / (1 << 30), static_cast<double>(found.total_bytes) / (1 << 30)));
  report.set("about", "device", found.name);
  report.set("about", "compute_capability", capability);
  report.set("about", "can_record_steps", cuda_module().begin_recording != nullptr);
  report.set("about", "no_cudnn_because", cudnn != nullptr ? cudnn : "");
}

std::string first_line(const std::string& path) {
  try {
    return split(read_file(path), '\n').front();
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

std::optional<DataSheet> data_sheet_of(const std::string& device_name) {
  // Part of a device, and variants with less power or other memory.
  for (const char* other : {"MIG", "PCIe", "NVL", "GH200", "40GB", "GB200"}) {
    if (has(device_name, other)) return std::nullopt;
  }
  if (has(device_name, "H200")) return DataSheet{"H200", 4.8e12, 989.5e12};
  if (has(device_name, "H100")) return DataSheet{"H100 SXM", 3.35e12, 989.5e12};
  if (has(device_name, "A100") && has(device_name, "80GB")) return DataSheet{"A100 80GB SXM", 2.0e12, 312e12};
  return std::nullopt;
}

bool is_plausible_copy(const std::optional<DataSheet>& sheet, double bytes_per_second) {
  return !sheet || bytes_per_second >= 0.5 * sheet->bytes_per_second;
}

std::string sign_of_a_gpu() {
  const char* files = std::getenv("R1_GPU_DEVICE_FILES");
  for (const std::string& file : split(files != nullptr ? files : "/dev/nvidia0:/dev/nvidiactl", ':')) {
    std::error_code error;
    if (!file.empty() && fs::exists(file, error)) return file + " is there";
  }
  const int count = count_devices_of_driver();
  return count > 0 ? fmt::format("the driver shows {} devices", count) : "";
}

void report_machine(Report& report) {
  const std::vector<std::string> missing = report_libraries(find_libraries(), report);
  report.set("missing", missing);
  std::string problem;
  const bool has_device = count_cuda_devices(&problem) > 0;
  report.set("problem", problem);
  report.set("sign_of_a_gpu", sign_of_a_gpu());
  if (has_device) report_device(report);
  report.set("has_device", has_device);
}

void leave_if_lost(const ExecContext& device) {
  const R1CudaModule& module = cuda_module();
  const int index = device.device().index;
  const char* problem = module.synchronize(index);
  if (problem == nullptr) {
    // An answer with data: a new block that goes there and back.
    float value = 1;
    void* memory = nullptr;
    problem = module.allocate(index, sizeof value, &memory);
    if (problem == nullptr) {
      problem = module.copy(index, R1_CUDA_TO_DEVICE, memory, sizeof value, &value, sizeof value, sizeof value, 1);
      if (problem == nullptr) problem = module.copy(index, R1_CUDA_TO_HOST, &value, sizeof value, memory, sizeof value, sizeof value, 1);
      module.release(index, memory);
    }
  }
  if (problem == nullptr) return;
  fmt::print(stderr, "the device is lost: {}\n", problem);
  std::fflush(nullptr);
  std::_Exit(kExitDeviceLost);
}

Json about_this_run(const std::string& root) {
  Json about = Json::object();
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
  about["date"] = date;
  about["commit"] = first_line(root + "/commit");  // of a package
  if (const char* commit = std::getenv("R1_GPU_CHECK_COMMIT"); commit != nullptr && about["commit"] == "") about["commit"] = commit;
  about["driver"] = first_line("/sys/module/nvidia/version");
  if (about["driver"] == "") about["driver"] = first_line("/proc/driver/nvidia/version");
  return about;
}

}  // namespace r1::gpu

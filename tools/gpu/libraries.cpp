#include "tools/gpu/libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <algorithm>

#include "tensor/cuda_module.h"

namespace r1::gpu {
namespace {

/// As each library numbers itself: 12020, 13010, 22703, 90701, 120200.
std::string version_text(const std::string& name, std::int64_t version) {
  if (version <= 0) return "";
  if (name == "NCCL") return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  if (name == "cuDNN") return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  if (name == "cuBLASLt") return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

struct Probe {
  const char* name;
  std::vector<const char*> files;
  const char* version_symbol;
  bool returns_version;  // size_t version(), not status version(int*)
};

FoundLibrary open(const Probe& probe) {
  FoundLibrary found{probe.name, {}, {}, {}, false};
  for (const char* file : probe.files) {
    void* handle = ::dlopen(file, RTLD_LAZY | RTLD_LOCAL);
    if (handle == nullptr) {
      found.problem = ::dlerror();
      continue;
    }
    const link_map* map = nullptr;
    found.path = ::dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr ? map->l_name : file;
    found.problem.clear();
    void* symbol = ::dlsym(handle, probe.version_symbol);
    if (symbol == nullptr) return found;
    if (probe.returns_version) {
      found.version = version_text(probe.name, static_cast<std::int64_t>(reinterpret_cast<std::size_t (*)()>(symbol)()));
    } else if (int version = 0; reinterpret_cast<int (*)(int*)>(symbol)(&version) == 0) {
      found.version = version_text(probe.name, version);
    }
    return found;
  }
  return found;
}

}  // namespace

std::vector<FoundLibrary> find_libraries() {
  std::vector<FoundLibrary> libraries;
  if (const R1CudaModule* module = find_cuda_module()) {
    R1CudaLibrary described{};
    for (int number = 0; module->describe_library(number, &described); ++number) {
      libraries.push_back({described.name, described.path, described.problem, version_text(described.name, described.version), true});
    }
  }
  const std::vector<Probe> probes = {
      {"CUDA driver", {"libcuda.so.1"}, "cuDriverGetVersion", false},
      {"CUDA runtime", {"libcudart.so.13", "libcudart.so.12", "libcudart.so"}, "cudaRuntimeGetVersion", false},
      {"cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12"}, "cublasLtGetVersion", true},
      {"cuDNN", {"libcudnn.so.9"}, "cudnnGetVersion", true},
      {"NCCL", {"libnccl.so.2"}, "ncclGetVersion", false}};
  for (const Probe& probe : probes) {
    const auto known = std::find_if(libraries.begin(), libraries.end(), [&](const FoundLibrary& one) { return one.name == probe.name; });
    if (known == libraries.end()) {
      libraries.push_back(open(probe));
    } else if (known->version.empty() && !known->path.empty()) {
      known->version = open(probe).version;
    }
  }
  return libraries;
}

std::vector<std::string> report_libraries(const std::vector<FoundLibrary>& libraries, Report& report) {
  report.section("libraries");
  std::string problem;
  if (const R1CudaModule* module = find_cuda_module(&problem)) {
    report.line("libr1_cuda.so", Outcome::kFound, std::string("for ") + module->description);
  } else {
    report.line("libr1_cuda.so", Outcome::kNotFound, problem);
  }
  std::vector<std::string> missing;
  for (const FoundLibrary& library : libraries) {
    const Json details = {{"path", library.path}, {"version", library.version}};
    if (library.path.empty()) {
      if (library.is_of_module) missing.push_back(library.name);
      report.line(library.name, Outcome::kNotFound, library.problem, details);
    } else {
      report.line(library.name, Outcome::kFound, fmt::format("{} {}", library.version, library.path), details);
    }
  }
  return missing;
}

}  // namespace r1::gpu

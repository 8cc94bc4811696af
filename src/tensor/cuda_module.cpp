#include "tensor/cuda_module.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/progress.h"
#include "base/strings.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModuleFile = "libr1_cuda.so";

struct LoadedModule {
  const R1CudaModule* module = nullptr;
  std::string problem;
};

LoadedModule open_module(const fs::path& file) {
  // Its symbols stay its own: the module holds a copy of the tensor code.
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {nullptr, ::dlerror()};
  const auto entry = reinterpret_cast<const R1CudaModule* (*)()>(::dlsym(library, "r1_cuda_module"));
  if (entry != nullptr && entry()->abi_version == R1_CUDA_ABI_VERSION) return {entry(), {}};
  return {nullptr, file.string() + " belongs to another build"};
}

LoadedModule load_module() {
  if (const char* file = std::getenv("R1_CUDA_MODULE"); file != nullptr && *file != '\0') return open_module(file);
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {folder / kModuleFile, folder / ".." / "bin" / kModuleFile, folder / ".." / "lib" / kModuleFile}) {
    if (fs::exists(place, error)) return open_module(place);
  }
  return {nullptr, fmt::format("the CUDA module {} is not beside the program: build it where nvcc is found (R1_CUDA=ON)", kModuleFile)};
}

const LoadedModule& loaded_module() {
  static const LoadedModule loaded = load_module();
  return loaded;
}

class CudaGraph : public RecordedWork {
 public:
  CudaGraph(const R1CudaModule& module, int device, void* graph) : module_(module), device_(device), graph_(graph) {}
  ~CudaGraph() override { module_.forget_graph(graph_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  void replay() override { check_cuda(module_.replay(device_, graph_), "CUDA graph"); }

 private:
  const R1CudaModule& module_;
  int device_;
  void* graph_;
};

class CudaRecorder : public WorkRecorder {
 public:
  CudaRecorder(const R1CudaModule& module, int device) : module_(module), device_(device) {}

  std::unique_ptr<RecordedWork> record(const std::function<void()>& ops) override {
    check_cuda(module_.begin_recording(device_), "CUDA graph");
    void* graph = nullptr;
    try {
      ops();
    } catch (...) {
      module_.end_recording(device_, &graph);  // the stream must be as before; what went wrong is known already
      if (graph != nullptr) module_.forget_graph(graph);
      throw;
    }
    check_cuda(module_.end_recording(device_, &graph), "CUDA graph");
    return std::make_unique<CudaGraph>(module_, device_, graph);
  }

 private:
  const R1CudaModule& module_;
  int device_;
};

class CudaSource : public MemorySource {
 public:
  explicit CudaSource(int device) : module_(cuda_module()), device_(device), recorder_(module_, device) {
    if (const char* problem = module_.open_device(device)) fail(ErrorKind::kUsage, "CUDA device {}: {}", device, problem);
  }
  Device device() const override { return {DeviceKind::kCuda, device_}; }

  void* allocate(std::size_t bytes) override {
    void* memory = nullptr;
    if (const char* problem = module_.allocate(device_, bytes, &memory)) {
      fail(ErrorKind::kMemory,
           "out of memory on CUDA device {}: asked for {} ({}); smaller batches, shorter sequences or more ranks take less; "
           "--plan shows what takes how much",
           device_, format_bytes(static_cast<double>(bytes)), problem);
    }
    return memory;
  }
  void release(void* memory, std::size_t) noexcept override { module_.release(device_, memory); }
  WorkRecorder* recorder() override { return module_.begin_recording != nullptr ? &recorder_ : nullptr; }
  std::unique_ptr<MemorySource> sibling() const override { return std::make_unique<CudaSource>(device_); }

 private:
  const R1CudaModule& module_;
  int device_;
  CudaRecorder recorder_;
};

}  // namespace

const R1CudaModule* find_cuda_module(std::string* problem) {
  const LoadedModule& loaded = loaded_module();
  if (problem != nullptr) *problem = loaded.problem;
  return loaded.module;
}

const R1CudaModule& cuda_module() {
  const LoadedModule& loaded = loaded_module();
  if (loaded.module == nullptr) fail(ErrorKind::kUsage, "CUDA cannot be used: {}", loaded.problem);
  return *loaded.module;
}

int count_cuda_devices(std::string* problem) {
  const R1CudaModule* module = find_cuda_module(problem);
  if (module == nullptr) return 0;
  std::int32_t count = 0;
  const char* failure = module->count_devices(&count);
  if (problem != nullptr) *problem = failure != nullptr ? failure : count == 0 ? "the driver shows no device" : "";
  return failure != nullptr ? 0 : count;
}

std::unique_ptr<MemorySource> make_cuda_source(int device) { return std::make_unique<CudaSource>(device); }

void check_cuda(const char* problem, const char* what) {
  if (problem != nullptr) fail(ErrorKind::kInternal, "{}: {}", what, problem);
}

void cuda_copy(int device, R1CudaCopy kind, void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t row_bytes,
               std::size_t num_rows, const char* what) {
  const DeviceWait waiting;
  check_cuda(cuda_module().copy(device, kind, to, to_pitch, from, from_pitch, row_bytes, num_rows), what);
}

}  // namespace r1

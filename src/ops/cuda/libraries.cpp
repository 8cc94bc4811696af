#include "ops/cuda/libraries.h"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/error.h"

#define R1_TEXT_OF(x) #x
#define R1_TEXT(x) R1_TEXT_OF(x)

namespace r1::cuda {
namespace {

struct Library {
  const char* name = "";
  void* handle = nullptr;
  std::string path, problem;
  int version = 0;
};

/// Where toolkits and packages put libraries that the system's loader does not know: R1_CUDA_LIBRARIES (folders with colons between them)
/// comes first.
std::vector<std::string> library_folders() {
  std::vector<std::string> folders;
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  const std::string listed = variable("R1_CUDA_LIBRARIES");
  for (std::size_t begin = 0; begin < listed.size();) {
    const std::size_t end = std::min(listed.find(':', begin), listed.size());
    if (end > begin) folders.push_back(listed.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const char* root : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const std::string value = variable(root); !value.empty()) folders.push_back(value + "/lib64");
  }
  folders.emplace_back("/usr/local/cuda/lib64");
  return folders;
}

/// As the loader finds it, else from one of the folders.
void* open_file(const char* file, std::string& problem) {
  if (void* handle = ::dlopen(file, RTLD_NOW | RTLD_LOCAL)) return handle;
  problem = ::dlerror();
  for (const std::string& folder : library_folders()) {
    const std::string path = folder + "/" + file;
    if (::access(path.c_str(), R_OK) != 0) continue;
    if (void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    problem = ::dlerror();
  }
  return nullptr;
}

/// The first of the files that opens.
Library open_library(const char* name, std::initializer_list<const char*> files) {
  Library library{name, nullptr, {}, {}, 0};
  for (const char* file : files) {
    library.handle = open_file(file, library.problem);
    if (library.handle == nullptr) continue;
    const link_map* map = nullptr;
    library.path = ::dlinfo(library.handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr ? map->l_name : file;
    library.problem.clear();
    break;
  }
  return library;
}

template <typename Function>
void find(Library& library, const char* symbol, Function& function) {
  if (library.handle == nullptr) return;
  function = reinterpret_cast<Function>(::dlsym(library.handle, symbol));
  if (function != nullptr) return;
  library.problem = library.path + " lacks " + symbol;
  library.handle = nullptr;
}

struct LoadedBlasLt {
  Library library = open_library("cuBLASLt", {"libcublasLt.so." R1_TEXT(CUBLAS_VER_MAJOR)});
  BlasLt functions{};
  LoadedBlasLt() {
    find(library, "cublasLtCreate", functions.create);
    find(library, "cublasLtMatmul", functions.matmul);
    find(library, "cublasLtMatmulDescCreate", functions.desc_create);
    find(library, "cublasLtMatmulDescDestroy", functions.desc_destroy);
    find(library, "cublasLtMatmulDescSetAttribute", functions.desc_set);
    find(library, "cublasLtMatrixLayoutCreate", functions.layout_create);
    find(library, "cublasLtMatrixLayoutDestroy", functions.layout_destroy);
    find(library, "cublasLtMatmulPreferenceCreate", functions.preference_create);
    find(library, "cublasLtMatmulPreferenceSetAttribute", functions.preference_set);
    find(library, "cublasLtMatmulPreferenceDestroy", functions.preference_destroy);
    find(library, "cublasLtMatmulAlgoGetHeuristic", functions.heuristic);
    find(library, "cublasLtMatmulAlgoCheck", functions.algorithm_check);
    find(library, "cublasLtGetStatusString", functions.status_text);
    find(library, "cublasLtGetVersion", functions.version);
    if (library.handle != nullptr) library.version = static_cast<int>(functions.version());
  }
};

struct LoadedNccl {
  Library library = open_library("NCCL", {"libnccl.so.2"});
  Nccl functions{};
  LoadedNccl() {
    find(library, "ncclGetUniqueId", functions.unique_id);
    find(library, "ncclCommInitRank", functions.init);
    find(library, "ncclCommDestroy", functions.destroy);
    find(library, "ncclCommAbort", functions.abort);
    find(library, "ncclCommGetAsyncError", functions.async_error);
    find(library, "ncclGroupStart", functions.group_start);
    find(library, "ncclGroupEnd", functions.group_end);
    find(library, "ncclAllReduce", functions.all_reduce);
    find(library, "ncclReduce", functions.reduce);
    find(library, "ncclBroadcast", functions.broadcast);
    find(library, "ncclSend", functions.send);
    find(library, "ncclRecv", functions.receive);
    find(library, "ncclGetErrorString", functions.error_text);
    find(library, "ncclGetVersion", functions.version);
    if (library.handle != nullptr) functions.version(&library.version);
  }
};

/// Asked for by name, to be named in diagnoses: the driver is what the runtime inside this module talks to.
const Library& driver() {
  static const Library library = open_library("CUDA driver", {"libcuda.so.1"});
  return library;
}

/// Opened for its version alone when the unit that calls it is not part of this module.
const Library& loaded_cudnn() {
  static const Library library = [] {
    Library opened = open_library("cuDNN", {"libcudnn.so.9"});
    std::size_t (*version)() = nullptr;
    find(opened, "cudnnGetVersion", version);
    if (opened.handle != nullptr) opened.version = static_cast<int>(version());
#if !defined(R1_HAS_CUDNN)
    if (opened.handle != nullptr) opened.problem = "not called: this module was built without its cuDNN unit (make build with cudnn.h)";
    opened.handle = nullptr;
#endif
    return opened;
  }();
  return library;
}

LoadedBlasLt& loaded_blas_lt() {
  static auto* loaded = new LoadedBlasLt;
  return *loaded;
}
LoadedNccl& loaded_nccl() {
  static auto* loaded = new LoadedNccl;
  return *loaded;
}

}  // namespace

void* cudnn_library() { return loaded_cudnn().handle; }

const BlasLt& blas_lt() {
  const LoadedBlasLt& loaded = loaded_blas_lt();
  if (loaded.library.handle == nullptr) fail(ErrorKind::kUsage, "matrix products on CUDA need cuBLASLt: {}", loaded.library.problem);
  return loaded.functions;
}

const Nccl& nccl() {
  const LoadedNccl& loaded = loaded_nccl();
  if (loaded.library.handle == nullptr) fail(ErrorKind::kUsage, "ranks on several GPUs need NCCL: {}", loaded.library.problem);
  return loaded.functions;
}

bool describe_library(int number, R1CudaLibrary& result) {
  const Library* libraries[] = {&driver(), &loaded_blas_lt().library, &loaded_cudnn(), &loaded_nccl().library};
  if (number < 0 || number >= static_cast<int>(std::size(libraries))) return false;
  const Library& library = *libraries[number];
  result = {};
  std::snprintf(result.name, sizeof result.name, "%s", library.name);
  std::snprintf(result.path, sizeof result.path, "%s", library.handle != nullptr ? library.path.c_str() : "");
  std::snprintf(result.problem, sizeof result.problem, "%s", library.problem.c_str());
  result.version = library.version;
  return true;
}

}  // namespace r1::cuda

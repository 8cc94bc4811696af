// The functions that cuDNN's frontend calls by name, so that nothing has to be linked: those of cuDNN come from the library opened at run
// time; those of NVRTC belong to engines of the frontend that are not used here, and say so.
#if defined(R1_HAS_CUDNN)
#include <cudnn.h>
#include <dlfcn.h>
#include <nvrtc.h>

#include "base/error.h"
#include "ops/cuda/libraries.h"

namespace {

template <typename Function>
Function* symbol(const char* name) {
  void* library = r1::cuda::cudnn_library();
  auto* function = library == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(library, name));
  if (function == nullptr) r1::fail(r1::ErrorKind::kUsage, "cuDNN: {} is not there", name);
  return function;
}

}  // namespace

#define R1_CUDNN(result, name, parameters, arguments)            \
  result name parameters {                                       \
    static auto* const function = symbol<decltype(name)>(#name); \
    return function arguments;                                   \
  }

extern "C" {

// clang-format off
R1_CUDNN(cudnnStatus_t, cudnnBackendCreateDescriptor, (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* made), (type, made))
R1_CUDNN(cudnnStatus_t, cudnnBackendDestroyDescriptor, (cudnnBackendDescriptor_t descriptor), (descriptor))
R1_CUDNN(cudnnStatus_t, cudnnBackendExecute, (cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t variant),
         (handle, plan, variant))
R1_CUDNN(cudnnStatus_t, cudnnBackendFinalize, (cudnnBackendDescriptor_t descriptor), (descriptor))
R1_CUDNN(cudnnStatus_t, cudnnBackendGetAttribute, (const cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
         cudnnBackendAttributeType_t type, int64_t requested, int64_t* count, void* elements),
         (descriptor, name, type, requested, count, elements))
R1_CUDNN(cudnnStatus_t, cudnnBackendSetAttribute, (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
         cudnnBackendAttributeType_t type, int64_t count, const void* elements), (descriptor, name, type, count, elements))
R1_CUDNN(const char*, cudnnGetErrorString, (cudnnStatus_t status), (status))
R1_CUDNN(void, cudnnGetLastErrorString, (char* text, size_t size), (text, size))
R1_CUDNN(cudnnStatus_t, cudnnGetStream, (cudnnHandle_t handle, cudaStream_t* stream), (handle, stream))
R1_CUDNN(size_t, cudnnGetVersion, (), ())
R1_CUDNN(cudnnStatus_t, cudnnCreate, (cudnnHandle_t* handle), (handle))
R1_CUDNN(cudnnStatus_t, cudnnSetStream, (cudnnHandle_t handle, cudaStream_t stream), (handle, stream))
// clang-format on

nvrtcResult nvrtcCreateProgram(nvrtcProgram*, const char*, const char*, int, const char* const*, const char* const*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcDestroyProgram(nvrtcProgram*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcCompileProgram(nvrtcProgram, int, const char* const*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetCUBIN(nvrtcProgram, char*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram, size_t*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetProgramLog(nvrtcProgram, char*) { return NVRTC_ERROR_INTERNAL_ERROR; }
nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram, size_t*) { return NVRTC_ERROR_INTERNAL_ERROR; }
}
#endif

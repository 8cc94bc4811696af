// libr1_cuda.so: what tensor/cuda_abi.h promises.
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "base/error.h"
#include "cuda/device.h"
#include "cuda/group.h"
#include "ops/cuda/attention_cudnn.h"
#include "ops/cuda/libraries.h"
#include "ops/cuda/linear.h"
#include "ops/cuda/table.h"
#include "ops/cuda_layout.h"

namespace r1::cuda {
namespace {

/// Null, or what went wrong: no exception may leave the module here.
template <typename Body>
const char* guarded(Body&& body) noexcept {
  thread_local std::string problem;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    problem = error.what();
  } catch (...) {
    problem = "unknown failure";
  }
  return problem.c_str();
}

Group& group_of(void* group) { return *static_cast<Group*>(group); }

const char* count_devices(std::int32_t* count) {
  return guarded([&] {
    *count = 0;
    const cudaError_t result = cudaGetDeviceCount(count);
    if (result == cudaErrorInsufficientDriver || result == cudaErrorStubLibrary) {
      fail(ErrorKind::kUsage, "no NVIDIA driver, or one older than this module's CUDA {}.{}", CUDART_VERSION / 1000,
           CUDART_VERSION % 1000 / 10);
    }
    if (result == cudaErrorNoDevice) fail(ErrorKind::kUsage, "the driver shows no device");
    check(result, "CUDA");
  });
}

const char* describe_device(std::int32_t index, R1CudaDevice* result) {
  return guarded([&] {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "device properties");
    *result = {};
    std::snprintf(result->name, sizeof result->name, "%s", properties.name);
    result->compute_capability = properties.major * 10 + properties.minor;
    result->num_multiprocessors = properties.multiProcessorCount;
    std::memcpy(result->uuid, &properties.uuid, sizeof result->uuid);
    device(index);
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "device memory");
    result->free_bytes = free;
    result->total_bytes = total;
  });
}

const char* open_device(std::int32_t index) {
  return guarded([&] {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "device properties");
    if (properties.major < 8) {
      fail(ErrorKind::kUsage, "{} has compute capability {}.{}, this module needs 8.0 or higher", properties.name, properties.major,
           properties.minor);
    }
    device(index);
  });
}

const void* op_table(std::uint64_t layout) { return layout == ops::cuda_layout() ? &ops::cuda_backend_table() : nullptr; }

const R1CudaModule kModule{
    .abi_version = R1_CUDA_ABI_VERSION,
    .description = R1_CUDA_DESCRIPTION,
    .count_devices = count_devices,
    .describe_device = describe_device,
    .describe_library = [](std::int32_t number, R1CudaLibrary* result) { return describe_library(number, *result); },
    .open_device = open_device,
    .allocate = [](std::int32_t index, std::size_t bytes,
                   void** memory) { return guarded([&] { *memory = device(index).allocate(bytes); }); },
    .release = [](std::int32_t index, void* memory) { guarded([&] { device(index).release(memory); }); },
    .copy =
        [](std::int32_t index, R1CudaCopy kind, void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
           std::size_t row_bytes, std::size_t num_rows) {
          return guarded([&] {
            device(index).copy(kind, static_cast<std::byte*>(to), to_pitch, static_cast<const std::byte*>(from), from_pitch, row_bytes,
                               num_rows);
          });
        },
    .synchronize = [](std::int32_t index) { return guarded([&] { device(index).synchronize(); }); },
    .begin_timing = [](std::int32_t index) { return guarded([&] { device(index).begin_timing(); }); },
    .end_timing = [](std::int32_t index, double* seconds) { return guarded([&] { *seconds = device(index).end_timing(); }); },
    .begin_recording = [](std::int32_t index) { return guarded([&] { device(index).begin_recording(); }); },
    .end_recording =
        [](std::int32_t index, void** graph) {
          *graph = nullptr;
          return guarded([&] { *graph = device(index).end_recording(); });
        },
    .replay =
        [](std::int32_t index, void* graph) {
          return guarded([&] { check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), device(index).stream()), "CUDA graph"); });
        },
    .forget_graph = [](void* graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); },
    .op_table = op_table,
    .choose_attention = [](R1CudaAttention choice) { return guarded([&] { ops::cuda::choose_attention(choice); }); },
    .set_batch_invariant = [](bool on) { ops::cuda::set_batch_invariant(on); },
    .choose_small_products = [](R1CudaSmallProducts choice) { ops::cuda::choose_small_products(choice); },
    .make_group_id =
        [](std::uint8_t* id) {
          static_assert(sizeof(ncclUniqueId) == R1_CUDA_GROUP_ID_BYTES);
          return guarded([&] {
            ncclUniqueId made{};
            if (nccl().unique_id(&made) != ncclSuccess) fail(ErrorKind::kComm, "NCCL cannot make a group's id");
            std::memcpy(id, &made, sizeof made);
          });
        },
    .join_group =
        [](std::int32_t index, const std::uint8_t* id, std::int32_t rank, std::int32_t size, void** group) {
          return guarded([&] {
            ncclUniqueId known{};
            std::memcpy(&known, id, sizeof known);
            *group = new Group(device(index), known, rank, size);
          });
        },
    .leave_group =
        [](void* group, bool abandon) {
          group_of(group).leave(abandon);
          delete static_cast<Group*>(group);
        },
    .begin_transfers = [](void* group) { return guarded([&] { group_of(group).begin(); }); },
    .end_transfers = [](void* group, void** event) { return guarded([&] { *event = group_of(group).end(); }); },
    .all_reduce = [](void* group, const void* from, void* to, std::uint64_t count, R1CudaElement element,
                     R1CudaReduce reduce) { return guarded([&] { group_of(group).all_reduce(from, to, count, element, reduce); }); },
    .reduce = [](void* group, const void* from, void* to, std::uint64_t count, R1CudaElement element, R1CudaReduce reduce,
                 std::int32_t root) { return guarded([&] { group_of(group).reduce(from, to, count, element, reduce, root); }); },
    .broadcast = [](void* group, const void* from, void* to, std::uint64_t count, R1CudaElement element,
                    std::int32_t root) { return guarded([&] { group_of(group).broadcast(from, to, count, element, root); }); },
    .send = [](void* group, const void* from, std::uint64_t bytes,
               std::int32_t peer) { return guarded([&] { group_of(group).send(from, bytes, peer); }); },
    .receive = [](void* group, void* to, std::uint64_t bytes,
                  std::int32_t peer) { return guarded([&] { group_of(group).receive(to, bytes, peer); }); },
    .wait_event = [](void* group, void* event) { return guarded([&] { group_of(group).wait(static_cast<cudaEvent_t>(event)); }); },
    .query_event =
        [](void*, void* event, bool* is_complete) {
          return guarded([&] {
            const cudaError_t result = cudaEventQuery(static_cast<cudaEvent_t>(event));
            *is_complete = result == cudaSuccess;
            if (result == cudaErrorNotReady) {
              cudaGetLastError();  // no error, but kept as one
            } else {
              check(result, "transfer");
            }
          });
        },
    .group_error = [](void* group) { return guarded([&] { group_of(group).check_error(); }); },
};

}  // namespace
}  // namespace r1::cuda

extern "C" __attribute__((visibility("default"))) const R1CudaModule* r1_cuda_module() { return &r1::cuda::kModule; }

#include "cuda/group.h"

#include "base/error.h"

namespace r1::cuda {
namespace {

void check_nccl(const Nccl& nccl, ncclResult_t result, const char* what) {
  if (result != ncclSuccess && result != ncclInProgress) fail(ErrorKind::kComm, "{}: NCCL: {}", what, nccl.error_text(result));
}

ncclDataType_t nccl_type(R1CudaElement element) {
  switch (element) {
    case R1_CUDA_F32:
      return ncclFloat32;
    case R1_CUDA_F64:
      return ncclFloat64;
    case R1_CUDA_I32:
      return ncclInt32;
    case R1_CUDA_I64:
      return ncclInt64;
    case R1_CUDA_BF16:
      return ncclBfloat16;
    case R1_CUDA_BYTE:
      return ncclUint8;
  }
  fail(ErrorKind::kInternal, "a transfer of an unknown element type");
}

ncclRedOp_t nccl_operation(R1CudaReduce reduce) { return reduce == R1_CUDA_SUM ? ncclSum : reduce == R1_CUDA_MAX ? ncclMax : ncclMin; }

}  // namespace

Group::Group(Device& device, const ncclUniqueId& id, int rank, int size) : device_(device), nccl_(nccl()) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
  check_nccl(nccl_, nccl_.init(&communicator_, size, id, rank), "joining the ranks' GPUs");
}

void Group::leave(bool abandon) noexcept {
  if (abandon) {
    nccl_.abort(communicator_);
  } else {
    cudaStreamSynchronize(stream_);
    nccl_.destroy(communicator_);
  }
  cudaStreamDestroy(stream_);
}

void Group::begin() {
  cudaEvent_t computed = nullptr;
  check(cudaEventCreateWithFlags(&computed, cudaEventDisableTiming), "event");
  check(cudaEventRecord(computed, device_.stream()), "event");
  check(cudaStreamWaitEvent(stream_, computed, 0), "event");
  check(cudaEventDestroy(computed), "event");  // given back when the stream has passed it
  check_nccl(nccl_, nccl_.group_start(), "transfer");
}

cudaEvent_t Group::end() {
  check_nccl(nccl_, nccl_.group_end(), "transfer");
  cudaEvent_t complete = nullptr;
  check(cudaEventCreateWithFlags(&complete, cudaEventDisableTiming), "event");
  check(cudaEventRecord(complete, stream_), "event");
  return complete;
}

void Group::all_reduce(const void* from, void* to, std::size_t count, R1CudaElement element, R1CudaReduce reduce) {
  check_nccl(nccl_, nccl_.all_reduce(from, to, count, nccl_type(element), nccl_operation(reduce), communicator_, stream_), "all_reduce");
}

void Group::reduce(const void* from, void* to, std::size_t count, R1CudaElement element, R1CudaReduce reduce, int root) {
  check_nccl(nccl_, nccl_.reduce(from, to, count, nccl_type(element), nccl_operation(reduce), root, communicator_, stream_), "reduce");
}

void Group::broadcast(const void* from, void* to, std::size_t count, R1CudaElement element, int root) {
  check_nccl(nccl_, nccl_.broadcast(from, to, count, nccl_type(element), root, communicator_, stream_), "broadcast");
}

void Group::send(const void* from, std::size_t bytes, int peer) {
  check_nccl(nccl_, nccl_.send(from, bytes, ncclUint8, peer, communicator_, stream_), "send");
}

void Group::receive(void* to, std::size_t bytes, int peer) {
  check_nccl(nccl_, nccl_.receive(to, bytes, ncclUint8, peer, communicator_, stream_), "receive");
}

void Group::wait(cudaEvent_t event) {
  check(cudaStreamWaitEvent(device_.stream(), event, 0), "event");
  check(cudaEventDestroy(event), "event");
}

void Group::check_error() {
  ncclResult_t result = ncclSuccess;
  check_nccl(nccl_, nccl_.async_error(communicator_, &result), "ranks on several GPUs");
  check_nccl(nccl_, result, "ranks on several GPUs");
}

}  // namespace r1::cuda

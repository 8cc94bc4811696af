// Transfers between ranks through NCCL, on a stream of their own.
#pragma once

#include "cuda/device.h"
#include "ops/cuda/libraries.h"

namespace r1::cuda {

class Group {
 public:
  /// Collective over the ranks that got the id.
  Group(Device& device, const ncclUniqueId& id, int rank, int size);
  void leave(bool abandon) noexcept;

  void begin();
  /// The event that is complete with all transfers since begin().
  cudaEvent_t end();
  void all_reduce(const void* from, void* to, std::size_t count, R1CudaElement element, R1CudaReduce reduce);
  void reduce(const void* from, void* to, std::size_t count, R1CudaElement element, R1CudaReduce reduce, int root);
  void broadcast(const void* from, void* to, std::size_t count, R1CudaElement element, int root);
  void send(const void* from, std::size_t bytes, int peer);
  void receive(void* to, std::size_t bytes, int peer);
  /// The device's stream goes on after the event, which is freed.
  void wait(cudaEvent_t event);
  /// Throws Error(kComm) when something has failed on the group's stream.
  void check_error();

 private:
  Device& device_;
  const Nccl& nccl_;
  ncclComm_t communicator_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

}  // namespace r1::cuda

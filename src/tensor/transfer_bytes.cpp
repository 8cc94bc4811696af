#include "tensor/transfer_bytes.h"

#include "tensor/cuda_module.h"

namespace r1 {

void TransferBytes::stage() {
  staged_ = Tensor::host(tensor_.shape(), tensor_.dtype());
  const std::size_t bytes = tensor_.num_bytes();
  if (bytes == 0) return;
  cuda_copy(tensor_.device().index, R1_CUDA_TO_HOST, RawAccess::data(staged_), bytes, RawAccess::data(tensor_), bytes, bytes, 1,
            "copy from the CUDA device for a transfer between ranks");
}

void TransferBytes::publish() {
  const std::size_t bytes = tensor_.num_bytes();
  if (!staged_ || use_ == Use::kRead || bytes == 0) return;
  cuda_copy(tensor_.device().index, R1_CUDA_TO_DEVICE, RawAccess::data(tensor_), bytes, RawAccess::data(staged_), bytes, bytes, 1,
            "copy to the CUDA device after a transfer between ranks");
}

bool copy_on_device(const Tensor& from, std::int64_t from_begin, const Tensor& to, std::int64_t to_begin, std::int64_t count) {
  if (from.device().kind != DeviceKind::kCuda || from.device() != to.device()) return false;
  const std::size_t size = size_of(from.dtype()), bytes = static_cast<std::size_t>(count) * size;
  std::byte* source = RawAccess::data(from) + static_cast<std::size_t>(from_begin) * size;
  std::byte* target = RawAccess::data(to) + static_cast<std::size_t>(to_begin) * size;
  if (bytes == 0 || source == target) return true;
  cuda_copy(from.device().index, R1_CUDA_ON_DEVICE, target, bytes, source, bytes, bytes, 1, "copy on the CUDA device");
  return true;
}

}  // namespace r1

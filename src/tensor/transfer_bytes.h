// The bytes of a tensor while a transfer between ranks reads or writes them. For communicators alone
// (tools/check_layers.py): everything else works on tensors through ops.
#pragma once

#include <span>

#include "tensor/raw_access.h"

namespace r1 {

/// Keeps the tensor's storage alive and, on the guarded test device, its pages open. The tensor must be contiguous.
class TransferBytes {
 public:
  TransferBytes() = default;
  explicit TransferBytes(const Tensor& tensor) : tensor_(tensor) {
    R1_ASSERT(tensor.is_contiguous(), "a transfer needs a contiguous tensor");
    R1_ASSERT(tensor.device().kind != DeviceKind::kCuda, "this transfer is for memory that the host can read");
    tensor_.allocator().source().begin_op();
  }
  ~TransferBytes() {
    if (tensor_.defined()) tensor_.allocator().source().end_op();
  }
  TransferBytes(TransferBytes&& other) noexcept : tensor_(std::move(other.tensor_)) { other.tensor_ = Tensor(); }
  TransferBytes& operator=(TransferBytes&&) = delete;

  const Tensor& tensor() const { return tensor_; }
  std::span<std::byte> bytes() const { return {RawAccess::data(tensor_), tensor_.num_bytes()}; }
  /// Elements [begin, end).
  std::span<std::byte> elements(std::int64_t begin, std::int64_t end) const {
    const std::size_t size = size_of(tensor_.dtype());
    return bytes().subspan(static_cast<std::size_t>(begin) * size, static_cast<std::size_t>(end - begin) * size);
  }

 private:
  Tensor tensor_;
};

}  // namespace r1

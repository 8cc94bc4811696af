// The bytes of a tensor while a transfer between ranks reads or writes them. For communicators alone
// (tools/check_layers.py): everything else works on tensors through ops.
#pragma once

#include <span>

#include "tensor/raw_access.h"

namespace r1 {

/// Keeps the tensor's storage alive and, on the guarded test device, its pages open. The tensor must be contiguous. Of a CUDA tensor the
/// bytes are a copy in host memory, made here; publish() brings what a transfer wrote back to the device.
class TransferBytes {
 public:
  enum class Use : std::uint8_t { kRead, kReadWrite };

  TransferBytes() = default;
  explicit TransferBytes(const Tensor& tensor, Use use = Use::kReadWrite) : tensor_(tensor), use_(use) {
    R1_ASSERT(tensor.is_contiguous(), "a transfer needs a contiguous tensor");
    if (tensor.device().kind == DeviceKind::kCuda) stage();
    tensor_.allocator().source().begin_op();
  }
  ~TransferBytes() {
    if (tensor_.defined()) tensor_.allocator().source().end_op();
  }
  TransferBytes(TransferBytes&& other) noexcept : tensor_(std::move(other.tensor_)), staged_(std::move(other.staged_)), use_(other.use_) {
    other.tensor_ = Tensor();
  }
  TransferBytes& operator=(TransferBytes&&) = delete;

  const Tensor& tensor() const { return tensor_; }
  std::span<std::byte> bytes() const { return {RawAccess::data(staged_ ? staged_ : tensor_), tensor_.num_bytes()}; }
  /// Elements [begin, end).
  std::span<std::byte> elements(std::int64_t begin, std::int64_t end) const {
    const std::size_t size = size_of(tensor_.dtype());
    return bytes().subspan(static_cast<std::size_t>(begin) * size, static_cast<std::size_t>(end - begin) * size);
  }
  /// The transfer is complete: makes its bytes the tensor's. Nothing to do where the host can read the tensor itself.
  void publish();

 private:
  void stage();

  Tensor tensor_, staged_;
  Use use_ = Use::kReadWrite;
};

/// Where element `begin` of a contiguous CUDA tensor lies, for transfers that the device makes itself.
inline void* device_address(const Tensor& tensor, std::int64_t begin = 0) {
  R1_ASSERT(tensor.device().kind == DeviceKind::kCuda && tensor.is_contiguous(), "a transfer of the device needs a contiguous CUDA tensor");
  return RawAccess::data(tensor) + static_cast<std::size_t>(begin) * size_of(tensor.dtype());
}

/// to[to_begin + i] = from[from_begin + i] for CUDA tensors of one device, in stream order. False when they are not: the bytes are
/// the host's to copy.
bool copy_on_device(const Tensor& from, std::int64_t from_begin, const Tensor& to, std::int64_t to_begin, std::int64_t count);

}  // namespace r1

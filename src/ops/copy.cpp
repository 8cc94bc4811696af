#include "ops/copy.h"

#include <cstring>

#include "ops/checks.h"
#include "ops/op_scope.h"
#include "tensor/cuda_module.h"
#include "tensor/raw_access.h"
#include "tensor/unbacked_memory.h"

namespace r1::ops {
namespace {

void copy_rows(const Tensor& from, const Tensor& to) {
  if (from.num_elements() == 0 || !is_backed(RawAccess::data(from)) || !is_backed(RawAccess::data(to))) return;
  if (from.is_contiguous() && to.is_contiguous()) {
    std::memcpy(RawAccess::data(to), RawAccess::data(from), from.num_bytes());
    return;
  }
  const std::size_t element = size_of(from.dtype());
  const auto num_rows = static_cast<std::size_t>(from.dim(0));
  const std::size_t row_bytes = from.num_bytes() / num_rows;
  for (std::size_t row = 0; row < num_rows; ++row) {
    std::memcpy(RawAccess::data(to) + row * static_cast<std::size_t>(to.row_stride()) * element,
                RawAccess::data(from) + row * static_cast<std::size_t>(from.row_stride()) * element, row_bytes);
  }
}

// Between host memory and a CUDA device.
void copy_cuda(const ExecContext& ctx, R1CudaCopy kind, const Tensor& from, const Tensor& to) {
  if (from.num_elements() == 0) return;
  const std::size_t element = size_of(from.dtype());
  const bool is_one_piece = from.is_contiguous() && to.is_contiguous();
  const std::size_t num_rows = is_one_piece ? 1 : static_cast<std::size_t>(from.dim(0)), row_bytes = from.num_bytes() / num_rows;
  const auto pitch = [&](const Tensor& x) { return is_one_piece ? row_bytes : static_cast<std::size_t>(x.row_stride()) * element; };
  cuda_copy(ctx.device().index, kind, RawAccess::data(to), pitch(to), RawAccess::data(from), pitch(from), row_bytes, num_rows,
            kind == R1_CUDA_TO_HOST ? "copy from the CUDA device" : "copy to the CUDA device");
}

bool is_cuda(const ExecContext& ctx) { return ctx.device().kind == DeviceKind::kCuda; }

}  // namespace

Tensor to_host(const ExecContext& ctx, const Tensor& x) {
  Tensor host = Tensor::host(x.shape(), x.dtype());
  OpScope scope(ctx, "to_host");
  if (is_cuda(ctx)) {
    copy_cuda(ctx, R1_CUDA_TO_HOST, x, host);
  } else {
    copy_rows(x, host);
  }
  return host;
}

void from_host(const ExecContext& ctx, const Tensor& host, Tensor& device) {
  require_dtype("from_host", "device", device, host.dtype());
  require_shape("from_host", "device", device, host.shape());
  require_contiguous("from_host", "host", host);
  if (host.device().kind != DeviceKind::kHost) fail(ErrorKind::kUsage, "from_host: the source is not a host tensor");
  OpScope scope(ctx, "from_host");
  if (is_cuda(ctx)) {
    copy_cuda(ctx, R1_CUDA_TO_DEVICE, host, device);
  } else {
    copy_rows(host, device);
  }
}

Tensor to_device(const ExecContext& ctx, const Tensor& host) {
  Tensor device = ctx.empty(host.shape(), host.dtype());
  from_host(ctx, host, device);
  return device;
}

}  // namespace r1::ops

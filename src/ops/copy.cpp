#include "ops/copy.h"

#include <cstring>

#include "ops/checks.h"
#include "ops/op_scope.h"
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

void require_cpu(const ExecContext& ctx, const char* op) {
  if (ctx.device().kind == DeviceKind::kCuda) fail(ErrorKind::kUsage, "{}: this program has no CUDA module", op);
}

}  // namespace

Tensor to_host(const ExecContext& ctx, const Tensor& x) {
  require_cpu(ctx, "to_host");
  Tensor host = Tensor::host(x.shape(), x.dtype());
  OpScope scope(ctx, "to_host");
  copy_rows(x, host);
  return host;
}

void from_host(const ExecContext& ctx, const Tensor& host, Tensor& device) {
  require_cpu(ctx, "from_host");
  require_dtype("from_host", "device", device, host.dtype());
  require_shape("from_host", "device", device, host.shape());
  require_contiguous("from_host", "host", host);
  if (host.device().kind != DeviceKind::kHost) fail(ErrorKind::kUsage, "from_host: the source is not a host tensor");
  OpScope scope(ctx, "from_host");
  copy_rows(host, device);
}

Tensor to_device(const ExecContext& ctx, const Tensor& host) {
  Tensor device = ctx.empty(host.shape(), host.dtype());
  from_host(ctx, host, device);
  return device;
}

}  // namespace r1::ops

// The only ways in and out of device memory.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// A contiguous host copy; waits for the device.
Tensor to_host(const ExecContext& ctx, const Tensor& x);
/// device (same shape and dtype, rows may have a stride) = host (contiguous host tensor).
void from_host(const ExecContext& ctx, const Tensor& host, Tensor& device);
/// A new device tensor with the host tensor's content.
Tensor to_device(const ExecContext& ctx, const Tensor& host);

}  // namespace r1::ops

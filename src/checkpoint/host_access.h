// Copies between the device and the host, for code that knows nothing of ops.
#pragma once

#include <functional>

#include "tensor/tensor.h"

namespace r1::checkpoint {

struct HostAccess {
  std::function<Tensor(const Tensor& device)> to_host;
  std::function<void(const Tensor& host, Tensor& device)> from_host;
};

}  // namespace r1::checkpoint

// cuDNN's graphs of attention over packed sequences. The one unit that includes cuDNN's frontend (header-only, 45 s to compile).
#pragma once

#include <cudnn.h>

#include <memory>
#include <string>

#include "ops/cuda/attention_cudnn.h"

namespace r1::ops::cuda {

/// Addresses on the device. offsets: one array of num_sequences + 1 i32 per buffer, in the order below; lengths: num_sequences i32.
struct SdpaBuffers {
  enum { kQ, kK, kV, kOut, kLse, kGradOut, kGradQ, kGradK, kGradV, kCount };
  void* address[kCount] = {};
  void* offsets[kCount] = {};
  void* lengths = nullptr;
};

class SdpaGraph {
 public:
  virtual ~SdpaGraph() = default;
  virtual std::int64_t workspace_bytes() const = 0;
  /// On the handle's stream. Empty, or what cuDNN says.
  virtual std::string run(cudnnHandle_t handle, const SdpaBuffers& buffers, void* workspace) = 0;
};

/// A device that is not here, in cuDNN's JSON: graphs are then proven as far as their engines' support, and cannot be run.
struct AbsentDevice {
  std::string json;
  int compute_capability = 0;  // 90: 9.0
};

/// Null with cuDNN's reason in `problem` when it has no engine for the shape. With absent: always null; `problem` is empty when the device
/// would be served.
std::unique_ptr<SdpaGraph> make_sdpa_graph(cudnnHandle_t handle, const SdpaShape& shape, std::string& problem,
                                           const AbsentDevice* absent = nullptr);

}  // namespace r1::ops::cuda

// Where attention finds the keys of earlier tokens: inside the packed batch, or in a paged cache.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace r1::nn {

/// Sequence borders of a batch whose tokens are packed into one axis. An argument of the forward pass, not a global.
struct AttentionContext {
  Tensor cu_seqlens;  // [num_sequences + 1] i32 on the device: first token of each sequence, last = num_tokens

  static AttentionContext varlen(Tensor cu_seqlens) { return {std::move(cu_seqlens)}; }
};

}  // namespace r1::nn

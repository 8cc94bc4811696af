// Small types that several op contracts share.
#pragma once

#include <cstdint>

#include "tensor/exec_context.h"
#include "tensor/tensor.h"

namespace r1::ops {

/// Whether a gradient overwrites its buffer or is added to it (out = out + value, one rounding per element).
enum class Accumulate : std::uint8_t { kNo, kYes };

/// Label of a position that does not count.
inline constexpr std::int32_t kIgnoreIndex = -100;

/// Heads of an attention layer. Hq = num_attention_heads is a multiple of Hkv = num_key_value_heads.
struct AttentionHeads {
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;
  float scale = 0;           // factor on q·k, usually head_dim^-0.5
  int longest_sequence = 0;  // tokens, as the host knows it without asking the device; 0: as many as the batch has
};

}  // namespace r1::ops

// Draws the next token of each sequence from the logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sequence.h"

namespace r1::engine {

struct DrawnTokens {
  std::vector<std::int32_t> ids;
  std::vector<float> log_probs;
};

/// logits [sequences.size(), vocab_size], row i belongs to sequence i; its draw depends on (seed, row id, sample, position) alone.
/// May write -inf into logits (min_new_tokens). Throws Error(kNumeric) for a row whose highest logit is NaN or infinite.
DrawnTokens draw_tokens(const ExecContext& ctx, Tensor& logits, std::span<Sequence* const> sequences, std::uint64_t seed);

}  // namespace r1::engine

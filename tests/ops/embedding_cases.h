// Cases of embedding and embedding_backward.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

struct EmbeddingCase {
  std::int64_t num_tokens, vocab_size, hidden_size;
};

// More tokens than the 128 ids that the CUDA kernel compares at once; more columns than one block takes; an odd size.
inline const std::vector<EmbeddingCase> kEmbeddingCases = {{1, 3, 1}, {7, 5, 24}, {150, 11, 33}, {300, 40, 64}, {5, 4, 1032}};

// f32 sums of up to 70 gradients of an id.
inline constexpr double kEmbeddingTolerance = 2e-6;

}  // namespace r1::test

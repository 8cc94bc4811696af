// Cases of write_kv_cache and paged_attention.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

struct PagedCase {
  int num_attention_heads, num_key_value_heads, head_dim, block_size;
  std::vector<std::int32_t> contexts, new_tokens;  // of each sequence
};

// Groups of 1, 2, 3, 4, 7 and 12 query heads (12: two tiles); head sizes that are no multiple of 8; a context over 512: two splits.
inline const std::vector<PagedCase> kPagedCases = {
    {1, 1, 1, 16, {1}, {1}},     {4, 2, 16, 16, {17, 5, 64}, {1, 1, 1}}, {3, 1, 24, 32, {65, 40}, {3, 0}},
    {4, 4, 64, 64, {127}, {1}},  {4, 1, 20, 16, {600, 33}, {1, 2}},      {7, 1, 128, 32, {66}, {1}},
    {12, 1, 80, 16, {130}, {1}}, {2, 1, 256, 16, {513, 9}, {1, 1}},
};

// f32: scores err by D roundings of about 1e-7 |q||k|.
inline constexpr double kPagedTolerance = 4e-6;

/// Where the tokens of a case lie: blocks are given out from the last one downwards, so that no sequence is in order.
struct PagedLayout {
  explicit PagedLayout(const PagedCase& c) {
    for (std::size_t s = 0; s < c.contexts.size(); ++s) {
      const std::int64_t blocks = (c.contexts[s] + c.block_size - 1) / c.block_size;
      if (blocks > max_blocks) max_blocks = blocks;
      num_blocks += blocks;
      num_stored += c.contexts[s];
      num_new += c.new_tokens[s];
      cu_seqlens.push_back(static_cast<std::int32_t>(num_new));
    }
    std::int32_t next = static_cast<std::int32_t>(num_blocks) - 1;
    for (const std::int32_t context : c.contexts) {
      for (std::int64_t b = 0; b < max_blocks; ++b) block_tables.push_back(b * c.block_size < context ? next-- : -1);
      const std::size_t row = block_tables.size() - static_cast<std::size_t>(max_blocks);
      for (std::int32_t position = 0; position < context; ++position) {
        slots.push_back(block_tables[row + static_cast<std::size_t>(position / c.block_size)] * c.block_size + position % c.block_size);
      }
    }
    slots.push_back(-1);  // one token that is not stored
  }
  std::int64_t num_stored = 0, num_new = 0, max_blocks = 0, num_blocks = 3;  // three blocks that no sequence has
  std::vector<std::int32_t> cu_seqlens = {0}, slots, block_tables;
};

}  // namespace r1::test

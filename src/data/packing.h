// Rows of tokens → blocks of at most max_length tokens. A block is a list of references into rows; no token is copied here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace r1::data {

/// Tokens [begin, end) of a row.
struct Piece {
  std::int64_t row = 0, begin = 0, end = 0;
  std::int64_t length() const { return end - begin; }
  friend bool operator==(const Piece&, const Piece&) = default;
};

/// What becomes one sequence of the batch: pieces one behind another.
struct Block {
  std::vector<Piece> pieces;
  std::int64_t length() const;
  friend bool operator==(const Block&, const Block&) = default;
};

struct Packing {
  std::vector<Block> blocks;
  std::int64_t truncated_rows = 0, truncated_tokens = 0;  // cut off because a row is longer than max_length
  std::int64_t num_tokens = 0;                            // in the blocks
  /// num_tokens / (blocks × max_length): 1 when no block has room left.
  double efficiency(std::int64_t max_length) const;
};

enum class PackingStrategy { kNone, kBfd, kBfdSplit, kWrapped };

/// Rows are packed in batches of this many, as the reference implementation's map does.
inline constexpr std::int64_t kPackingBatchRows = 1000;

/// lengths[i] = tokens of row i; max_length >= 1. Empty rows give no piece.
/// none     one block per row, cut to max_length.
/// bfd      best fit decreasing: rows, cut to max_length, by descending length (stable), each into the block with the least
///          room that suffices; among blocks with equal room the one that got it first. Blocks in the order of their opening.
/// bfd_split  the same over pieces of at most max_length: nothing is cut off.
/// wrapped  rows of a batch joined and cut every max_length tokens; the last block of a batch may be short.
/// Source: TRL 1.16 data_utils.pack_dataset (order pinned by ../shared/fixtures/sft); wrapped equals 0.15.2's pack_examples.
Packing pack_rows(std::span<const std::int64_t> lengths, std::int64_t max_length, PackingStrategy strategy,
                  std::int64_t batch_rows = kPackingBatchRows);

}  // namespace r1::data

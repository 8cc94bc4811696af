// The order in which items are visited: a pure function of (seed, epoch, position), so that any rank can compute any part and
// a resumed run goes on where it stopped.
#pragma once

#include <cstdint>

namespace r1::data {

/// Where a run stands; saved in checkpoints.
struct Cursor {
  std::int64_t epoch = 0, position = 0;  // position counts inside the epoch
  friend bool operator==(const Cursor&, const Cursor&) = default;
};

/// Visits each of num_items items once per epoch; with shuffle in another random order in each epoch. Needs no memory for the
/// order: it is a keyed permutation (a balanced Feistel network over the next power of four, walked until the result is
/// inside; Black & Rogaway 2002, "Ciphers with arbitrary finite domains").
class Sampler {
 public:
  /// num_items >= 1.
  Sampler(std::int64_t num_items, std::uint64_t seed, bool shuffle);

  std::int64_t num_items() const { return num_items_; }
  /// The item at a position, 0 <= position < num_items.
  std::int64_t item(std::int64_t epoch, std::int64_t position) const;
  /// The item at the cursor, which moves on, over the end of an epoch to the next one.
  std::int64_t next(Cursor& cursor) const;
  /// The cursor after `count` calls of next() from the start.
  Cursor cursor_at(std::int64_t count) const { return {count / num_items_, count % num_items_}; }

 private:
  std::uint64_t permute(std::uint64_t value, std::uint64_t epoch) const;

  std::int64_t num_items_;
  std::uint64_t seed_;
  bool shuffle_;
  int half_bits_ = 0;
};

}  // namespace r1::data

// Blocks of the paged cache: who uses them, and which hold a known prefix.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace r1::engine {

using BlockId = std::int32_t;

/// Names the tokens of a full block together with all tokens before them. 0 = the empty prefix.
using PrefixId = std::uint64_t;

/// Pure bookkeeping: touches no tensor. A block whose last reference goes keeps its content until it is needed for something else,
/// the longest unused first.
class BlockAllocator {
 public:
  BlockAllocator(std::int64_t num_blocks, int block_size, bool prefix_cache);

  std::int64_t num_blocks() const { return static_cast<std::int64_t>(blocks_.size()); }
  std::int64_t num_free() const { return static_cast<std::int64_t>(free_.size()); }
  int block_size() const { return block_size_; }

  /// A block with one reference and no content; nothing when all are in use.
  std::optional<BlockId> allocate();
  void add_reference(BlockId block);
  void release(BlockId block);

  /// Says that the block holds the given block_size tokens behind `parent`. Returns the prefix that ends with them. When another block
  /// already holds the same, that one stays the known one.
  PrefixId remember(BlockId block, PrefixId parent, std::span<const std::int32_t> tokens);

  struct Match {
    std::vector<BlockId> blocks;  // referenced once more each
    PrefixId prefix = 0;          // the last of them
  };
  /// The longest run of known full blocks at the beginning of tokens.
  Match match(std::span<const std::int32_t> tokens);

  /// Drops all content: the model's values have changed. No block may be in use.
  void forget_all();

 private:
  struct Content {
    PrefixId parent = 0, prefix = 0;
    std::vector<std::int32_t> tokens;
    BlockId block = -1;
  };
  struct Block {
    std::int32_t references = 0;
    std::uint64_t content_key = 0;
    PrefixId prefix = 0;                   // 0 = nothing that others may use
    std::list<BlockId>::iterator in_free;  // valid while references is 0
  };

  static std::uint64_t key_of(PrefixId parent, std::span<const std::int32_t> tokens);
  const Content* find(std::uint64_t key, PrefixId parent, std::span<const std::int32_t> tokens) const;
  void forget(Block& block);

  int block_size_;
  bool prefix_cache_;
  std::vector<Block> blocks_;
  std::list<BlockId> free_;  // first = longest unused
  std::unordered_multimap<std::uint64_t, Content> contents_;
  PrefixId next_prefix_ = 1;
};

}  // namespace r1::engine

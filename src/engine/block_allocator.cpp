#include "engine/block_allocator.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

namespace r1::engine {

BlockAllocator::BlockAllocator(std::int64_t num_blocks, int block_size, bool prefix_cache)
    : block_size_(block_size), prefix_cache_(prefix_cache), blocks_(static_cast<std::size_t>(num_blocks)) {
  for (std::int64_t i = 0; i < num_blocks; ++i) {
    blocks_[static_cast<std::size_t>(i)].in_free = free_.insert(free_.end(), static_cast<BlockId>(i));
  }
}

std::optional<BlockId> BlockAllocator::allocate() {
  if (free_.empty()) return std::nullopt;
  const BlockId id = free_.front();
  free_.pop_front();
  Block& block = blocks_[static_cast<std::size_t>(id)];
  forget(block);
  block.references = 1;
  return id;
}

void BlockAllocator::add_reference(BlockId id) {
  Block& block = blocks_[static_cast<std::size_t>(id)];
  if (block.references++ == 0) free_.erase(block.in_free);
}

void BlockAllocator::release(BlockId id) {
  Block& block = blocks_[static_cast<std::size_t>(id)];
  R1_ASSERT(block.references > 0, "a block released more often than referenced");
  if (--block.references > 0) return;
  // A block without content is the first to be used again.
  block.in_free = free_.insert(block.prefix != 0 ? free_.end() : free_.begin(), id);
}

std::uint64_t BlockAllocator::key_of(PrefixId parent, std::span<const std::int32_t> tokens) {
  return xxh3_64(tokens.data(), tokens.size_bytes(), parent);
}

const BlockAllocator::Content* BlockAllocator::find(std::uint64_t key, PrefixId parent, std::span<const std::int32_t> tokens) const {
  const auto [first, last] = contents_.equal_range(key);
  for (auto it = first; it != last; ++it) {
    // The hash only finds candidates; equality is decided on the tokens themselves.
    if (it->second.parent == parent && std::ranges::equal(it->second.tokens, tokens)) return &it->second;
  }
  return nullptr;
}

PrefixId BlockAllocator::remember(BlockId id, PrefixId parent, std::span<const std::int32_t> tokens) {
  R1_ASSERT(static_cast<int>(tokens.size()) == block_size_, "only full blocks have a name");
  if (!prefix_cache_) return 0;
  const std::uint64_t key = key_of(parent, tokens);
  if (const Content* known = find(key, parent, tokens)) return known->prefix;
  Block& block = blocks_[static_cast<std::size_t>(id)];
  R1_ASSERT(block.prefix == 0, "a block remembered twice");
  block.content_key = key;
  block.prefix = next_prefix_++;
  contents_.emplace(key, Content{parent, block.prefix, {tokens.begin(), tokens.end()}, id});
  return block.prefix;
}

BlockAllocator::Match BlockAllocator::match(std::span<const std::int32_t> tokens) {
  Match match;
  if (!prefix_cache_) return match;
  const auto size = static_cast<std::size_t>(block_size_);
  for (std::size_t begin = 0; begin + size <= tokens.size(); begin += size) {
    const auto block_tokens = tokens.subspan(begin, size);
    const Content* known = find(key_of(match.prefix, block_tokens), match.prefix, block_tokens);
    if (known == nullptr) break;
    add_reference(known->block);
    match.blocks.push_back(known->block);
    match.prefix = known->prefix;
  }
  return match;
}

void BlockAllocator::forget(Block& block) {
  if (block.prefix == 0) return;
  const auto [first, last] = contents_.equal_range(block.content_key);
  for (auto it = first; it != last; ++it) {
    if (it->second.prefix != block.prefix) continue;
    contents_.erase(it);
    break;
  }
  block.prefix = 0;
}

void BlockAllocator::forget_all() {
  R1_ASSERT(num_free() == num_blocks(), "the prefix cache is dropped while blocks are in use");
  contents_.clear();
  for (Block& block : blocks_) block.prefix = 0;
}

}  // namespace r1::engine

// Hash table from text to a number, for vocabularies: keys side by side in one buffer, no allocation per entry.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"

namespace r1::text {

/// Open addressing with linear probing. Not thread-safe while it grows; find() may run in parallel.
class StringTable {
 public:
  void reserve(std::size_t num_keys, std::size_t num_bytes) {
    keys_.reserve(num_bytes);
    grow_to(num_keys);
  }

  /// Sets key → value; false when the key was there (its value is then replaced).
  bool insert(std::string_view key, std::uint32_t value) {
    if ((num_entries_ + 1) * 2 > slots_.size()) grow_to(num_entries_ * 2 + 8);
    const std::uint64_t hash = xxh3_64(key);
    std::size_t slot = hash & mask_;
    for (; slots_[slot].length != kEmpty; slot = (slot + 1) & mask_)
      if (matches(slots_[slot], hash, key)) {
        slots_[slot].value = value;
        return false;
      }
    slots_[slot] = {keys_.size(), static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(key.size()), value};
    keys_.append(key);
    ++num_entries_;
    return true;
  }

  std::optional<std::uint32_t> find(std::string_view key) const {
    if (slots_.empty()) return std::nullopt;
    const std::uint64_t hash = xxh3_64(key);
    for (std::size_t slot = hash & mask_; slots_[slot].length != kEmpty; slot = (slot + 1) & mask_)
      if (matches(slots_[slot], hash, key)) return slots_[slot].value;
    return std::nullopt;
  }

  std::size_t size() const { return num_entries_; }

 private:
  static constexpr std::uint32_t kEmpty = UINT32_MAX;
  struct Slot {
    std::uint64_t offset = 0;
    std::uint32_t hash_tag = 0;
    std::uint32_t length = kEmpty;
    std::uint32_t value = 0;
  };

  bool matches(const Slot& slot, std::uint64_t hash, std::string_view key) const {
    return slot.hash_tag == static_cast<std::uint32_t>(hash >> 32) && slot.length == key.size() &&
           std::memcmp(keys_.data() + slot.offset, key.data(), key.size()) == 0;
  }

  void grow_to(std::size_t num_keys) {
    std::size_t capacity = 16;
    while (capacity < num_keys * 2) capacity *= 2;
    if (capacity <= slots_.size()) return;
    std::vector<Slot> old(capacity);
    old.swap(slots_);
    mask_ = capacity - 1;
    for (const Slot& entry : old) {
      if (entry.length == kEmpty) continue;
      std::size_t slot = xxh3_64(std::string_view(keys_).substr(entry.offset, entry.length)) & mask_;
      while (slots_[slot].length != kEmpty) slot = (slot + 1) & mask_;
      slots_[slot] = entry;
    }
  }

  std::string keys_;
  std::vector<Slot> slots_;
  std::size_t mask_ = 0, num_entries_ = 0;
};

}  // namespace r1::text

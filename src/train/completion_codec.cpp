#include "train/completion_codec.h"

#include <cstring>

#include "base/error.h"

namespace r1::train {
namespace {

struct PackedHeader {
  std::int64_t item = 0;
  std::int64_t is_truncated = 0;
  std::int64_t num_tokens = 0;
};

template <typename T>
void append(std::vector<std::byte>& bytes, const T* values, std::size_t count) {
  const auto* begin = reinterpret_cast<const std::byte*>(values);
  bytes.insert(bytes.end(), begin, begin + count * sizeof(T));
}

template <typename T>
void take(std::span<const std::byte>& bytes, T* values, std::size_t count) {
  R1_ASSERT(bytes.size() >= count * sizeof(T), "a rank sent a cut completion");
  std::memcpy(values, bytes.data(), count * sizeof(T));
  bytes = bytes.subspan(count * sizeof(T));
}

}  // namespace

std::vector<std::byte> pack_items(std::span<const FinishedItem> items) {
  std::vector<std::byte> bytes;
  for (const auto& [item, completion] : items) {
    const PackedHeader header{item, completion.is_truncated ? 1 : 0, static_cast<std::int64_t>(completion.ids.size())};
    append(bytes, &header, 1);
    append(bytes, completion.ids.data(), completion.ids.size());
    append(bytes, completion.log_probs.data(), completion.log_probs.size());
  }
  return bytes;
}

std::vector<FinishedItem> unpack_items(std::span<const std::byte> bytes) {
  std::vector<FinishedItem> items;
  while (!bytes.empty()) {
    PackedHeader header;
    take(bytes, &header, 1);
    auto& [item, completion] = items.emplace_back();
    item = header.item;
    completion.is_truncated = header.is_truncated != 0;
    completion.ids.resize(static_cast<std::size_t>(header.num_tokens));
    completion.log_probs.resize(completion.ids.size());
    take(bytes, completion.ids.data(), completion.ids.size());
    take(bytes, completion.log_probs.data(), completion.log_probs.size());
  }
  return items;
}

}  // namespace r1::train

#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/strings.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;
constexpr std::size_t kShortEntries = std::size_t{1} << 16;
constexpr std::size_t kLongEntries = std::size_t{1} << 12;
constexpr std::size_t kShortPiece = 15, kLongPiece = 64;
constexpr std::size_t kScanSymbols = 48;  // up to here a scan for the lowest rank is faster than the heap

struct ByteAlphabet {
  char32_t char_of[256];
  int byte_of[512];
  ByteAlphabet() {
    std::fill(std::begin(byte_of), std::end(byte_of), -1);
    char32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
      char_of[byte] = printable ? static_cast<char32_t>(byte) : next++;
      byte_of[char_of[byte]] = byte;
    }
  }
  static const ByteAlphabet& instance() {
    static const ByteAlphabet alphabet;
    return alphabet;
  }
};

std::uint64_t mix(std::uint64_t low, std::uint64_t high) {
  std::uint64_t hash = (low ^ (high * 0xC2B2AE3D27D4EB4Fu)) * 0x9E3779B97F4A7C15u;
  return hash ^ hash >> 29;
}

/// The piece's bytes, padded with zeros, and its length in the highest byte.
void pack(std::string_view piece, const char* readable_end, std::uint64_t& low, std::uint64_t& high) {
  const std::size_t size = piece.size();
  std::uint64_t words[2] = {0, 0};
  if (readable_end - piece.data() >= 16) {
    std::memcpy(words, piece.data(), 16);
    if (size < 8) {
      words[0] &= (std::uint64_t{1} << (8 * size)) - 1;
      words[1] = 0;
    } else {
      words[1] &= (std::uint64_t{1} << (8 * (size - 8))) - 1;
    }
  } else {
    std::memcpy(words, piece.data(), size);
  }
  low = words[0];
  high = words[1] | std::uint64_t{size} << 56;
}

}  // namespace

char32_t Bpe::byte_to_char(std::uint8_t byte) { return ByteAlphabet::instance().char_of[byte]; }
int Bpe::char_to_byte(char32_t code_point) { return code_point < 512 ? ByteAlphabet::instance().byte_of[code_point] : -1; }

void MergeTable::reserve(std::size_t num_merges) {
  std::size_t capacity = 16;
  while (capacity < num_merges * 2) capacity *= 2;
  slots_.assign(capacity, Slot{});
  mask_ = capacity - 1;
}

void MergeTable::insert(std::uint32_t left, std::uint32_t right, Merge merge) {
  if ((num_entries_ + 1) * 2 > slots_.size()) {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    num_entries_ = 0;
    for (const Slot& slot : old)
      if (slot.key != kEmpty) insert(static_cast<std::uint32_t>(slot.key >> 32), static_cast<std::uint32_t>(slot.key), slot.merge);
  }
  const std::uint64_t key = std::uint64_t{left} << 32 | right;
  std::size_t slot = hash(key) & mask_;
  while (slots_[slot].key != kEmpty && slots_[slot].key != key) slot = (slot + 1) & mask_;
  if (slots_[slot].key == kEmpty) ++num_entries_;
  slots_[slot] = {key, merge};  // of two merges of the same pair the later one counts, as in the reference
}

Bpe::Bpe(Settings settings, const std::vector<std::pair<std::string_view, std::uint32_t>>& tokens, MergeTable merges,
         const std::vector<std::string_view>& merged_tokens)
    : settings_(settings), merges_(std::move(merges)) {
  byte_tokens_.fill(-1);
  if (settings_.ignore_merges) whole_pieces_.reserve(tokens.size(), tokens.size() * 8);
  std::string bytes;
  for (const auto& [text, id] : tokens) {
    if (settings_.byte_level) {
      bytes.clear();
      bool in_alphabet = !text.empty();
      for (std::size_t position = 0; position < text.size() && in_alphabet;) {
        const int byte = char_to_byte(next_code_point(text, position));
        in_alphabet = byte >= 0;
        bytes += static_cast<char>(byte);
      }
      if (!in_alphabet) continue;
      if (bytes.size() == 1) byte_tokens_[static_cast<std::uint8_t>(bytes[0])] = id;
      if (settings_.ignore_merges) whole_pieces_.insert(bytes, id);
      continue;
    }
    if (settings_.ignore_merges && !text.empty()) whole_pieces_.insert(text, id);
    if (!text.empty() && decode_char(text.data()).length == text.size()) chars_.insert(text, id);
    if (text.size() == 6 && text.starts_with("<0x")) {
      for (int byte = 0; byte < 256; ++byte)
        if (text == fmt::format("<0x{:02X}>", byte)) byte_tokens_[static_cast<std::size_t>(byte)] = id;
    }
  }
  if (settings_.byte_level || settings_.ignore_merges) return;
  // Cutting before U+2581 is exact when no merged token has it behind another character and no unknown token can span the cut.
  const bool all_bytes =
      settings_.byte_fallback && std::all_of(byte_tokens_.begin(), byte_tokens_.end(), [](std::int64_t id) { return id >= 0; });
  if (!all_bytes) return;
  constexpr std::string_view kSpace = "\xE2\x96\x81";
  for (const std::string_view text : merged_tokens)
    for (std::size_t at = text.find(kSpace, 1); at != std::string_view::npos; at = text.find(kSpace, at + 1))
      if (at < 3 || text.substr(at - 3, 3) != kSpace) return;
  cut_before_ = kSpace;
}

void Bpe::split_symbols(std::string_view piece, std::vector<BpeScratch::Symbol>& symbols) const {
  symbols.clear();
  if (settings_.byte_level) {
    for (const char c : piece) {
      const std::int64_t token = byte_tokens_[static_cast<std::uint8_t>(c)];
      if (token >= 0) {
        symbols.push_back({static_cast<std::uint32_t>(token), 1, 0, 0, kNone});
      } else if (settings_.unknown_token) {
        symbols.push_back({*settings_.unknown_token, 1, 0, 0, kNone});
      }
    }
    return;
  }
  // The unknown token stays pending until the next known character, also across byte tokens: the reference's order.
  std::optional<std::uint32_t> pending_unknown_length;
  const auto flush_unknown = [&] {
    if (pending_unknown_length) symbols.push_back({*settings_.unknown_token, *pending_unknown_length, 0, 0, kNone});
    pending_unknown_length.reset();
  };
  for (std::size_t position = 0; position < piece.size();) {
    const std::uint32_t length = decode_char(piece.data() + position).length;
    const std::string_view character = piece.substr(position, length);
    position += length;
    if (const auto token = chars_.find(character)) {
      flush_unknown();
      symbols.push_back({*token, length, 0, 0, kNone});
      continue;
    }
    if (settings_.byte_fallback &&
        std::all_of(character.begin(), character.end(), [this](char c) { return byte_tokens_[static_cast<std::uint8_t>(c)] >= 0; })) {
      for (const char c : character)
        symbols.push_back({static_cast<std::uint32_t>(byte_tokens_[static_cast<std::uint8_t>(c)]), 1, 0, 0, kNone});
      continue;
    }
    if (!settings_.unknown_token) continue;
    if (pending_unknown_length && settings_.fuse_unk) {
      *pending_unknown_length += length;
    } else {
      flush_unknown();
      pending_unknown_length = length;
    }
  }
  flush_unknown();
}

std::size_t Bpe::merge_by_scan(std::vector<BpeScratch::Symbol>& symbols) const {
  std::size_t count = symbols.size();
  std::uint32_t merged[kScanSymbols];
  const auto look_up = [&](std::size_t i) {
    const auto merge = merges_.find(symbols[i].token, symbols[i + 1].token);
    symbols[i].rank = merge.rank;
    merged[i] = merge.token;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    std::size_t best = 0;
    std::uint32_t best_rank = kNone;
    for (std::size_t i = 0; i + 1 < count; ++i)
      if (symbols[i].rank < best_rank) {
        best_rank = symbols[i].rank;
        best = i;
      }
    if (best_rank == kNone) break;
    symbols[best].token = merged[best];
    symbols[best].length += symbols[best + 1].length;
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merged[i] = merged[i + 1];
    }
    --count;
    if (best + 1 < count) look_up(best);
    else symbols[best].rank = kNone;
    if (best > 0) look_up(best - 1);
  }
  symbols.resize(count);
  return count;
}

void Bpe::merge_by_heap(BpeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;  // rank << 32 | position: the lowest rank first, then the leftmost
  heap.clear();
  const auto count = static_cast<std::uint32_t>(symbols.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    symbols[i].previous = i == 0 ? kNone : i - 1;
    symbols[i].next = i + 1 == count ? kNone : i + 1;
    symbols[i].rank = kNone;
    if (i + 1 == count) break;
    symbols[i].rank = merges_.find(symbols[i].token, symbols[i + 1].token).rank;
    if (symbols[i].rank != kNone) heap.push_back(std::uint64_t{symbols[i].rank} << 32 | i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto update = [&](std::uint32_t i) {
    const std::uint32_t next = symbols[i].next;
    const std::uint32_t rank = next == kNone ? kNone : merges_.find(symbols[i].token, symbols[next].token).rank;
    if (rank == symbols[i].rank) return;
    symbols[i].rank = rank;
    if (rank == kNone) return;
    heap.push_back(std::uint64_t{rank} << 32 | i);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const std::uint64_t top = heap.back();
    heap.pop_back();
    const auto i = static_cast<std::uint32_t>(top);
    if (symbols[i].rank != static_cast<std::uint32_t>(top >> 32)) continue;  // the pair has changed since
    const std::uint32_t right = symbols[i].next;
    symbols[i].token = merges_.find(symbols[i].token, symbols[right].token).token;
    symbols[i].length += symbols[right].length;
    symbols[i].next = symbols[right].next;
    symbols[right].rank = kNone;
    if (symbols[i].next != kNone) symbols[symbols[i].next].previous = i;
    symbols[i].rank = kNone;
    update(i);
    if (symbols[i].previous != kNone) {
      symbols[symbols[i].previous].rank = kNone;
      update(symbols[i].previous);
    }
  }
  std::size_t kept = 0;  // never ahead of the symbol that is read
  for (std::uint32_t i = 0; i != kNone;) {
    const BpeScratch::Symbol symbol = symbols[i];
    symbols[kept++] = symbol;
    i = symbol.next;
  }
  symbols.resize(kept);
}

void Bpe::encode_uncached(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& ids,
                          std::vector<std::uint32_t>* lengths) const {
  if (settings_.ignore_merges) {
    if (const auto token = whole_pieces_.find(piece)) {
      ids.push_back(static_cast<TokenId>(*token));
      if (lengths != nullptr) lengths->push_back(static_cast<std::uint32_t>(piece.size()));
      return;
    }
  }
  split_symbols(piece, scratch.symbols);
  if (scratch.symbols.size() <= kScanSymbols) {
    merge_by_scan(scratch.symbols);
  } else {
    merge_by_heap(scratch);
  }
  for (const BpeScratch::Symbol& symbol : scratch.symbols) {
    ids.push_back(static_cast<TokenId>(symbol.token));
    if (lengths != nullptr) lengths->push_back(symbol.length);
  }
}

void Bpe::encode_with_lengths(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& ids,
                              std::vector<std::uint32_t>& lengths) const {
  encode_uncached(piece, scratch, ids, &lengths);
}

void Bpe::encode(std::string_view piece, const char* readable_end, BpeScratch& scratch, std::vector<TokenId>& ids) const {
  if (piece.size() <= kShortPiece) {
    if (piece.empty()) return;
    if (scratch.short_entries.empty()) scratch.short_entries.resize(kShortEntries);
    std::uint64_t low = 0, high = 0;
    pack(piece, readable_end, low, high);
    BpeScratch::ShortEntry& entry = scratch.short_entries[mix(low, high) >> 16 & (kShortEntries - 1)];
    if (entry.key_low == low && entry.key_high == high) {
      const std::uint32_t count = entry.tokens[0] >> 30;
      const std::size_t size = ids.size();
      if (count == 0) {
        ids.push_back(static_cast<TokenId>(entry.tokens[0]));
        return;
      }
      ids.resize(size + count + 1);
      ids[size] = static_cast<TokenId>(entry.tokens[0] & 0x3FFFFFFF);
      for (std::uint32_t i = 1; i <= count; ++i) ids[size + i] = static_cast<TokenId>(entry.tokens[i]);
      return;
    }
    const std::size_t before = ids.size();
    encode_uncached(piece, scratch, ids, nullptr);
    const std::size_t count = ids.size() - before;
    if (count < 1 || count > 4) return;
    entry.key_low = low;
    entry.key_high = high;
    for (std::size_t i = 0; i < count; ++i) entry.tokens[i] = static_cast<std::uint32_t>(ids[before + i]);
    entry.tokens[0] |= static_cast<std::uint32_t>(count - 1) << 30;
    return;
  }
  if (piece.size() > kLongPiece) return encode_uncached(piece, scratch, ids, nullptr);
  if (scratch.long_entries.empty()) scratch.long_entries.resize(kLongEntries);
  BpeScratch::LongEntry& entry = scratch.long_entries[xxh3_64(piece) & (kLongEntries - 1)];
  if (entry.key == piece) {
    ids.insert(ids.end(), entry.tokens.begin(), entry.tokens.end());
    return;
  }
  const std::size_t before = ids.size();
  encode_uncached(piece, scratch, ids, nullptr);
  entry.key = piece;
  entry.tokens.assign(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end());
}

}  // namespace r1::text

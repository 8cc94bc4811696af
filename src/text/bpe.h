// Byte-pair encoding of one piece of text: the model part of tokenizer.json.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/string_table.h"

namespace r1::text {

using TokenId = std::int32_t;

/// (left, right) → rank and merged token, open addressing on the 64-bit pair.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank = UINT32_MAX;  // UINT32_MAX: no such merge
    std::uint32_t token = 0;
  };
  void reserve(std::size_t num_merges);
  void insert(std::uint32_t left, std::uint32_t right, Merge merge);
  Merge find(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t key = std::uint64_t{left} << 32 | right;
    for (std::size_t slot = hash(key) & mask_;; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].merge;
      if (slots_[slot].key == kEmpty) return {};
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };
  static std::uint64_t hash(std::uint64_t key) {
    key *= 0x9E3779B97F4A7C15u;
    return key ^ key >> 32;
  }
  std::vector<Slot> slots_ = std::vector<Slot>(16);
  std::size_t mask_ = 15, num_entries_ = 0;
};

/// Buffers and caches of one encoding thread; handed out by the tokenizer, never shared by two threads at once.
struct BpeScratch {
  // Pieces of up to 15 bytes and up to 4 tokens: direct-mapped, one cache line holds two entries.
  struct ShortEntry {
    std::uint64_t key_low = 0, key_high = 0;  // bytes padded with zeros, the length in the last byte; length 0 = empty slot
    std::uint32_t tokens[4] = {};             // number of tokens - 1 in the two highest bits of tokens[0]
  };
  struct LongEntry {
    std::string key;
    std::vector<TokenId> tokens;
  };
  std::vector<ShortEntry> short_entries;
  std::vector<LongEntry> long_entries;
  std::vector<std::size_t> piece_ends;
  struct Symbol {
    std::uint32_t token, length, previous, next, rank;
  };
  std::vector<Symbol> symbols;
  std::vector<std::uint64_t> heap;
  std::string normalized, prepared;
};

/// The model. Byte-level models work on the bytes of the text; the others on code points, with byte fallback or an unknown token.
/// Immutable after loading; encode() may run on several threads, each with its own scratch.
class Bpe {
 public:
  struct Settings {
    bool byte_level = false;     // the tokens' texts are spelled in the byte alphabet of GPT-2
    bool ignore_merges = false;  // a piece that is a token as a whole is that token, whatever the merges say
    bool byte_fallback = false;
    bool fuse_unk = false;
    std::optional<std::uint32_t> unknown_token;
  };

  /// tokens: text → id as in the file. merges: left and right ids with rank and result.
  Bpe(Settings settings, const std::vector<std::pair<std::string_view, std::uint32_t>>& tokens, MergeTable merges,
      const std::vector<std::string_view>& merged_tokens);

  /// Appends the tokens of one piece of valid UTF-8. readable_end: end of the buffer that holds the piece (for wide loads).
  void encode(std::string_view piece, const char* readable_end, BpeScratch& scratch, std::vector<TokenId>& ids) const;

  /// As encode() without caches; also appends the number of bytes of the piece that each token stands for.
  void encode_with_lengths(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& ids,
                           std::vector<std::uint32_t>& lengths) const;

  /// For models without a pre-tokenizer: the character (U+2581) before which text may be cut without changing the result, when
  /// no merge reaches across it; empty when that cannot be shown.
  std::string_view cut_before() const { return cut_before_; }

  /// GPT-2's alphabet: the code point that stands for a byte, and back (-1 for code points outside of it).
  static char32_t byte_to_char(std::uint8_t byte);
  static int char_to_byte(char32_t code_point);

 private:
  void encode_uncached(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& ids, std::vector<std::uint32_t>* lengths) const;
  void split_symbols(std::string_view piece, std::vector<BpeScratch::Symbol>& symbols) const;
  std::size_t merge_by_scan(std::vector<BpeScratch::Symbol>& symbols) const;
  void merge_by_heap(BpeScratch& scratch) const;

  Settings settings_;
  MergeTable merges_;
  StringTable whole_pieces_;                   // bytes → token, filled for ignore_merges
  StringTable chars_;                          // one code point → token, for models that are not byte-level
  std::array<std::int64_t, 256> byte_tokens_;  // byte-level: token of a byte; else token of <0xXX>; -1 when missing
  std::string cut_before_;
};

}  // namespace r1::text

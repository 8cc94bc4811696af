// Character classes and normalisation forms that tokenizers need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace r1::text {

/// Bits of char_classes(). Letter, number, mark, punctuation and symbol are the Unicode general categories L, N, M, P, S;
/// white space is the property White_Space (what \s means to the tokenizers' regular expressions).
enum CharClass : std::uint8_t {
  kLetter = 1,
  kNumber = 2,
  kWhiteSpace = 4,
  kMark = 8,
  kPunctuation = 16,
  kSymbol = 32,
  kNewline = 64,  // \r and \n alone
};

/// Two-level table: 256 code points a block, equal blocks shared. Immutable after construction.
class CharClassTable {
 public:
  static const CharClassTable& instance();
  std::uint8_t operator[](char32_t code_point) const {
    return code_point < 0x110000 ? blocks_[(std::size_t{block_of_[code_point >> 8]} << 8) | (code_point & 0xFF)] : std::uint8_t{0};
  }
  /// Classes of the code points below 128, for scanners that walk over bytes.
  const std::uint8_t* ascii() const { return blocks_; }

 private:
  CharClassTable();
  static constexpr std::size_t kMaxBlocks = 1024;
  std::uint16_t block_of_[0x1100] = {};
  std::uint8_t blocks_[kMaxBlocks * 256] = {};
};

inline std::uint8_t char_classes(char32_t code_point) { return CharClassTable::instance()[code_point]; }

/// Code point at `position` of a valid UTF-8 text and its length in bytes; no checks, position < text.size().
struct DecodedChar {
  char32_t code_point;
  std::uint32_t length;
};
inline DecodedChar decode_char(const char* text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text);
  if (bytes[0] < 0x80) return {bytes[0], 1};
  if (bytes[0] < 0xE0) return {(char32_t{bytes[0]} & 0x1F) << 6 | (char32_t{bytes[1]} & 0x3F), 2};
  if (bytes[0] < 0xF0) return {(char32_t{bytes[0]} & 0x0F) << 12 | (char32_t{bytes[1]} & 0x3F) << 6 | (char32_t{bytes[2]} & 0x3F), 3};
  return {(char32_t{bytes[0]} & 0x07) << 18 | (char32_t{bytes[1]} & 0x3F) << 12 | (char32_t{bytes[2]} & 0x3F) << 6 |
              (char32_t{bytes[3]} & 0x3F),
          4};
}

enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };

/// True when a cheap test shows that the text is in NFC already; false means "not known".
bool is_surely_nfc(std::string_view valid_utf8);

/// Unicode normalisation of a valid UTF-8 text (UAX #15). A text of many gigabytes of marks costs O(n log n) at most.
std::string normalize(std::string_view valid_utf8, NormalizationForm form);

/// Simple lower-case mapping of every code point; U+0130 becomes "i" + U+0307 as in full case mapping.
std::string to_lower(std::string_view valid_utf8);
std::string to_upper(std::string_view valid_utf8);

}  // namespace r1::text

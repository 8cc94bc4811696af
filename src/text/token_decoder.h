// From tokens back to text: the decoder part of tokenizer.json, brought into one form that also works token by token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace r1::text {

struct DecoderSettings {
  bool byte_level = false;                                   // tokens are spelled in GPT-2's byte alphabet
  std::vector<std::pair<std::string, std::string>> replace;  // literals, in each token, in this order
  bool byte_fallback = false;                                // <0xXX> is a byte; a run of bytes that is not UTF-8 is U+FFFD each
  std::string strip_content;                                 // removed up to strip_start times at the very beginning
  int strip_start = 0;
  bool strip_every_token = false;  // Strip without Fuse before it
  std::string separator;           // between tokens, when the file has no decoder at all
};

/// What a token stands for: bytes of UTF-8 text (byte-level), one byte of a run (byte fallback) or a text of its own.
struct TokenText {
  std::string_view bytes;
  bool is_fallback_byte = false;
};

/// The text of a token as settings.byte_level, replace and byte_fallback make it; is_fallback_byte is set for <0xXX>.
std::string decoded_token(std::string_view content, const DecoderSettings& settings, bool& is_fallback_byte);

/// Length of the longest prefix that does not end inside a UTF-8 sequence which more bytes could complete.
std::size_t complete_utf8_prefix(std::string_view bytes);

}  // namespace r1::text

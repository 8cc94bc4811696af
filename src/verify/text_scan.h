// Reading UTF-8 text the way Python's regular expressions do: white space and word characters are those of Unicode.
#pragma once

#include <cstddef>
#include <string_view>

namespace r1::verify {

inline bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
/// A byte that continues a code point.
inline bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// Bytes of the code point that starts at position (1 for a broken one); 0 at the end.
std::size_t code_point_length(std::string_view text, std::size_t position);
/// Bytes of the white-space character at position; 0 when there is none.
std::size_t space_length(std::string_view text, std::size_t position);
/// Bytes of the white-space character that ends right before position; 0 when there is none.
std::size_t space_length_before(std::string_view text, std::size_t position);
/// Position behind all white space from position on.
std::size_t skip_spaces(std::string_view text, std::size_t position);
std::string_view strip_spaces(std::string_view text);
/// A letter, a digit, an underscore, or any code point outside ASCII that is not white space or punctuation of the common blocks.
bool is_word_at(std::string_view text, std::size_t position);
bool is_word_before(std::string_view text, std::size_t position);
/// The text at position starts with lower_case, in any case of ASCII letters.
bool starts_with_ignoring_case(std::string_view text, std::size_t position, std::string_view lower_case);

}  // namespace r1::verify

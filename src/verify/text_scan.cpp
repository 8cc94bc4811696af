#include "verify/text_scan.h"

namespace r1::verify {

std::size_t code_point_length(std::string_view text, std::size_t position) {
  if (position >= text.size()) return 0;
  const auto first = static_cast<unsigned char>(text[position]);
  const std::size_t wanted = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
  std::size_t length = 1;
  while (length < wanted && position + length < text.size() && is_continuation(text[position + length])) ++length;
  return length;
}

std::size_t space_length(std::string_view text, std::size_t position) {
  if (position >= text.size()) return 0;
  const auto c = static_cast<unsigned char>(text[position]);
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) ? 1 : 0;
  const std::string_view rest = text.substr(position);
  if (rest.starts_with("\xC2\x85") || rest.starts_with("\xC2\xA0")) return 2;
  if (rest.starts_with("\xE1\x9A\x80") || rest.starts_with("\xE2\x81\x9F") || rest.starts_with("\xE3\x80\x80")) return 3;
  if (rest.size() >= 3 && rest.starts_with("\xE2\x80")) {
    const auto last = static_cast<unsigned char>(rest[2]);
    if ((last >= 0x80 && last <= 0x8A) || last == 0xA8 || last == 0xA9 || last == 0xAF) return 3;
  }
  return 0;
}

std::size_t space_length_before(std::string_view text, std::size_t position) {
  if (position == 0) return 0;
  std::size_t begin = position - 1;
  while (begin > 0 && position - begin < 4 && is_continuation(text[begin])) --begin;
  return begin + space_length(text, begin) == position ? position - begin : 0;
}

std::size_t skip_spaces(std::string_view text, std::size_t position) {
  while (const std::size_t length = space_length(text, position)) position += length;
  return position;
}

std::string_view strip_spaces(std::string_view text) {
  text.remove_prefix(skip_spaces(text, 0));
  while (const std::size_t length = space_length_before(text, text.size())) text.remove_suffix(length);
  return text;
}

bool is_word_at(std::string_view text, std::size_t position) {
  if (position >= text.size()) return false;
  const char c = text[position];
  if (static_cast<unsigned char>(c) < 0x80) return is_ascii_letter(c) || is_ascii_digit(c) || c == '_';
  const std::string_view rest = text.substr(position);
  return space_length(text, position) == 0 && !rest.starts_with("\xE2\x80") && !rest.starts_with("\xE2\x88") &&
         !rest.starts_with("\xE3\x80");
}

bool is_word_before(std::string_view text, std::size_t position) {
  if (position == 0) return false;
  std::size_t begin = position - 1;
  while (begin > 0 && position - begin < 4 && is_continuation(text[begin])) --begin;
  return is_word_at(text, begin);
}

bool starts_with_ignoring_case(std::string_view text, std::size_t position, std::string_view lower_case) {
  if (text.size() < position + lower_case.size()) return false;
  for (std::size_t i = 0; i < lower_case.size(); ++i) {
    const char c = text[position + i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != lower_case[i]) return false;
  }
  return true;
}

}  // namespace r1::verify

#include "rewards/python_text.h"

#include <utf8proc.h>

#include "base/strings.h"
#include "verify/text_scan.h"

namespace r1::rewards {
namespace {

constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2, kSmallSigma = 0x3C3, kCapitalIWithDot = 0x130, kCombiningDot = 0x307;

bool is_cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

/// Marks and the like do not end a word for the form of sigma.
bool is_case_ignorable(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_LM || category == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xB7 ||
         c == 0x2019;
}

bool sigma_is_final(const std::u32string& text, std::size_t position) {
  std::size_t before = position;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  std::size_t after = position + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

}  // namespace

std::size_t decimal_digit_length(std::string_view text, std::size_t position) {
  if (position >= text.size()) return 0;
  if (static_cast<unsigned char>(text[position]) < 0x80) return verify::is_ascii_digit(text[position]) ? 1 : 0;
  std::size_t end = position;
  const char32_t c = next_code_point(text, end);
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND ? end - position : 0;
}

std::string lower_case(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  bool ascii = true;
  for (const char c : text) {
    ascii = ascii && static_cast<unsigned char>(c) < 0x80;
    lower.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c);
  }
  if (ascii) return lower;
  std::u32string code_points;
  for (std::size_t position = 0; position < text.size();) code_points.push_back(next_code_point(text, position));
  lower.clear();
  for (std::size_t i = 0; i < code_points.size(); ++i) {
    const char32_t c = code_points[i];
    if (c == kCapitalIWithDot) {
      append_utf8(lower, 'i');
      append_utf8(lower, kCombiningDot);
    } else if (c == kCapitalSigma) {
      append_utf8(lower, sigma_is_final(code_points, i) ? kFinalSigma : kSmallSigma);
    } else {
      append_utf8(lower, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return lower;
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t position = verify::skip_spaces(text, 0); position < text.size();) {
    std::size_t end = position;
    while (end < text.size() && verify::space_length(text, end) == 0) ++end;
    words.push_back(text.substr(position, end - position));
    position = verify::skip_spaces(text, end);
  }
  return words;
}

}  // namespace r1::rewards

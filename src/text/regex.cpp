#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

constexpr std::uint32_t kMatchSteps = 100'000;

/// PCRE2's own \s takes U+180E too, which is not White_Space; so \s and \S are written out where the syntax allows it.
std::string with_unicode_white_space(std::string_view pattern) {
  constexpr std::string_view kSet = "\\t-\\r\\x{85}\\p{Z}";
  std::string result;
  int class_depth = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        result += class_depth > 0 ? std::string(kSet) : "[" + std::string(kSet) + "]";
      } else if (next == 'S' && class_depth == 0) {
        result += "[^" + std::string(kSet) + "]";
      } else {
        result += c;
        result += next;
      }
      continue;
    }
    if (c == '[' && class_depth == 0) {
      class_depth = 1;
    } else if (c == ']' && class_depth > 0) {
      class_depth = 0;
    }
    result += c;
  }
  return result;
}

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

Regex::Regex(std::string_view pattern, std::string_view where) : where_(where) {
  if (pattern.size() > 10'000) fail(ErrorKind::kModel, "{}: expression of {} bytes; at most 10000 are read", where, pattern.size());
  const std::string translated = with_unicode_white_space(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code->code == nullptr) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof(message));
    fail(ErrorKind::kModel, "{}: not a regular expression: {} at byte {} of '{}'", where, reinterpret_cast<const char*>(message), offset,
         translated);
  }
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // without JIT the interpreter matches
  code->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(code->context, kMatchSteps);
  pcre2_set_depth_limit(code->context, kMatchSteps);
  pcre2_set_heap_limit(code->context, 20'000);  // KiB
  code_ = std::move(code);
}

std::vector<std::pair<std::size_t, std::size_t>> Regex::find_all(std::string_view text) const {
  std::vector<std::pair<std::size_t, std::size_t>> matches;
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  std::size_t position = 0;
  std::optional<std::size_t> last_end;
  while (position <= text.size()) {
    const int result = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), position, PCRE2_NO_UTF_CHECK,
                                   data.get(), code_->context);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      PCRE2_UCHAR message[256];
      pcre2_get_error_message(result, message, sizeof(message));
      fail(ErrorKind::kModel, "{}: the expression cannot be matched against a text of {} bytes: {}; simplify the expression", where_,
           text.size(), reinterpret_cast<const char*>(message));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    const std::size_t begin = bounds[0], end = bounds[1];
    if (begin > end || end < position) break;  // \K inside a look-around
    if (begin == end) {
      if (last_end != begin) matches.emplace_back(begin, end);
      if (end >= text.size()) break;
      position = end + decode_char(text.data() + end).length;
      last_end = end;
      continue;
    }
    matches.emplace_back(begin, end);
    last_end = end;
    position = end;
  }
  return matches;
}

std::string escape_regex(std::string_view literal) {
  std::string escaped;
  for (const char c : literal) {
    if (std::strchr("\\^$.|?*+()[]{}-#", c) != nullptr && c != '\0') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace r1::text

// Regular expressions of tokenizer files, run by PCRE2 with the meaning they have in the reference (Oniguruma).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace r1::text {

/// A compiled expression over UTF-8 text; \s is the property White_Space, as in Oniguruma. Immutable, usable by several threads.
class Regex {
 public:
  /// Throws Error(kModel) with `where`, the expression, the position and the reason.
  Regex(std::string_view pattern, std::string_view where);

  /// All matches from left to right that do not overlap, as [begin, end). Throws Error(kModel) when a match needs more steps
  /// than the limit (an expression that backtracks without end).
  std::vector<std::pair<std::size_t, std::size_t>> find_all(std::string_view valid_utf8) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
  std::string where_;
};

/// The expression with every special character escaped.
std::string escape_regex(std::string_view literal);

}  // namespace r1::text

// Math environments and boxes in running text. Every search forward is remembered, so that the whole scan is linear.
#include <algorithm>
#include <optional>

#include "verify/candidates.h"
#include "verify/text_scan.h"

namespace r1::verify {
namespace {

constexpr int kMaxJoined = 5;  // further environments behind the first

/// The next place of a fixed text; questions with rising positions cost one pass in total.
class ForwardFinder {
 public:
  ForwardFinder(std::string_view text, std::string_view needle) : text_(text), needle_(needle) {}
  std::size_t find(std::size_t from) {
    if (!valid_ || from < from_ || from > found_) {
      found_ = text_.find(needle_, from);
      from_ = from;
      valid_ = true;
    }
    return found_;
  }

 private:
  std::string_view text_, needle_;
  std::size_t from_ = 0, found_ = 0;
  bool valid_ = false;
};

struct Environment {
  std::string_view content;
  std::size_t end;
};

class EnvironmentScanner {
 public:
  explicit EnvironmentScanner(std::string_view text)
      : text_(text),
        dollars_(text, "$$"),
        bracket_(text, "\\]"),
        parenthesis_(text, "\\)"),
        newline_(text, "\n"),
        box_(text, "\\boxed{"),
        brace_(text, "}") {}

  /// Up to six environments from position on, with their percent signs; nothing when there is none.
  bool match(std::size_t position, bool boxed, Candidate& candidate) {
    if (!may_start(position)) return false;
    auto environment = match_one(position, boxed);
    if (!environment) return false;
    candidate.pieces.clear();
    candidate.end = add_piece(*environment, candidate);
    for (int i = 0; i < kMaxJoined; ++i) {
      if (boxed) candidate.end = skip_spaces(text_, candidate.end);
      std::size_t next = skip_spaces(text_, candidate.end);
      const std::size_t separator = separator_length(next);
      if (separator == 0) continue;
      environment = match_after_spaces(next + separator, boxed);
      if (!environment) break;
      candidate.end = add_piece(*environment, candidate);
    }
    return true;
  }

  /// White space, then environments; the blank of " [x] " may be the last one that was skipped.
  bool match_behind_spaces(std::size_t position, bool boxed, Candidate& candidate) {
    const std::size_t begin = skip_spaces(text_, position);
    if (match(begin, boxed, candidate)) return true;
    return begin > position && match(begin - space_length_before(text_, begin), boxed, candidate);
  }

 private:
  /// Cheap: most bytes of a text start nothing.
  bool may_start(std::size_t position) const {
    if (position >= text_.size()) return false;
    const char c = text_[position];
    return c == '$' || c == '\\' || c == '-' || static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x80;
  }
  char at(std::size_t position) const { return position < text_.size() ? text_[position] : '\0'; }
  char before(std::size_t position) const { return position > 0 ? text_[position - 1] : '\0'; }

  std::size_t separator_length(std::size_t position) const {
    const std::string_view rest = text_.substr(position);
    for (const std::string_view separator :
         {std::string_view(",and"), std::string_view("and"), std::string_view(",or"), std::string_view("or"), std::string_view(",")})
      if (rest.starts_with(separator)) return separator.size();
    return 0;
  }

  std::optional<Environment> match_after_spaces(std::size_t position, bool boxed) {
    const std::size_t begin = skip_spaces(text_, position);
    if (auto environment = match_one(begin, boxed)) return environment;
    if (begin == position) return std::nullopt;
    return match_one(begin - space_length_before(text_, begin), boxed);
  }

  std::size_t add_piece(const Environment& environment, Candidate& candidate) {
    std::size_t end = skip_spaces(text_, environment.end);
    bool percent = false;
    const std::string_view rest = text_.substr(end);
    for (const std::string_view sign : {std::string_view("\\%"), std::string_view("%"), std::string_view("percent"),
                                        std::string_view("Percent"), std::string_view("pct"), std::string_view("Pct")}) {
      if (!rest.starts_with(sign)) continue;
      percent = true;
      end += sign.size();
      break;
    }
    candidate.pieces.push_back({environment.content, false, percent});
    return end;
  }

  std::optional<Environment> match_one(std::size_t position, bool boxed) {
    const char c = at(position);
    std::optional<Environment> found;
    if (c == '$') {
      if (at(position + 1) == '$') found = display_dollars(position);
      if (!found || (boxed && !has_box(*found))) found = inline_dollar(position);
    } else if (c == '\\') {
      if (at(position + 1) == '[') found = delimited(position, bracket_, false);
      else if (at(position + 1) == '(') found = delimited(position, parenthesis_, true);
      else if (!boxed) found = fraction(position);
    } else if (c == '-' && !boxed) {
      found = fraction(position);
    } else if (const std::size_t space = space_length(text_, position); space > 0 && at(position + space) == '[') {
      found = spaced_bracket(position + space);
    }
    if (found && boxed && !has_box(*found)) return std::nullopt;
    return found;
  }

  /// The content holds \boxed{ and, at least one character later, a closing brace.
  bool has_box(const Environment& environment) {
    const std::size_t begin = static_cast<std::size_t>(environment.content.data() - text_.data());
    const std::size_t end = begin + environment.content.size();
    const std::size_t box = box_.find(begin);
    if (box == std::string_view::npos || box + 8 >= end) return false;
    const std::size_t close = brace_.find(box + 8);
    return close != std::string_view::npos && close < end;
  }

  std::optional<Environment> display_dollars(std::size_t position) {
    if (before(position) == '\\') return std::nullopt;
    const std::size_t close = dollars_.find(position + 2);
    if (close == std::string_view::npos || close == position + 2 || before(close) == '\\') return std::nullopt;
    return Environment{text_.substr(position + 2, close - position - 2), close + 2};
  }

  std::optional<Environment> inline_dollar(std::size_t position) const {
    if (before(position) == '\\' || is_ascii_digit(before(position))) return std::nullopt;
    std::size_t close = position + 1;
    while (close < text_.size() && text_[close] != '\n' && (text_[close] != '$' || (close > position + 1 && text_[close - 1] == '\\')))
      ++close;
    if (at(close) != '$' || close == position + 1) return std::nullopt;
    return Environment{text_.substr(position + 1, close - position - 1), close + 1};
  }

  std::optional<Environment> delimited(std::size_t position, ForwardFinder& closer, bool one_line) {
    if (before(position) == '\\') return std::nullopt;
    const std::size_t close = closer.find(position + 2);
    if (close == std::string_view::npos || close == position + 2 || before(close) == '\\') return std::nullopt;
    if (one_line && newline_.find(position + 2) < close) return std::nullopt;
    return Environment{text_.substr(position + 2, close - position - 2), close + 2};
  }

  std::optional<Environment> spaced_bracket(std::size_t open) const {
    const std::size_t close = text_.find_first_of("\n[]", open + 1);
    if (close == std::string_view::npos || text_[close] != ']' || close == open + 1) return std::nullopt;
    const std::size_t space = space_length(text_, close + 1);
    if (space == 0) return std::nullopt;
    return Environment{text_.substr(open + 1, close - open - 1), close + 1 + space};
  }

  /// {12}, {-1.5}: the position behind it, or 0.
  std::size_t braced_number(std::size_t position) const {
    const auto digits = [&] {
      const std::size_t from = position;
      while (is_ascii_digit(at(position))) ++position;
      return position > from;
    };
    if (at(position++) != '{') return 0;
    if (at(position) == '-') ++position;
    if (!digits()) return 0;
    if (at(position) == '.' || at(position) == ',') {
      ++position;
      if (!digits()) return 0;
    }
    return at(position) == '}' ? position + 1 : 0;
  }

  std::optional<Environment> fraction(std::size_t position) const {
    const std::size_t name = position + (at(position) == '-' ? 1 : 0);
    if (!text_.substr(name).starts_with("\\frac{")) return std::nullopt;
    const std::size_t middle = braced_number(name + 5);
    const std::size_t end = middle > 0 ? braced_number(middle) : 0;
    if (end == 0) return std::nullopt;
    return Environment{text_.substr(position, end - position), end};
  }

  std::string_view text_;
  ForwardFinder dollars_, bracket_, parenthesis_, newline_, box_, brace_;
};

void find_plain(std::string_view text, bool boxed, std::vector<Candidate>& found) {
  if (boxed && text.find("\\boxed{") == std::string_view::npos) return;
  EnvironmentScanner scanner(text);
  Candidate candidate;
  for (std::size_t position = 0; position < text.size();) {
    if (scanner.match(position, boxed, candidate)) {
      candidate.begin = position;
      found.push_back(candidate);
      position = candidate.end;
    } else {
      ++position;
    }
  }
}

/// "The final answer is $…$. I hope it is correct."
void find_hopeful(std::string_view text, std::vector<Candidate>& found) {
  constexpr std::string_view kAnchor = "final answer is";
  EnvironmentScanner scanner(text);
  Candidate candidate;
  for (std::size_t anchor = 0; (anchor = find_ignoring_case(text, kAnchor, anchor)) != std::string_view::npos;) {
    std::size_t position = anchor + kAnchor.size();
    if (position < text.size() && text[position] == ':') ++position;
    std::size_t end = std::string_view::npos;
    if (scanner.match_behind_spaces(position, false, candidate)) {
      // The blanks behind the environment are part of it already, but for one that may stand before the "I".
      std::size_t tail = candidate.end;
      if (tail < text.size() && text[tail] == '.') ++tail;
      tail += space_length(text, tail);
      if (text.substr(tail).starts_with("I hope")) end = tail + 6;
    }
    if (end != std::string_view::npos) {
      candidate.begin = anchor;
      candidate.end = end;
      found.push_back(candidate);
      anchor = end;
    } else {
      ++anchor;
    }
  }
}

/// "final answer to the question is: $…$", with at most 100 characters between.
void find_final_is(std::string_view text, std::vector<Candidate>& found) {
  constexpr std::string_view kAnchor = "final answer";
  EnvironmentScanner scanner(text);
  Candidate candidate;
  for (std::size_t anchor = 0; (anchor = find_ignoring_case(text, kAnchor, anchor)) != std::string_view::npos;) {
    std::size_t position = anchor + kAnchor.size();
    bool matched = false;
    for (int k = 0; k <= 100 && position < text.size() && !matched; ++k) {
      const std::size_t word = skip_spaces(text, position);
      if (word > position && text.substr(word).starts_with("is")) {
        std::size_t behind = word + 2;
        if (behind < text.size() && text[behind] == ':') ++behind;
        matched = scanner.match_behind_spaces(behind, false, candidate);
      }
      position += code_point_length(text, position);
    }
    if (matched) {
      candidate.begin = anchor;
      found.push_back(candidate);
      anchor = candidate.end;
    } else {
      ++anchor;
    }
  }
}

/// "answer: … $…$" with at most 50 characters between.
void find_answer(std::string_view text, std::string_view anchor_text, std::vector<Candidate>& found) {
  EnvironmentScanner scanner(text);
  Candidate candidate;
  for (std::size_t anchor = 0; (anchor = find_ignoring_case(text, anchor_text, anchor)) != std::string_view::npos;) {
    std::size_t position = anchor + anchor_text.size();
    bool matched = false;
    for (int k = 0; k <= 50 && position < text.size() && !matched; ++k) {
      matched = scanner.match(position, false, candidate);
      position += code_point_length(text, position);
    }
    if (matched) {
      candidate.begin = anchor;
      found.push_back(candidate);
      anchor = candidate.end;
    } else {
      ++anchor;
    }
  }
}

void find_boxes(std::string_view text, std::vector<Candidate>& found) {
  constexpr std::string_view kBox = "\\boxed{";
  find_plain(text, true, found);
  const std::size_t begin = text.find(kBox), last_brace = text.rfind('}');
  if (begin == std::string_view::npos || last_brace == std::string_view::npos || last_brace < begin + kBox.size() + 1) return;
  Candidate candidate;
  candidate.begin = begin;
  candidate.end = last_brace + 1;
  candidate.pieces = {{text.substr(begin, candidate.end - begin), true, false}};
  found.push_back(std::move(candidate));
}

}  // namespace

std::size_t find_ignoring_case(std::string_view text, std::string_view lower_case, std::size_t from) {
  const char lower = lower_case[0], upper = static_cast<char>(lower & ~0x20);
  std::size_t next_lower = text.find(lower, from), next_upper = text.find(upper, from);
  while (true) {
    const std::size_t i = std::min(next_lower, next_upper);
    if (i == std::string_view::npos || i + lower_case.size() > text.size()) return std::string_view::npos;
    if (starts_with_ignoring_case(text, i, lower_case)) return i;
    (i == next_lower ? next_lower : next_upper) = text.find(text[i], i + 1);
  }
}

void find_latex(std::string_view text, int priority, int boxed_priority, bool without_anchor, std::vector<Candidate>& found) {
  const std::size_t first_answer = priority <= 200 ? find_ignoring_case(text, "answer", 0) : std::string_view::npos;
  // Every environment begins with one of these. (One pass each: find_first_of would search the set for each character.)
  const auto has = [&](char c) { return text.find(c) != std::string_view::npos; };
  if (!has('$') && !has('\\') && !has('[')) return;
  if (first_answer == std::string_view::npos) {  // no anchor anywhere
    if (priority == 300 && without_anchor) find_plain(text, false, found);
    if (priority == boxed_priority) find_boxes(text, found);
    return;
  }
  if (priority == 0) find_hopeful(text, found);
  if (priority == 50) find_final_is(text, found);
  if (priority == 100) find_answer(text, "answer:", found);
  if (priority == 200) find_answer(text, "answer", found);
  if (priority == boxed_priority) find_boxes(text, found);
}

}  // namespace r1::verify

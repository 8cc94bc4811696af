// Numbers, arithmetic expressions and answer letters outside of LaTeX.
#include <algorithm>
#include <functional>
#include <string>

#include "verify/candidates.h"
#include "verify/text_scan.h"

namespace r1::verify {
namespace {

constexpr std::size_t kMaxReadings = 200;  // ways to end one number or expression that are tried

bool is_operator(std::string_view text, std::size_t position, std::size_t& length) {
  const char c = text[position];
  length = 1;
  if (c == '+' || c == '-' || c == '*' || c == '/' || c == '^' || c == '(' || c == ')') return true;
  length = 2;
  return c == '\xC3' && (text.substr(position).starts_with("×") || text.substr(position).starts_with("÷"));
}

/// Bytes of a character of an expression at position, or 0.
std::size_t expression_character(std::string_view text, std::size_t position) {
  if (position >= text.size()) return 0;
  if (is_ascii_digit(text[position]) || text[position] == '.') return 1;
  std::size_t length = 0;
  return is_operator(text, position, length) ? length : space_length(text, position);
}

bool at_text_end(std::string_view text, std::size_t position) {
  return position == text.size() || (position + 1 == text.size() && text[position] == '\n');
}

std::size_t digits_end(std::string_view text, std::size_t position) {
  while (position < text.size() && is_ascii_digit(text[position])) ++position;
  return position;
}

class ExpressionScanner {
 public:
  explicit ExpressionScanner(std::string_view text) : text_(text) {
    const std::size_t last_digit = text.find_last_of("0123456789");
    digits_end_ = last_digit == std::string_view::npos ? 0 : last_digit + 1;
  }

  /// Every expression and every number holds a digit: from here on there is none.
  bool nothing_from(std::size_t position) const { return position >= digits_end_; }

  /// Cheap: only the start of the text, a blank and "=" come before an expression.
  bool may_start(std::size_t position) const {
    if (position == 0) return true;
    if (position >= text_.size()) return false;
    const char c = text_[position];
    return c == '=' || static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x80;
  }

  using Accept = std::function<bool(Candidate&)>;

  /// Readings of an expression, then of a number, that start at position; the first that is accepted.
  bool match(std::size_t position, Candidate& candidate, const Accept& accept) {
    if (nothing_from(position) || !may_start(position)) return false;
    return match_expression(position, candidate, accept) || match_number(position, candidate, accept);
  }

  bool match_expression(std::size_t position, Candidate& candidate, const Accept& accept) {
    return behind_prefix(position, [&](std::size_t begin) { return expression_at(begin, candidate, accept); });
  }

  bool match_number(std::size_t position, Candidate& candidate, const Accept& accept) {
    return behind_prefix(position, [&](std::size_t begin) {
      const std::size_t currency = currency_length(begin);
      return (currency > 0 && number_at(begin + currency, candidate, accept)) || number_at(begin, candidate, accept);
    });
  }

 private:
  char at(std::size_t position) const { return position < text_.size() ? text_[position] : '\0'; }

  /// The start of the text, a blank or "=" stands before; then bold stars may.
  template <typename Body>
  bool behind_prefix(std::size_t position, const Body& body) {
    const auto with_stars = [&](std::size_t begin) { return body(text_.substr(begin).starts_with("**") ? begin + 2 : begin); };
    if (position == 0 && with_stars(0)) return true;
    if (at(position) == '=' && position < text_.size()) return with_stars(position + 1);
    const std::size_t space = space_length(text_, position);
    return space > 0 && with_stars(position + space);
  }

  std::size_t currency_length(std::size_t position) const {
    if (at(position) == '$') return 1;
    const std::string_view rest = text_.substr(std::min(position, text_.size()));
    for (const std::string_view sign : {std::string_view("£"), std::string_view("¥"), std::string_view("฿")})
      if (rest.starts_with(sign)) return sign.size();
    // U+20A0 … U+20BF, the block of currency signs
    return rest.size() >= 3 && rest.starts_with("\xE2\x82") && static_cast<unsigned char>(rest[2]) >= 0xA0 ? 3 : 0;
  }

  /// End of the match when the expression ends at position: stars, then a punctuation mark, a blank or the end of the text.
  std::size_t suffix_end(std::size_t position) const {
    for (const std::size_t from : {text_.substr(position).starts_with("**") ? position + 2 : position, position}) {
      const char c = at(from);
      if (from < text_.size() && (c == '.' || c == ',' || c == ':' || c == ')' || c == '$')) return from + 1;
      if (const std::size_t space = space_length(text_, from)) return from + space;
      if (at_text_end(text_, from)) return from;
    }
    return std::string_view::npos;
  }

  bool expression_at(std::size_t begin, Candidate& candidate, const Accept& accept) {
    std::size_t first = begin;
    if (at(first) == '-') ++first;
    if (at(first) == '(') ++first;
    if (at(first) == '-') ++first;
    if (!is_ascii_digit(at(first))) return false;
    if (first < run_begin_ || first >= run_end_) {
      run_begin_ = run_end_ = first;
      while (const std::size_t length = expression_character(text_, run_end_)) run_end_ += length;
    }
    // The shortest expression ends one character behind its first operator.
    std::size_t shortest = first + 1, length = 0;
    while (shortest < run_end_ && !is_operator(text_, shortest, length)) ++shortest;
    if (shortest >= run_end_) return false;
    shortest += length;
    if (shortest >= run_end_) return false;
    shortest += expression_character(text_, shortest);
    std::size_t readings = 0;
    for (std::size_t end = run_end_; end >= shortest && readings < kMaxReadings; --end) {
      if (end < text_.size() && is_continuation(text_[end])) continue;
      const std::size_t match_end = suffix_end(end);
      if (match_end == std::string_view::npos) continue;
      ++readings;
      candidate.target = Target::kExpression;
      candidate.expression = text_.substr(begin, end - begin);
      candidate.integer = candidate.decimal = {};
      candidate.percent = false;
      candidate.end = match_end;
      if (accept(candidate)) return true;
    }
    return false;
  }

  std::size_t percent_end(std::size_t position) const {
    const std::size_t sign = skip_spaces(text_, position);
    const std::string_view rest = text_.substr(std::min(sign, text_.size()));
    if (rest.starts_with("%")) return sign + 1;
    for (const std::string_view word :
         {std::string_view("percent"), std::string_view("Percent"), std::string_view("pct"), std::string_view("Pct")})
      if (rest.starts_with(word)) return sign + word.size();
    return 0;
  }

  bool offer(std::string_view integer, std::string_view decimal, std::size_t end, Candidate& candidate, const Accept& accept) {
    candidate.target = Target::kExpression;
    candidate.expression = {};
    candidate.integer = integer;
    candidate.decimal = decimal;
    candidate.percent = true;
    candidate.end = percent_end(end);
    if (candidate.end > 0 && accept(candidate)) return true;
    candidate.percent = false;
    candidate.end = end;
    return accept(candidate);
  }

  /// A decimal part of every length, the longest first, then none; `mark` is where its point would stand.
  bool offer_decimals(std::size_t begin, std::size_t mark, bool comma_allowed, bool needed, Candidate& candidate, const Accept& accept,
                      std::size_t& readings) {
    const std::string_view integer = text_.substr(begin, mark - begin);
    if (at(mark) == '.' || (comma_allowed && at(mark) == ','))
      for (std::size_t end = digits_end(text_, mark + 1); end > mark + 1 && readings++ < kMaxReadings; --end)
        if (offer(integer, text_.substr(mark, end - mark), end, candidate, accept)) return true;
    return !needed && readings++ < kMaxReadings && offer(integer, {}, mark, candidate, accept);
  }

  bool number_at(std::size_t begin, Candidate& candidate, const Accept& accept) {
    if (begin >= text_.size()) return false;
    const std::size_t first = begin + (at(begin) == '-' ? 1 : 0);
    const std::size_t run = digits_end(text_, first);
    std::size_t readings = 0;
    // 1,234,567.89: groups of three
    if (run > first && run - first <= 3 && at(first) != '0') {
      std::vector<std::size_t> ends;
      for (std::size_t end = run; (at(end) == ' ' || at(end) == ',') && digits_end(text_, end + 1) >= end + 4;) ends.push_back(end += 4);
      while (!ends.empty()) {
        if (offer_decimals(begin, ends.back(), false, false, candidate, accept, readings)) return true;
        ends.pop_back();
      }
    }
    if (run > first && offer_decimals(begin, run, true, true, candidate, accept, readings)) return true;
    if (at(begin) == '.' && offer_decimals(begin, begin, false, true, candidate, accept, readings)) return true;
    for (std::size_t end = run; end > first && readings++ < kMaxReadings; --end)
      if (offer(text_.substr(begin, end - begin), {}, end, candidate, accept)) return true;
    return false;
  }

  std::string_view text_;
  std::size_t run_begin_ = 0, run_end_ = 0;
  std::size_t digits_end_ = 0;  // behind the last digit of the text
};

bool accept_any(Candidate&) { return true; }

/// All non-overlapping matches of one pattern; try_at(anchor, candidate) sets the end.
template <typename TryAt>
void find_all(std::string_view text, std::string_view anchor_text, std::vector<Candidate>& found, const TryAt& try_at) {
  Candidate candidate;
  for (std::size_t anchor = 0; anchor <= text.size();) {
    if (!anchor_text.empty()) anchor = find_ignoring_case(text, anchor_text, anchor);
    if (anchor == std::string_view::npos) return;
    if (try_at(anchor, candidate)) {
      candidate.begin = anchor;
      anchor = std::max(candidate.end, anchor + 1);
      found.push_back(candidate);
    } else {
      ++anchor;
    }
  }
}

/// "answer … = 5", or "answer … 5" with at most 50 characters between; no "=" may follow.
bool match_behind_answer(std::string_view text, std::size_t begin, ExpressionScanner& scanner, Candidate& candidate) {
  const auto no_equal_sign = [&](Candidate& reading) {
    const std::size_t next = skip_spaces(text, reading.end);
    return next >= text.size() || text[next] != '=';
  };
  if (scanner.nothing_from(begin)) return false;
  std::vector<std::size_t> equal_signs;
  std::size_t position = begin;
  for (int k = 0; k <= 100 && position < text.size(); ++k) {
    if (text[position] == '=') equal_signs.push_back(position);
    if (text[position] == '\n') break;
    position += code_point_length(text, position);
  }
  while (!equal_signs.empty()) {
    const std::size_t after = skip_spaces(text, equal_signs.back() + 1);
    // The number needs a blank (or a further "=") before it, which is the last of the skipped ones.
    if (scanner.match(after, candidate, no_equal_sign)) return true;
    if (after > equal_signs.back() + 1 && scanner.match(after - space_length_before(text, after), candidate, no_equal_sign)) return true;
    equal_signs.pop_back();
  }
  position = begin;
  for (int k = 0; k <= 50 && position < text.size(); ++k) {
    if (scanner.match(position, candidate, no_equal_sign)) return true;
    if (text[position] == '\n') break;
    position += code_point_length(text, position);
  }
  return false;
}

bool is_choice(char c) { return c >= 'A' && c <= 'D'; }

/// Stars, then a punctuation mark, a blank or the end; the position behind it, or npos.
std::size_t choice_suffix(std::string_view text, std::size_t position) {
  for (const std::size_t from : {text.substr(position).starts_with("**") ? position + 2 : position, position}) {
    if (from < text.size() && (text[from] == '.' || text[from] == ',' || text[from] == ':')) return from + 1;
    if (const std::size_t space = space_length(text, from)) return from + space;
    if (at_text_end(text, from)) return from;
  }
  return std::string_view::npos;
}

bool match_letter(std::string_view text, std::size_t position, Candidate& candidate) {
  if (text.substr(position).starts_with("**")) position += 2;
  if (position >= text.size() || !is_choice(text[position])) return false;
  candidate.target = Target::kChoice;
  candidate.letter = text[position];
  candidate.end = choice_suffix(text, position + 1);
  return candidate.end != std::string_view::npos;
}

/// A letter behind the start of the text or a blank.
bool match_isolated_letter(std::string_view text, std::size_t position, Candidate& candidate) {
  if (position == 0 && match_letter(text, 0, candidate)) return true;
  const std::size_t space = space_length(text, position);
  return space > 0 && match_letter(text, position + space, candidate);
}

/// Behind "is", a colon and blanks.
std::size_t behind_is(std::string_view text, std::size_t position) {
  if (position < text.size() && text[position] == ':') ++position;
  return skip_spaces(text, position);
}

}  // namespace

void find_expressions(std::string_view text, int priority, std::vector<Candidate>& found) {
  ExpressionScanner scanner(text);
  if (priority == 0) {
    find_all(text, "final answer is", found, [&](std::size_t anchor, Candidate& candidate) {
      std::size_t position = anchor + 15;
      if (position < text.size() && text[position] == ':') ++position;
      const std::size_t after = skip_spaces(text, position);
      const auto hopes = [&](Candidate& reading) {
        std::size_t tail = reading.end;
        if (tail < text.size() && text[tail] == '.') ++tail;
        tail += space_length(text, tail);
        if (!text.substr(std::min(tail, text.size())).starts_with("I hope")) return false;
        reading.end = tail + 6;
        return true;
      };
      if (scanner.match(after, candidate, hopes)) return true;
      return after > position && scanner.match(after - space_length_before(text, after), candidate, hopes);
    });
  } else if (priority == 50) {
    find_all(text, "final answer", found, [&](std::size_t anchor, Candidate& candidate) {
      std::size_t position = anchor + 12;
      if (scanner.nothing_from(position)) return false;
      for (int k = 0; k <= 100 && position < text.size(); ++k) {
        const std::size_t word = skip_spaces(text, position);
        if (word > position && text.substr(word).starts_with("is")) {
          if (word + 2 < text.size() && text[word + 2] == ':' && scanner.match(word + 3, candidate, accept_any)) return true;
          if (word + 2 <= text.size() && scanner.match(word + 2, candidate, accept_any)) return true;
        }
        if (text[position] == '\n') break;
        position += code_point_length(text, position);
      }
      return false;
    });
  } else if (priority == 100) {
    find_all(text, "answer:", found,
             [&](std::size_t anchor, Candidate& candidate) { return match_behind_answer(text, anchor + 7, scanner, candidate); });
  } else if (priority == 200) {
    find_all(text, "answer", found,
             [&](std::size_t anchor, Candidate& candidate) { return match_behind_answer(text, anchor + 6, scanner, candidate); });
  } else if (priority == 300) {
    find_all(text, "", found, [&](std::size_t position, Candidate& candidate) {
      return scanner.may_start(position) && scanner.match_expression(position, candidate, accept_any);
    });
    find_all(text, "", found, [&](std::size_t position, Candidate& candidate) {
      return scanner.may_start(position) && scanner.match_number(position, candidate, accept_any);
    });
  }
}

void find_choices(std::string_view text, int priority, std::vector<Candidate>& found) {
  const auto near_answer = [&](std::size_t begin, Candidate& candidate) {
    std::size_t position = begin;
    for (int k = 0; k <= 50 && position < text.size(); ++k) {
      if (match_isolated_letter(text, position, candidate)) return true;
      if (text[position] == '\n') break;
      position += code_point_length(text, position);
    }
    return false;
  };
  const auto bare_letter = [&](std::size_t position, Candidate& candidate) {
    if (position >= text.size() || !is_choice(text[position])) return false;
    candidate.target = Target::kChoice;
    candidate.letter = text[position];
    candidate.end = position + 1;
    return true;
  };
  if (priority == 0) {
    find_all(text, "final answer is", found, [&](std::size_t anchor, Candidate& candidate) {
      if (!bare_letter(behind_is(text, anchor + 15), candidate)) return false;
      std::size_t tail = candidate.end;
      if (tail < text.size() && text[tail] == '.') ++tail;
      tail += space_length(text, tail);
      if (!text.substr(std::min(tail, text.size())).starts_with("I hope")) return false;
      candidate.end = tail + 6;
      return true;
    });
  } else if (priority == 50) {
    find_all(text, "final answer", found, [&](std::size_t anchor, Candidate& candidate) {
      std::size_t position = anchor + 12;
      for (int k = 0; k <= 100 && position < text.size(); ++k) {
        const std::size_t word = skip_spaces(text, position);
        if (word > position && text.substr(word).starts_with("is") && bare_letter(behind_is(text, word + 2), candidate)) return true;
        if (text[position] == '\n') break;
        position += code_point_length(text, position);
      }
      return false;
    });
  } else if (priority == 100) {
    find_all(text, "answer:", found, [&](std::size_t anchor, Candidate& candidate) { return near_answer(anchor + 7, candidate); });
  } else if (priority == 200) {
    find_all(text, "answer", found, [&](std::size_t anchor, Candidate& candidate) { return near_answer(anchor + 6, candidate); });
  } else if (priority == 250) {
    Candidate candidate;
    if (match_letter(text, 0, candidate)) found.push_back(std::move(candidate));
  } else if (priority == 300) {
    find_all(text, "", found, [&](std::size_t position, Candidate& candidate) { return match_isolated_letter(text, position, candidate); });
  }
}

}  // namespace r1::verify

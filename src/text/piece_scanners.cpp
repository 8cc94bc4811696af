#include "text/piece_scanners.h"

#include <cstdint>

#include "text/unicode.h"

namespace r1::text {

const char* const kQwenExpression =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
const char* const kLlama3Expression =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
const char* const kDeepSeekExpressions[3] = {
    R"re(\p{N}{1,3})re", "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"};
const char* const kGpt2Expression = R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re";

namespace {

/// A cursor's view of the code point at a place: its classes and length; classes 0 and length 0 at the end.
struct CharView {
  std::uint8_t classes = 0;
  std::uint32_t length = 0;
};

class Scanner {
 public:
  explicit Scanner(std::string_view text)
      : begin_(text.data()), end_(text.data() + text.size()), table_(CharClassTable::instance()), ascii_(table_.ascii()) {}

  CharView at(const char* p) const {
    if (p >= end_) return {};
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) return {ascii_[byte], 1};
    const DecodedChar character = decode_char(p);
    return {table_[character.code_point], character.length};
  }

  const char* skip_any_of(const char* p, std::uint8_t classes) const {
    while (p < end_) {
      const auto byte = static_cast<unsigned char>(*p);
      if (byte < 0x80) {
        if ((ascii_[byte] & classes) == 0) return p;
        ++p;
        continue;
      }
      const DecodedChar character = decode_char(p);
      if ((table_[character.code_point] & classes) == 0) return p;
      p += character.length;
    }
    return p;
  }

  const char* skip_none_of(const char* p, std::uint8_t classes) const {
    while (p < end_) {
      const auto byte = static_cast<unsigned char>(*p);
      if (byte < 0x80) {
        if ((ascii_[byte] & classes) != 0) return p;
        ++p;
        continue;
      }
      const DecodedChar character = decode_char(p);
      if ((table_[character.code_point] & classes) != 0) return p;
      p += character.length;
    }
    return p;
  }

  const char* skip_newlines(const char* p) const {
    while (p < end_ && (*p == '\r' || *p == '\n')) ++p;
    return p;
  }

  /// \s*[\r\n]+|\s+(?!\S)|\s+ at a white-space character.
  const char* white_space(const char* p) const {
    const char* last_newline_end = nullptr;
    const char* last_char = p;
    const char* q = p;
    while (q < end_) {
      const CharView view = at(q);
      if ((view.classes & kWhiteSpace) == 0) break;
      last_char = q;
      q += view.length;
      if ((view.classes & kNewline) != 0) last_newline_end = q;
    }
    if (last_newline_end != nullptr) return last_newline_end;
    if (q == end_ || last_char == p) return q;
    return last_char;  // the last one belongs to the next word
  }

  /// 's 't 're 've 'm 'll 'd in any case (U+017F folds to s), or p when there is none.
  const char* contraction(const char* p) const {
    if (end_ - p < 2) return p;
    const char first = lower(p[1]);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return p + 2;
    if (end_ - p < 3) return p;
    if (static_cast<unsigned char>(p[1]) == 0xC5 && static_cast<unsigned char>(p[2]) == 0xBF) return p + 3;
    const char second = lower(p[2]);
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return p + 3;
    return p;
  }

  const char* begin() const { return begin_; }
  const char* end() const { return end_; }

 private:
  static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
  const char* begin_;
  const char* end_;
  const CharClassTable& table_;
  const std::uint8_t* ascii_;
};

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

/// The third DeepSeek expression at p, or nullptr when it does not match there.
const char* match_deepseek_word(const Scanner& scanner, const char* p) {
  constexpr std::uint8_t kWord = kLetter | kMark, kSigns = kPunctuation | kSymbol;
  const CharView view = scanner.at(p);
  const char* next = p + view.length;
  if (is_ascii_punctuation(*p) && next < scanner.end() && is_ascii_letter(*next)) {
    while (next < scanner.end() && is_ascii_letter(*next)) ++next;
    return next;
  }
  if ((view.classes & kWord) != 0) return scanner.skip_any_of(next, kWord);
  if ((view.classes & (kSigns | kNewline)) == 0 && (scanner.at(next).classes & kWord) != 0) return scanner.skip_any_of(next, kWord);
  if ((view.classes & kSigns) != 0) return scanner.skip_newlines(scanner.skip_any_of(next, kSigns));
  if (*p == ' ' && (scanner.at(next).classes & kSigns) != 0) return scanner.skip_newlines(scanner.skip_any_of(next, kSigns));
  if ((view.classes & kWhiteSpace) != 0) return scanner.white_space(p);
  return nullptr;
}

void scan_deepseek_words(std::string_view text, std::size_t base, std::vector<std::size_t>& ends) {
  const Scanner scanner(text);
  bool unmatched = false;  // code points that no alternative takes stay together
  for (const char* p = scanner.begin(); p < scanner.end();) {
    const char* match_end = match_deepseek_word(scanner, p);
    if (match_end == nullptr) {
      unmatched = true;
      p += scanner.at(p).length;
      continue;
    }
    if (unmatched) ends.push_back(base + static_cast<std::size_t>(p - scanner.begin()));
    unmatched = false;
    p = match_end;
    ends.push_back(base + static_cast<std::size_t>(p - scanner.begin()));
  }
  if (unmatched) ends.push_back(base + text.size());
}

bool is_chinese_or_kana(char32_t c) { return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF); }

}  // namespace

void scan_words(std::string_view text, int max_digits, std::size_t base, std::vector<std::size_t>& ends) {
  const Scanner scanner(text);
  constexpr std::uint8_t kNoSign = kWhiteSpace | kLetter | kNumber;
  const char* p = scanner.begin();
  while (p < scanner.end()) {
    const CharView view = scanner.at(p);
    const char* next = p + view.length;
    const char* piece_end = p;
    if ((view.classes & kLetter) != 0) {
      piece_end = scanner.skip_any_of(next, kLetter);
    } else if ((view.classes & kNumber) != 0) {
      piece_end = next;
      for (int digits = 1; digits < max_digits; ++digits) {
        const CharView digit = scanner.at(piece_end);
        if ((digit.classes & kNumber) == 0) break;
        piece_end += digit.length;
      }
    } else {
      if (*p == '\'') piece_end = scanner.contraction(p);
      if (piece_end == p) {
        const CharView following = scanner.at(next);
        if ((following.classes & kLetter) != 0 && (view.classes & kNewline) == 0) {
          piece_end = scanner.skip_any_of(next + following.length, kLetter);
        } else if ((view.classes & kWhiteSpace) == 0) {
          piece_end = scanner.skip_newlines(scanner.skip_none_of(next, kNoSign));
        } else if (*p == ' ' && following.length > 0 && (following.classes & kNoSign) == 0) {
          piece_end = scanner.skip_newlines(scanner.skip_none_of(next, kNoSign));
        } else {
          piece_end = scanner.white_space(p);
        }
      }
    }
    p = piece_end;
    ends.push_back(base + static_cast<std::size_t>(p - scanner.begin()));
  }
}

void scan_deepseek(std::string_view text, std::size_t base, std::vector<std::size_t>& ends) {
  const CharClassTable& table = CharClassTable::instance();
  std::size_t begin = 0;
  enum class Stretch { kOther, kChinese };
  Stretch stretch = Stretch::kOther;
  const auto flush = [&](std::size_t end) {
    if (end > begin) scan_deepseek_words(text.substr(begin, end - begin), base + begin, ends);
    begin = end;
  };
  for (std::size_t position = 0; position < text.size();) {
    DecodedChar character = decode_char(text.data() + position);
    if ((table[character.code_point] & kNumber) != 0) {
      flush(position);
      for (int digits = 0; digits < 3 && position < text.size(); ++digits) {
        character = decode_char(text.data() + position);
        if ((table[character.code_point] & kNumber) == 0) break;
        position += character.length;
      }
      ends.push_back(base + position);
      begin = position;
      stretch = Stretch::kOther;
      continue;
    }
    const Stretch current = is_chinese_or_kana(character.code_point) ? Stretch::kChinese : Stretch::kOther;
    if (current != stretch) {
      flush(position);
      stretch = current;
    }
    position += character.length;
  }
  flush(text.size());
}

}  // namespace r1::text

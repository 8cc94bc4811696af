#include "text/template_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/strings.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

using Type = TemplateToken::Type;

// Python's str.isspace for ASCII, with the separators that Unicode's White_Space lacks.
bool is_python_space(char32_t c) { return (char_classes(c) & kWhiteSpace) != 0 || (c >= 0x1C && c <= 0x1F); }

std::size_t skip_space(std::string_view text, std::size_t position) {
  while (position < text.size()) {
    std::size_t next = position;
    if (!is_python_space(next_code_point(text, next))) return position;
    position = next;
  }
  return position;
}

/// End of the text without its trailing white space.
std::size_t trimmed_end(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t position = 0; position < text.size();)
    if (!is_python_space(next_code_point(text, position))) end = position;
  return end;
}

bool is_all_space(std::string_view text) { return skip_space(text, 0) == text.size(); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name) : name_(name) {
    source_.reserve(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) {  // every kind of line end is \n
      if (source[i] != '\r') {
        source_ += source[i];
        continue;
      }
      source_ += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
    if (source_.ends_with('\n')) source_.pop_back();  // one line end at the very end is no part of the template
  }

  std::vector<TemplateToken> run() {
    while (position_ < source_.size()) root();
    push(Type::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void reject(std::string_view reason) { fail(ErrorKind::kModel, "{}:{}: {}", name_, line_, reason); }

  void push(Type type, std::string text) { tokens_.push_back({type, std::move(text), line_}); }

  void advance_to(std::size_t position) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(position_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
    line_starting_ = position > position_ ? source_[position - 1] == '\n' : line_starting_;
    position_ = position;
  }

  bool at(std::string_view text, std::size_t position) const { return std::string_view(source_).substr(position).starts_with(text); }

  /// Text up to a tag whose sign is '-', '+' or 0; blocks and comments take the blanks before them on their line along.
  void push_data(std::size_t end, char sign, bool is_variable) {
    std::string_view text = std::string_view(source_).substr(position_, end - position_);
    if (sign == '-') {
      text = text.substr(0, trimmed_end(text));
    } else if (sign != '+' && !is_variable) {
      const std::size_t last_newline = text.rfind('\n');
      const std::size_t line_begin = last_newline == std::string_view::npos ? 0 : last_newline + 1;
      if ((line_begin > 0 || line_starting_) && is_all_space(text.substr(line_begin))) text = text.substr(0, line_begin);
    }
    if (!text.empty()) push(Type::kData, std::string(text));
    advance_to(end);
  }

  char sign_at(std::size_t position) const {
    return position < source_.size() && (source_[position] == '-' || source_[position] == '+') ? source_[position] : '\0';
  }

  /// Behind "%}" or "#}": one line end goes with the tag unless it is marked with '+'; all white space when marked with '-'.
  std::size_t after_tag(std::size_t position, char sign) const {
    if (sign == '-') return skip_space(source_, position);
    if (sign != '+' && position < source_.size() && source_[position] == '\n') return position + 1;
    return position;
  }

  void root() {
    std::size_t tag = position_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        push(Type::kData, source_.substr(position_));
        advance_to(source_.size());
        return;
      }
      const char kind = source_[tag + 1];
      if (kind == '%' || kind == '{' || kind == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    push_data(tag, sign, kind == '{');
    const std::size_t inside = tag + 2 + (sign != '\0' ? 1 : 0);
    if (kind == '#') {
      comment(inside);
    } else if (kind == '{') {
      push(Type::kVariableBegin, "");
      advance_to(inside);
      expression(false);
    } else if (!raw_block(inside)) {
      push(Type::kBlockBegin, "");
      advance_to(inside);
      expression(true);
    }
  }

  void comment(std::size_t inside) {
    const std::size_t end = source_.find("#}", inside);
    if (end == std::string::npos) reject("a comment that begins here has no '#}'");
    const char sign = end > inside ? sign_at(end - 1) : '\0';
    advance_to(after_tag(end + 2, sign));
  }

  /// {% raw %} … {% endraw %}: data as it stands.
  bool raw_block(std::size_t inside) {
    const auto word_then_end = [this](std::size_t position, std::string_view word, std::size_t& after) {
      position = skip_space(source_, position);
      if (!at(word, position)) return false;
      position = skip_space(source_, position + word.size());
      const char sign = sign_at(position);
      if (sign != '\0') ++position;
      if (!at("%}", position)) return false;
      after = word == "raw" ? (sign == '-' ? skip_space(source_, position + 2) : position + 2) : after_tag(position + 2, sign);
      return true;
    };
    std::size_t after = 0;
    if (!word_then_end(inside, "raw", after)) return false;
    advance_to(after);
    for (std::size_t end = source_.find("{%", position_); end != std::string::npos; end = source_.find("{%", end + 2)) {
      const char sign = sign_at(end + 2);
      if (!word_then_end(end + 2 + (sign != '\0' ? 1 : 0), "endraw", after)) continue;
      push_data(end, sign, false);
      advance_to(after);
      return true;
    }
    reject("'raw' without 'endraw'");
  }

  void expression(bool is_block) {
    const std::string_view closing = is_block ? "%}" : "}}";
    std::vector<char> open;
    while (true) {
      advance_to(skip_space(source_, position_));
      if (position_ >= source_.size()) reject(is_block ? "a '{%' has no '%}'" : "a '{{' has no '}}'");
      const char c = source_[position_];
      if (open.empty()) {
        if (at(closing, position_)) {
          push(is_block ? Type::kBlockEnd : Type::kVariableEnd, "");
          advance_to(is_block ? after_tag(position_ + 2, '\0') : position_ + 2);
          return;
        }
        if ((c == '-' || (c == '+' && is_block)) && at(closing, position_ + 1)) {
          push(is_block ? Type::kBlockEnd : Type::kVariableEnd, "");
          advance_to(c == '-' ? skip_space(source_, position_ + 3) : position_ + 3);
          return;
        }
      }
      if (c == '\'' || c == '"') string(c);
      else if (is_digit(c)) number();
      else if (is_name_start(position_)) word();
      else operation(open);
    }
  }

  bool is_name_start(std::size_t position) const {
    const char32_t c = decode_char(source_.data() + position).code_point;
    return c == '_' || (char_classes(c) & kLetter) != 0;
  }

  void word() {
    std::size_t end = position_;
    while (end < source_.size()) {
      const DecodedChar character = decode_char(source_.data() + end);
      if (character.code_point != '_' && (char_classes(character.code_point) & (kLetter | kNumber | kMark)) == 0) break;
      end += character.length;
    }
    push(Type::kName, source_.substr(position_, end - position_));
    advance_to(end);
  }

  void number() {
    std::string digits;
    std::size_t end = position_;
    const auto take_digits = [&] {
      while (end < source_.size() &&
             (is_digit(source_[end]) || (source_[end] == '_' && end + 1 < source_.size() && is_digit(source_[end + 1])))) {
        if (source_[end] != '_') digits += source_[end];
        ++end;
      }
    };
    if (source_[end] == '0' && end + 1 < source_.size() && std::string_view("xXoObB").find(source_[end + 1]) != std::string_view::npos) {
      return based_number();
    }
    take_digits();
    bool is_float = false;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
      is_float = true;
      digits += '.';
      ++end;
      take_digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      std::size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      if (exponent < source_.size() && is_digit(source_[exponent])) {
        is_float = true;
        digits += source_.substr(end, exponent - end);
        end = exponent;
        take_digits();
      }
    }
    push(is_float ? Type::kFloat : Type::kInteger, digits);
    advance_to(end);
  }

  void based_number() {
    const char base_letter = static_cast<char>(source_[position_ + 1] | 0x20);
    const int base = base_letter == 'x' ? 16 : base_letter == 'o' ? 8 : 2;
    std::size_t end = position_ + 2;
    std::uint64_t value = 0;
    int num_digits = 0;
    for (; end < source_.size(); ++end) {
      const char c = source_[end];
      if (c == '_') continue;
      const int digit = is_digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 99;
      if (digit >= base) break;
      if (++num_digits > 15) reject("number literal too long");
      value = value * static_cast<std::uint64_t>(base) + static_cast<std::uint64_t>(digit);
    }
    if (num_digits == 0) reject("number literal without digits");
    push(Type::kInteger, std::to_string(value));
    advance_to(end);
  }

  void string(char quote) {
    std::string value;
    std::size_t i = position_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\') {
        value += source_[i];
        continue;
      }
      if (++i >= source_.size()) break;
      i = escape(i, value);
    }
    if (i >= source_.size()) reject("a text literal has no closing quote");
    push(Type::kString, std::move(value));
    advance_to(i + 1);
  }

  /// One escape of a Python text literal, i at the character behind the backslash; returns the place of its last character.
  std::size_t escape(std::size_t i, std::string& value) {
    const char c = source_[i];
    constexpr std::string_view kNames = "abfnrtv\\'\"", kValues = "\a\b\f\n\r\t\v\\'\"";
    if (const std::size_t known = kNames.find(c); known != std::string_view::npos) {
      value += kValues[known];
      return i;
    }
    if (c == '\n') return i;  // a joined line
    if (c >= '0' && c <= '7') {
      char32_t code = 0;
      std::size_t count = 0;
      for (; count < 3 && i + count < source_.size() && source_[i + count] >= '0' && source_[i + count] <= '7'; ++count)
        code = code * 8 + static_cast<char32_t>(source_[i + count] - '0');
      append_utf8(value, code);
      return i + count - 1;
    }
    const std::size_t num_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (num_digits == 0) {
      if (c == 'N') reject("named characters (\\N{…}) are not supported in text literals");
      value += '\\';
      value += c;
      return i;
    }
    std::uint32_t code = 0;
    for (std::size_t k = 1; k <= num_digits; ++k) {
      const char digit = i + k < source_.size() ? source_[i + k] : '\0';
      const int number = is_digit(digit) ? digit - '0' : (digit | 0x20) >= 'a' && (digit | 0x20) <= 'f' ? (digit | 0x20) - 'a' + 10 : -1;
      if (number < 0) reject("a \\x, \\u or \\U escape has too few digits");
      code = code * 16 + static_cast<std::uint32_t>(number);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) reject("an escape names a code point that does not exist");
    append_utf8(value, code);
    return i + num_digits;
  }

  void operation(std::vector<char>& open) {
    constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                                             "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view operation_text : kOperators) {
      if (!at(operation_text, position_)) continue;
      const char c = operation_text[0];
      if (c == '(' || c == '[' || c == '{') {
        if (open.size() >= 200) reject("brackets nested more than 200 deep");
        open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
      } else if (c == ')' || c == ']' || c == '}') {
        if (open.empty()) reject(fmt::format("unexpected '{}'", c));
        if (open.back() != c) reject(fmt::format("unexpected '{}', expected '{}'", c, open.back()));
        open.pop_back();
      }
      push(Type::kOperator, std::string(operation_text));
      advance_to(position_ + operation_text.size());
      return;
    }
    reject(fmt::format("unexpected character '{}'", source_.substr(position_, decode_char(source_.data() + position_).length)));
  }

  std::string source_;
  const std::string& name_;
  std::vector<TemplateToken> tokens_;
  std::size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::vector<TemplateToken> tokenize_template(std::string_view source, const std::string& name) {
  if (const auto invalid = first_invalid_utf8(source)) fail(ErrorKind::kModel, "{}: byte {} is not UTF-8", name, *invalid);
  return Lexer(source, name).run();
}

}  // namespace r1::text

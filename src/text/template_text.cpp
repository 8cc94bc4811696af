// Python's text helpers behind the filters and methods of chat templates.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "text/template_functions.h"
#include "text/template_interpreter.h"
#include "text/unicode.h"

namespace r1::text {

using Kind = TemplateValue::Kind;

bool is_python_white_space(char32_t code_point) {
  return (char_classes(code_point) & kWhiteSpace) != 0 || (code_point >= 0x1C && code_point <= 0x1F);
}

std::size_t byte_offset(std::string_view text, std::int64_t index) {
  std::size_t position = 0;
  for (; index > 0 && position < text.size(); --index) position += decode_char(text.data() + position).length;
  return position;
}

std::string strip_text(std::string_view text, const TemplateValue* characters, bool left, bool right) {
  std::u32string wanted;
  const bool white_space = characters == nullptr || characters->is(Kind::kNone);
  if (!white_space) {
    if (!characters->is_string()) fail(ErrorKind::kData, "strip arg must be None or str, not {}", type_name(*characters));
    for (std::size_t position = 0; position < characters->text().size();) wanted += next_code_point(characters->text(), position);
  }
  const auto is_stripped = [&](char32_t c) { return white_space ? is_python_white_space(c) : wanted.find(c) != std::u32string::npos; };
  std::size_t begin = 0;
  while (left && begin < text.size()) {
    const DecodedChar character = decode_char(text.data() + begin);
    if (!is_stripped(character.code_point)) break;
    begin += character.length;
  }
  std::size_t end = text.size();
  while (right && end > begin) {
    std::size_t previous = end - 1;
    while ((static_cast<unsigned char>(text[previous]) & 0xC0) == 0x80) --previous;
    if (!is_stripped(decode_char(text.data() + previous).code_point)) break;
    end = previous;
  }
  return std::string(text.substr(begin, end - begin));
}

std::string capitalize_text(std::string_view text) {
  if (text.empty()) return "";
  const std::size_t first = decode_char(text.data()).length;
  return to_upper(text.substr(0, first)) + to_lower(text.substr(first));
}

std::string title_text(std::string_view text) {
  std::string result;
  bool in_word = false;
  for (std::size_t position = 0; position < text.size();) {
    const DecodedChar character = decode_char(text.data() + position);
    const std::string_view piece = text.substr(position, character.length);
    const bool is_letter = (char_classes(character.code_point) & kLetter) != 0;
    result += !is_letter ? std::string(piece) : in_word ? to_lower(piece) : to_upper(piece);
    in_word = is_letter;
    position += character.length;
  }
  return result;
}

std::string percent_format(std::string_view format, const TemplateValue& values, TemplateInterpreter& interpreter) {
  std::string result;
  std::size_t next = 0;
  const auto take = [&]() -> TemplateValue {
    if (!values.is(Kind::kTuple)) {
      if (next++ > 0) fail(ErrorKind::kData, "not enough arguments for format string");
      return values;
    }
    if (next >= values.items().size()) fail(ErrorKind::kData, "not enough arguments for format string");
    return values.items()[next++];
  };
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      result += format[i];
      continue;
    }
    TemplateValue value;
    bool has_value = false;
    if (++i < format.size() && format[i] == '(') {
      const std::size_t close = format.find(')', i);
      if (close == std::string_view::npos) fail(ErrorKind::kData, "incomplete format key");
      if (!values.is(Kind::kDict)) fail(ErrorKind::kData, "format requires a mapping");
      const TemplateValue* found = values.find(format.substr(i + 1, close - i - 1));
      if (found == nullptr) fail(ErrorKind::kData, "no key '{}' for the format", format.substr(i + 1, close - i - 1));
      value = *found;
      has_value = true;
      next = 1;
      i = close + 1;
    }
    std::string flags;
    while (i < format.size() && std::string_view("-+ 0#").find(format[i]) != std::string_view::npos) flags += format[i++];
    int width = 0, precision = -1;
    const auto number = [&](int& target) {
      for (target = 0; i < format.size() && format[i] >= '0' && format[i] <= '9'; ++i)
        if ((target = target * 10 + (format[i] - '0')) > 10'000) fail(ErrorKind::kData, "a width of more than 10000 in a format");
    };
    number(width);
    if (i < format.size() && format[i] == '.') {
      ++i;
      number(precision);
    }
    if (i >= format.size()) fail(ErrorKind::kData, "incomplete format");
    const char type = format[i];
    if (type == '%') {
      result += '%';
      continue;
    }
    if (!has_value) value = take();
    std::string text;
    bool is_number = true;
    if (type == 's' || type == 'r' || type == 'c') {
      is_number = false;
      if (type == 'r') append_repr(text, value, interpreter);
      else text = interpreter.text_of(value);
      if (precision >= 0) text.resize(byte_offset(text, precision));
    } else if (!value.is_number()) {
      fail(ErrorKind::kData, "%{} format: a number is required, not {}", type, type_name(value));
    } else if (type == 'd' || type == 'i' || type == 'u') {
      text = std::to_string(value.is(Kind::kFloat) ? static_cast<std::int64_t>(std::clamp(value.as_double(), -9e18, 9e18))
                                                   : value.as_integer());
    } else if (type == 'x' || type == 'X' || type == 'o') {
      const std::int64_t integer = value.as_integer();
      const auto magnitude = integer < 0 ? 0 - static_cast<std::uint64_t>(integer) : static_cast<std::uint64_t>(integer);
      text = (integer < 0 ? "-" : "") + (type == 'x'   ? fmt::format("{:x}", magnitude)
                                         : type == 'X' ? fmt::format("{:X}", magnitude)
                                                       : fmt::format("{:o}", magnitude));
    } else if (std::string_view("fFeEgG").find(type) != std::string_view::npos) {
      const std::string spec = fmt::format("{{:.{}{}}}", precision < 0 ? 6 : std::min(precision, 300), type);
      text = fmt::format(fmt::runtime(spec), value.as_double());
    } else {
      fail(ErrorKind::kData, "unsupported format character '{}'", type);
    }
    if (is_number && text[0] != '-') {
      if (flags.find('+') != std::string::npos) text.insert(0, "+");
      else if (flags.find(' ') != std::string::npos) text.insert(0, " ");
    }
    const auto length = static_cast<int>(count_code_points(text));
    if (length < width) {
      const auto padding = static_cast<std::size_t>(width - length);
      if (flags.find('-') != std::string::npos) text.append(padding, ' ');
      else if (is_number && flags.find('0') != std::string::npos)
        text.insert(text[0] == '-' || text[0] == '+' || text[0] == ' ' ? 1 : 0, padding, '0');
      else text.insert(0, padding, ' ');
    }
    result += text;
    interpreter.charge(1 + text.size() / 64);
  }
  if (values.is(Kind::kTuple) && next < values.items().size())
    fail(ErrorKind::kData, "not all arguments converted during string formatting");
  if (!values.is(Kind::kTuple) && !values.is(Kind::kDict) && next == 0)
    fail(ErrorKind::kData, "not all arguments converted during string formatting");
  return result;
}

const TemplateValue* ArgumentReader::optional(std::string_view name) {
  const std::size_t position = next_positional_++;
  if (position < arguments_.positional.size()) return &arguments_.positional[position];
  for (std::size_t i = 0; i < arguments_.named.size(); ++i)
    if (!named_taken_[i] && arguments_.named[i].first == name) {
      named_taken_[i] = true;
      return &arguments_.named[i].second;
    }
  return nullptr;
}

const TemplateValue& ArgumentReader::required(std::string_view name) {
  const TemplateValue* value = optional(name);
  if (value == nullptr) fail(ErrorKind::kData, "{}() misses the argument '{}'", function_, name);
  return *value;
}

std::int64_t ArgumentReader::integer(std::string_view name, std::int64_t absent) {
  const TemplateValue* value = optional(name);
  if (value == nullptr) return absent;
  if (!value->is_integral()) fail(ErrorKind::kData, "{}(): argument '{}' must be an integer, not {}", function_, name, type_name(*value));
  return value->as_integer();
}

bool ArgumentReader::boolean(std::string_view name, bool absent) {
  const TemplateValue* value = optional(name);
  return value == nullptr ? absent : is_true(*value);
}

std::string ArgumentReader::text(std::string_view name, std::string_view absent) {
  const TemplateValue* value = optional(name);
  if (value == nullptr) return std::string(absent);
  if (!value->is_string()) fail(ErrorKind::kData, "{}(): argument '{}' must be a text, not {}", function_, name, type_name(*value));
  return value->text();
}

void ArgumentReader::finish() const {
  if (next_positional_ < arguments_.positional.size())
    fail(ErrorKind::kData, "{}() got too many arguments ({})", function_, arguments_.positional.size());
  for (std::size_t i = 0; i < named_taken_.size(); ++i)
    if (!named_taken_[i]) fail(ErrorKind::kData, "{}() got an unexpected argument '{}'", function_, arguments_.named[i].first);
}

}  // namespace r1::text

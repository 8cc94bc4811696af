#include "text/template_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/strings.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

using Kind = TemplateValue::Kind;

int checked_depth(int deepest_child) {
  if (deepest_child + 1 > kMaxTemplateDepth) fail(ErrorKind::kData, "values nested more than {} deep", kMaxTemplateDepth);
  return deepest_child + 1;
}

void append_quoted_repr(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  for (std::size_t position = 0; position < text.size();) {
    const char32_t c = next_code_point(text, position);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else if (c >= 0x80 && (char_classes(c) & (kLetter | kNumber | kMark | kPunctuation | kSymbol)) == 0) {
      // Python escapes what it does not count as printable: separators, controls, unassigned code points.
      const auto code = static_cast<unsigned>(c);
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    } else {
      append_utf8(out, c);
    }
  }
  out += quote;
}

void append_json_string(std::string& out, std::string_view text, bool ensure_ascii) {
  out += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    switch (c) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      case '\f':
        out += "\\f";
        continue;
      case '\b':
        out += "\\b";
        continue;
      default:
        break;
    }
    if (c < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else if (c < 0x80 || !ensure_ascii) {
      out += static_cast<char>(c);
    } else {
      const DecodedChar character = decode_char(text.data() + i);
      i += character.length - 1;
      const auto code = static_cast<unsigned>(character.code_point);
      if (code >= 0x10000) {
        out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
      } else {
        out += fmt::format("\\u{:04x}", code);
      }
    }
  }
  out += '"';
}

std::string json_key(const TemplateValue& key) {
  switch (key.kind()) {
    case Kind::kString:
      return key.text();
    case Kind::kNone:
      return "null";
    case Kind::kBool:
      return key.as_bool() ? "true" : "false";
    case Kind::kInteger:
      return std::to_string(key.as_integer());
    case Kind::kFloat:
      return float_repr(key.as_double());
    default:
      fail(ErrorKind::kData, "keys must be str, int, float, bool or None, not {}", type_name(key));
  }
}

}  // namespace

TemplateValue TemplateValue::undefined(std::string message) {
  TemplateValue value;
  auto object = std::make_shared<TemplateString>();
  object->text = std::move(message);
  value.object_ = std::move(object);
  return value;
}
TemplateValue TemplateValue::boolean(bool value) {
  TemplateValue result(Kind::kBool);
  result.number_.boolean = value;
  return result;
}
TemplateValue TemplateValue::integer(std::int64_t value) {
  TemplateValue result(Kind::kInteger);
  result.number_.integer = value;
  return result;
}
TemplateValue TemplateValue::number(double value) {
  TemplateValue result(Kind::kFloat);
  result.number_.real = value;
  return result;
}
TemplateValue TemplateValue::string(std::string text) {
  TemplateValue result(Kind::kString);
  auto object = std::make_shared<TemplateString>();
  object->text = std::move(text);
  result.object_ = std::move(object);
  return result;
}
TemplateValue TemplateValue::list(Items items, Kind kind) {
  TemplateValue result(kind);
  auto object = std::make_shared<TemplateList>();
  int deepest = 0;
  for (const TemplateValue& item : items) deepest = std::max(deepest, item.depth());
  object->depth = checked_depth(deepest);
  object->items = std::move(items);
  result.object_ = std::move(object);
  return result;
}
TemplateValue TemplateValue::dict(Entries entries) {
  TemplateValue result(Kind::kDict);
  auto object = std::make_shared<TemplateDict>();
  int deepest = 0;
  for (const auto& [key, value] : entries) deepest = std::max({deepest, key.depth(), value.depth()});
  object->depth = checked_depth(deepest);
  object->entries = std::move(entries);
  result.object_ = std::move(object);
  return result;
}
TemplateValue TemplateValue::object(Kind kind, std::shared_ptr<TemplateObject> object) {
  TemplateValue result(kind);
  result.object_ = std::move(object);
  return result;
}

std::string TemplateValue::undefined_message() const {
  return object_ ? static_cast<const TemplateString&>(*object_).text : std::string("the value is undefined");
}

std::int64_t TemplateValue::string_length() const {
  const auto& object = static_cast<const TemplateString&>(*object_);
  if (object.num_code_points < 0) object.num_code_points = static_cast<std::int64_t>(count_code_points(object.text));
  return object.num_code_points;
}

const TemplateValue* TemplateValue::find(std::string_view key) const {
  for (const auto& [name, value] : entries())
    if (name.is_string() && name.text() == key) return &value;
  return nullptr;
}

const TemplateValue* TemplateValue::find(const TemplateValue& key) const {
  if (key.is_string()) return find(std::string_view(key.text()));
  struct NoBudget : TemplateBudget {
    void charge(std::size_t) override {}
  } no_budget;
  for (const auto& [name, value] : entries())
    if (is_equal(name, key, no_budget)) return &value;
  return nullptr;
}

bool is_true(const TemplateValue& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.as_bool();
    case Kind::kInteger:
      return value.as_integer() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return !value.items().empty();
    case Kind::kDict:
      return !value.entries().empty();
    default:
      return true;
  }
}

bool is_equal(const TemplateValue& a, const TemplateValue& b, TemplateBudget& budget) {
  budget.charge(1);
  if (a.is_number() && b.is_number()) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return a.as_double() == b.as_double();
    return a.as_integer() == b.as_integer();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple: {
      const auto &left = a.items(), &right = b.items();
      if (left.size() != right.size()) return false;
      for (std::size_t i = 0; i < left.size(); ++i)
        if (!is_equal(left[i], right[i], budget)) return false;
      return true;
    }
    case Kind::kDict: {
      if (a.entries().size() != b.entries().size()) return false;
      for (const auto& [key, value] : a.entries()) {
        budget.charge(1 + b.entries().size() / 8);
        const TemplateValue* other = b.find(key);
        if (other == nullptr || !is_equal(value, *other, budget)) return false;
      }
      return true;
    }
    default:
      return a.object() == b.object();
  }
}

std::string_view type_name(const TemplateValue& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInteger:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kView:
      return "dict_view";
    case Kind::kGenerator:
      return "generator";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCallable:
      return "function";
  }
  return "object";
}

int compare(const TemplateValue& a, const TemplateValue& b, TemplateBudget& budget) {
  budget.charge(1);
  if (a.is_number() && b.is_number()) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) {
      const double left = a.as_double(), right = b.as_double();
      return left < right ? -1 : left > right ? 1 : left == right ? 0 : 2;  // 2: not a number, no order holds
    }
    return a.as_integer() < b.as_integer() ? -1 : a.as_integer() > b.as_integer() ? 1 : 0;
  }
  if (a.is_string() && b.is_string()) {  // UTF-8 keeps the order of code points
    const int order = a.text().compare(b.text());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    const std::size_t common = std::min(a.items().size(), b.items().size());
    for (std::size_t i = 0; i < common; ++i)
      if (!is_equal(a.items()[i], b.items()[i], budget)) return compare(a.items()[i], b.items()[i], budget);
    return a.items().size() < b.items().size() ? -1 : a.items().size() > b.items().size() ? 1 : 0;
  }
  if (a.is(Kind::kUndefined)) fail(ErrorKind::kData, "{}", a.undefined_message());
  if (b.is(Kind::kUndefined)) fail(ErrorKind::kData, "{}", b.undefined_message());
  fail(ErrorKind::kData, "'{}' and '{}' cannot be ordered", type_name(a), type_name(b));
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

void append_repr(std::string& out, const TemplateValue& value, TemplateBudget& budget) {
  budget.charge(1);
  const auto append_items = [&](const char* open, const char* close) {
    out += open;
    bool first = true;
    for (const TemplateValue& item : value.items()) {
      if (!first) out += ", ";
      first = false;
      append_repr(out, item, budget);
    }
    out += close;
  };
  switch (value.kind()) {
    case Kind::kUndefined:
      out += "Undefined";
      return;
    case Kind::kNone:
      out += "None";
      return;
    case Kind::kBool:
      out += value.as_bool() ? "True" : "False";
      return;
    case Kind::kInteger:
      out += std::to_string(value.as_integer());
      return;
    case Kind::kFloat:
      out += float_repr(value.as_double());
      return;
    case Kind::kString:
      budget.charge(value.text().size() / 16);
      append_quoted_repr(out, value.text());
      return;
    case Kind::kList:
      append_items("[", "]");
      return;
    case Kind::kTuple:
      append_items("(", value.items().size() == 1 ? ",)" : ")");
      return;
    case Kind::kView:
      append_items("dict_view([", "])");
      return;
    case Kind::kDict: {
      out += '{';
      bool first = true;
      for (const auto& [key, item] : value.entries()) {
        if (!first) out += ", ";
        first = false;
        append_repr(out, key, budget);
        out += ": ";
        append_repr(out, item, budget);
      }
      out += '}';
      return;
    }
    default:
      out += fmt::format("<{} object>", type_name(value));
      return;
  }
}

std::string to_text(const TemplateValue& value, TemplateBudget& budget) {
  if (value.is_string()) {
    budget.charge(1 + value.text().size() / 64);
    return value.text();
  }
  if (value.is(Kind::kUndefined)) return "";
  std::string text;
  append_repr(text, value, budget);
  return text;
}

void append_json(std::string& out, const TemplateValue& value, const JsonStyle& style, TemplateBudget& budget, int level) {
  budget.charge(1);
  const auto new_line = [&](int at_level) {
    if (!style.indent) return;
    out += '\n';
    budget.charge(style.indent->size() * static_cast<std::size_t>(at_level) / 64);
    for (int i = 0; i < at_level; ++i) out += *style.indent;
  };
  switch (value.kind()) {
    case Kind::kNone:
      out += "null";
      return;
    case Kind::kBool:
      out += value.as_bool() ? "true" : "false";
      return;
    case Kind::kInteger:
      out += std::to_string(value.as_integer());
      return;
    case Kind::kFloat:
      if (std::isnan(value.as_double())) out += "NaN";
      else if (std::isinf(value.as_double())) out += value.as_double() < 0 ? "-Infinity" : "Infinity";
      else out += float_repr(value.as_double());
      return;
    case Kind::kString:
      budget.charge(value.text().size() / 32);
      append_json_string(out, value.text(), style.ensure_ascii);
      return;
    case Kind::kList:
    case Kind::kTuple: {
      out += '[';
      bool first = true;
      for (const TemplateValue& item : value.items()) {
        if (!first) out += style.item_separator;
        first = false;
        new_line(level + 1);
        append_json(out, item, style, budget, level + 1);
      }
      if (!first) new_line(level);
      out += ']';
      return;
    }
    case Kind::kDict: {
      out += '{';
      std::vector<std::pair<std::string, const TemplateValue*>> members;
      for (const auto& [key, item] : value.entries()) members.emplace_back(json_key(key), &item);
      if (style.sort_keys) std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      bool first = true;
      for (const auto& [key, item] : members) {
        if (!first) out += style.item_separator;
        first = false;
        new_line(level + 1);
        append_json_string(out, key, style.ensure_ascii);
        out += style.key_separator;
        append_json(out, *item, style, budget, level + 1);
      }
      if (!first) new_line(level);
      out += '}';
      return;
    }
    default:
      fail(ErrorKind::kData, "Object of type {} is not JSON serializable", type_name(value));
  }
}

}  // namespace r1::text

#include "config/value.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"

namespace r1::config {

const Value* Value::find(std::string_view key) const {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] == key) return &items[i];
  }
  return nullptr;
}

namespace {

Value from_json(const Json& json) {
  Value value;
  if (json.is_null()) return value;
  if (json.is_object()) {
    value.kind = Value::Kind::kMap;
    for (const auto& [key, item] : json.items()) {
      value.keys.push_back(key);
      value.items.push_back(from_json(item));
    }
    return value;
  }
  if (json.is_array()) {
    value.kind = Value::Kind::kList;
    for (const Json& item : json) value.items.push_back(from_json(item));
    return value;
  }
  value.kind = Value::Kind::kScalar;
  value.quoted = json.is_string();
  value.text = json.is_string() ? json.get<std::string>() : json.dump();
  return value;
}

Json to_json(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNull:
      return nullptr;
    case Value::Kind::kList: {
      Json list = Json::array();
      for (const Value& item : value.items) list.push_back(to_json(item));
      return list;
    }
    case Value::Kind::kMap: {
      Json map = Json::object();
      for (std::size_t i = 0; i < value.keys.size(); ++i) map[value.keys[i]] = to_json(value.items[i]);
      return map;
    }
    case Value::Kind::kScalar:
      break;
  }
  if (!value.quoted) {
    if (value.text == "true") return true;
    if (value.text == "false") return false;
    if (const auto integer = parse_int(value.text)) return *integer;
    if (const auto number = parse_double(value.text); number && std::isfinite(*number)) return *number;
  }
  return value.text;
}

}  // namespace

Value value_from_json(std::string_view text, std::string_view where) {
  return from_json(parse_json(text, where, ErrorKind::kUsage, {.max_bytes = std::size_t{1} << 20, .max_depth = 64}));
}

std::string to_json_text(const Value& value) { return to_json_line(to_json(value)); }

std::string describe(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNull:
      return "nothing";
    case Value::Kind::kList:
      return "a list";
    case Value::Kind::kMap:
      return "a map";
    case Value::Kind::kScalar:
      break;
  }
  constexpr std::size_t kMaxShown = 60;
  if (value.text.size() <= kMaxShown) return fmt::format("'{}'", value.text);
  return fmt::format("'{}…'", replace_invalid_utf8(value.text.substr(0, kMaxShown)));
}

std::optional<double> Dict::number(std::string_view key) const {
  const Value* value = root_.find(key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  const auto number = value->is_scalar() ? parse_double(value->text) : std::nullopt;
  if (!number || !std::isfinite(*number)) fail(ErrorKind::kConfig, "'{}': expected a number, found {}", key, describe(*value));
  return number;
}

std::optional<std::string> Dict::text(std::string_view key) const {
  const Value* value = root_.find(key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (!value->is_scalar()) fail(ErrorKind::kConfig, "'{}': expected a text, found {}", key, describe(*value));
  return value->text;
}

}  // namespace r1::config

// Typed access to a parsed tokenizer.json that names file, key and reason when something is not as expected.
#pragma once

#include <fmt/format.h>
#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace r1::text {

/// A value and its path ("pre_tokenizer.pretokenizers[1]").
class JsonNode {
 public:
  JsonNode(simdjson::dom::element value, const std::string& file, std::string path) : value_(value), file_(&file), path_(std::move(path)) {}

  [[noreturn]] void reject(std::string_view reason) const { fail(ErrorKind::kModel, "{}: {}: {}", *file_, path_, reason); }
  [[noreturn]] void expected(std::string_view what) const { reject(fmt::format("expected {}, found {}", what, kind())); }
  std::string where() const { return *file_ + ": " + path_; }
  const simdjson::dom::element& value() const { return value_; }

  bool is_null() const { return value_.is_null(); }
  bool is_object() const { return value_.is_object(); }

  simdjson::dom::object object() const {
    simdjson::dom::object result;
    if (value_.get(result) != simdjson::SUCCESS) expected("an object");
    return result;
  }
  simdjson::dom::array array() const {
    simdjson::dom::array result;
    if (value_.get(result) != simdjson::SUCCESS) expected("a list");
    return result;
  }
  std::string_view string() const {
    std::string_view result;
    if (value_.get(result) != simdjson::SUCCESS) expected("a string");
    return result;
  }
  bool boolean() const {
    bool result = false;
    if (value_.get(result) != simdjson::SUCCESS) expected("true or false");
    return result;
  }
  std::int64_t integer() const {
    std::int64_t result = 0;
    if (value_.get(result) != simdjson::SUCCESS) expected("an integer");
    return result;
  }

  /// The member of an object; nothing when it is absent or null.
  std::optional<JsonNode> find(std::string_view key) const {
    simdjson::dom::element member;
    if (object().at_key(key).get(member) != simdjson::SUCCESS || member.is_null()) return std::nullopt;
    return JsonNode(member, *file_, path_.empty() ? std::string(key) : path_ + "." + std::string(key));
  }
  JsonNode at(std::string_view key) const {
    if (auto member = find(key)) return *member;
    reject(fmt::format("key '{}' is missing", key));
  }
  bool flag(std::string_view key, bool absent) const {
    const auto member = find(key);
    return member ? member->boolean() : absent;
  }
  JsonNode item(simdjson::dom::element element, std::size_t index) const { return {element, *file_, fmt::format("{}[{}]", path_, index)}; }

 private:
  std::string_view kind() const {
    switch (value_.type()) {
      case simdjson::dom::element_type::ARRAY:
        return "a list";
      case simdjson::dom::element_type::OBJECT:
        return "an object";
      case simdjson::dom::element_type::STRING:
        return "a string";
      case simdjson::dom::element_type::BOOL:
        return "true or false";
      case simdjson::dom::element_type::NULL_VALUE:
        return "null";
      default:
        return "a number";
    }
  }

  simdjson::dom::element value_;
  const std::string* file_;
  std::string path_;
};

}  // namespace r1::text

// A value before it has a type: what a YAML file, JSON text or command line tokens say.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace r1::config {

/// A small tree. Scalars keep their text, and the field that takes them decides what it means; so "no" is a text for
/// save_strategy and false for packing, and 1e-5 is a number although YAML 1.1 calls it a text.
struct Value {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string text;               // kScalar
  bool quoted = false;            // kScalar in quotes or as a block: never null
  std::vector<std::string> keys;  // kMap: keys[i] names items[i], in the file's order
  std::vector<Value> items;       // kList and kMap
  int line = 0;                   // in its file, from 1; 0 on the command line

  static Value scalar(std::string text) {
    return {.kind = Kind::kScalar, .text = std::move(text), .quoted = false, .keys = {}, .items = {}};
  }

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_map() const { return kind == Kind::kMap; }
  /// The entry of a map, or null.
  const Value* find(std::string_view key) const;
};

/// JSON text → Value (numbers keep a text that reads back as the same number). where stands in the error.
/// Throws Error(kUsage) for a syntax error.
Value value_from_json(std::string_view text, std::string_view where);

/// JSON text of a tree: scalars that read as numbers, true, false or null unquoted. For --plan and report.html.
std::string to_json_text(const Value& value);

/// "a map", "a list", "nothing", "'text'": how an error message calls the value.
std::string describe(const Value& value);

/// A dictionary field (lr_scheduler_kwargs, dataset_mixture, …): a map whose keys the consumer knows.
class Dict {
 public:
  Dict() { root_.kind = Value::Kind::kMap; }
  explicit Dict(Value map) : root_(std::move(map)) {}

  bool empty() const { return root_.items.empty(); }
  const Value& root() const { return root_; }
  const std::vector<std::string>& keys() const { return root_.keys; }
  bool contains(std::string_view key) const { return root_.find(key) != nullptr; }
  /// Nothing when the key is absent or null. Throws Error(kConfig), naming the key, when the value is no number / text.
  std::optional<double> number(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;

 private:
  Value root_;
};

}  // namespace r1::config

// Values that chat templates compute with: Python's, as far as Jinja shows them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace r1::text {

class TemplateValue;

/// Where long work is counted, so that a hostile template stops; the interpreter implements it.
class TemplateBudget {
 public:
  virtual ~TemplateBudget() = default;
  /// Counts `steps` units of work (64 bytes of text are one). Throws Error when the budget is used up.
  virtual void charge(std::size_t steps) = 0;
};

/// Base of everything with identity. depth: how deeply values are nested below, bounded by kMaxTemplateDepth.
struct TemplateObject {
  int depth = 0;
  virtual ~TemplateObject() = default;
};
inline constexpr int kMaxTemplateDepth = 128;

struct TemplateString : TemplateObject {
  std::string text;
  mutable std::int64_t num_code_points = -1;  // counted at the first need
};
struct TemplateList : TemplateObject {
  std::vector<TemplateValue> items;
  mutable bool consumed = false;  // generators can be walked through once
};
struct TemplateDict : TemplateObject {
  std::vector<std::pair<TemplateValue, TemplateValue>> entries;  // in insertion order
};
struct TemplateNamespace : TemplateObject {
  std::vector<std::pair<std::string, TemplateValue>> entries;
};

/// A value; copies share strings, lists and dicts, which never change once made (namespaces do).
class TemplateValue {
 public:
  enum class Kind : std::uint8_t {
    kUndefined,
    kNone,
    kBool,
    kInteger,
    kFloat,
    kString,
    kList,
    kTuple,
    kView,       // dict.items() and the like: a length, no subscripts
    kGenerator,  // no length, no subscripts, always true, walked through once
    kDict,
    kNamespace,
    kLoop,
    kCallable,
  };
  using Items = std::vector<TemplateValue>;
  using Entries = std::vector<std::pair<TemplateValue, TemplateValue>>;

  TemplateValue() = default;                            // undefined without a name
  static TemplateValue undefined(std::string message);  // what an error says about it
  static TemplateValue none() { return TemplateValue(Kind::kNone); }
  static TemplateValue boolean(bool value);
  static TemplateValue integer(std::int64_t value);
  static TemplateValue number(double value);
  static TemplateValue string(std::string text);
  /// Throws Error(kData) when the nesting gets too deep; so does dict().
  static TemplateValue list(Items items, Kind kind = Kind::kList);
  static TemplateValue dict(Entries entries);
  static TemplateValue object(Kind kind, std::shared_ptr<TemplateObject> object);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_sequence_like() const { return kind_ >= Kind::kList && kind_ <= Kind::kGenerator; }
  bool is_number() const { return kind_ >= Kind::kBool && kind_ <= Kind::kFloat; }
  bool is_integral() const { return kind_ == Kind::kBool || kind_ == Kind::kInteger; }

  bool as_bool() const { return number_.boolean; }
  std::int64_t as_integer() const { return kind_ == Kind::kBool ? (number_.boolean ? 1 : 0) : number_.integer; }
  double as_double() const { return kind_ == Kind::kFloat ? number_.real : static_cast<double>(as_integer()); }
  const std::string& text() const { return static_cast<const TemplateString&>(*object_).text; }
  const Items& items() const { return static_cast<const TemplateList&>(*object_).items; }
  const Entries& entries() const { return static_cast<const TemplateDict&>(*object_).entries; }
  TemplateObject* object() const { return object_.get(); }
  const std::shared_ptr<TemplateObject>& shared_object() const { return object_; }
  /// What an error says about an undefined value.
  std::string undefined_message() const;

  /// Number of code points of a string.
  std::int64_t string_length() const;
  int depth() const { return object_ ? object_->depth : 0; }

  /// Value of a key of a dict; null when absent.
  const TemplateValue* find(std::string_view key) const;
  const TemplateValue* find(const TemplateValue& key) const;

 private:
  explicit TemplateValue(Kind kind) : kind_(kind) {}
  Kind kind_ = Kind::kUndefined;
  union {
    bool boolean;
    std::int64_t integer = 0;
    double real;
  } number_;
  std::shared_ptr<TemplateObject> object_;
};

/// Python's bool(): empty, zero, none and undefined are false.
bool is_true(const TemplateValue& value);
/// Python's ==.
bool is_equal(const TemplateValue& a, const TemplateValue& b, TemplateBudget& budget);
/// Python's three-way order of numbers, texts and lists. Throws Error(kData) for types that cannot be ordered.
int compare(const TemplateValue& a, const TemplateValue& b, TemplateBudget& budget);
/// Python's type name, for messages.
std::string_view type_name(const TemplateValue& value);

/// Python's str(): what {{ value }} prints.
std::string to_text(const TemplateValue& value, TemplateBudget& budget);
/// Python's repr().
void append_repr(std::string& out, const TemplateValue& value, TemplateBudget& budget);
std::string float_repr(double value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level's white space
  std::string item_separator = ", ", key_separator = ": ";
};
/// Python's json.dumps().
void append_json(std::string& out, const TemplateValue& value, const JsonStyle& style, TemplateBudget& budget, int level = 0);

}  // namespace r1::text

// One field list per struct: name, type, default, help and check of every key. YAML keys, command line flags, --help, typed
// and range-checked parsing and the effective configuration with origins all come from it.
//
// A worked example: the flags of a small sub-command.
//
//   struct TokenizeOptions {
//     std::string model;
//     bool add_special_tokens = false;
//     std::optional<std::string> now;
//     std::vector<std::string> files;
//   };
//
//   FieldList tokenize_fields(TokenizeOptions& options) {   // the list holds references: options must outlive it
//     FieldList fields;
//     fields.add("model", options.model, "Folder with the tokenizer files.").required();
//     fields.add("add_special_tokens", options.add_special_tokens, "Put the special tokens of the tokenizer around the text.");
//     fields.add("now", options.now, "What strftime_now sees, such as 2025-01-31T09:05:07.");
//     fields.positional("files", options.files, "Files to read; none: standard input.");
//     return fields;
//   }
//
//   TokenizeOptions options;
//   FieldList fields = tokenize_fields(options);
//   if (parse_arguments(arguments, fields).help_requested) {         // arguments: those after the sub-command's name
//     fmt::print("{}", fields.help("r1_inspect tokenize --model DIR [FILE …]", "Texts to token ids, JSONL in, JSONL out."));
//     return 0;
//   }
//
// Types: bool (bare flag = true; --x=false, --x false; --no_x where the default is true), int, int64, double, std::string,
// enums with an enum_names() function, ByteSize ("80GB"), std::optional of these (null in YAML, none on the command line), std::vector of
// these (YAML list, or several tokens after the flag), Dict (YAML map, or JSON text). '-' and '_' are the same in names. Later flags win.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/value.h"

namespace r1::config {

/// An amount of memory: 80GB, 512MiB, 1000000.
struct ByteSize {
  std::int64_t bytes = 0;
};

/// Where a value comes from; later ones win.
enum class Source { kDefault, kCompat, kEnvironment, kFile, kFlag };

/// Limits that a value is checked against when it is set; for lists, each element.
struct Limits {
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool above_minimum = false;  // the minimum itself is not allowed
  bool below_maximum = false;
  std::vector<std::string> choices;                                 // texts only; empty: any text
  std::vector<std::pair<std::string, std::string>> choice_hints;    // known wrong choices and what to do instead
  std::vector<std::pair<std::string, std::string>> choice_aliases;  // other names of a choice, lower case
};

/// One key. Set through the chaining functions where it is declared; read by parser, help and --plan.
class Field {
 public:
  Field& required() { return is_required = true, *this; }
  Field& at_least(double minimum) { return limits.minimum = minimum, *this; }
  Field& at_most(double maximum) { return limits.maximum = maximum, *this; }
  Field& above(double minimum) { return limits.minimum = minimum, limits.above_minimum = true, *this; }
  Field& below(double maximum) { return limits.maximum = maximum, limits.below_maximum = true, *this; }
  Field& choices(std::vector<std::string> names) { return limits.choices = std::move(names), *this; }
  /// A choice that the original knows and we do not: its error says what to do instead.
  Field& unsupported_choice(std::string choice, std::string hint) {
    return limits.choice_hints.emplace_back(std::move(choice), std::move(hint)), *this;
  }
  /// Another name (lower case) of a choice.
  Field& choice_alias(std::string other, std::string choice) {
    return limits.choice_aliases.emplace_back(std::move(other), std::move(choice)), *this;
  }
  /// The flag may stand without a value and means this one then; a token after it is its value only when it is a choice.
  Field& bare(std::string value) { return bare_value = std::move(value), *this; }
  /// What --help shows as default where the value alone would not say it.
  Field& shown_default(std::string text) { return default_text = std::move(text), *this; }
  /// Default under --compat feb25, as text.
  Field& feb25(std::string text) { return feb25_default = std::move(text), *this; }
  /// Folder (and file) of src/ that acts on the value, when it differs from the group's.
  Field& used_by(std::string component) { return consumer = std::move(component), *this; }
  /// Lists only: a token is cut at commas.
  Field& comma_separated() { return splits_commas = true, *this; }

  std::string name, type, help, group, consumer, default_text;
  std::optional<std::string> feb25_default, bare_value;
  Limits limits;
  bool is_required = false, is_bool = false, is_list = false, is_dict = false, is_optional = false, splits_commas = false;

  Source source = Source::kDefault;
  std::string where = "default";  // "flag", "recipes/demo.yaml:14", "compat feb25", "default", an environment variable
  bool given() const { return source == Source::kFile || source == Source::kFlag; }

  std::function<void(const Value&, const Limits&)> assign;  // throws Error without place: the caller adds it
  std::function<std::string()> print;                       // the current value
};

/// A row of the effective configuration.
struct ConfigRow {
  std::string key, value, origin;
  bool given = false;  // by flag or file
};

namespace detail {
bool parse_bool(const Value& value);
std::int64_t parse_integer(const Value& value, const Limits& limits, std::int64_t lowest, std::int64_t highest);
double parse_number(const Value& value, const Limits& limits);
std::string parse_text(const Value& value, const Limits& limits);
std::size_t parse_enum(const Value& value, std::span<const std::string_view> names, const Limits& limits);
Dict parse_dict(const Value& value);
ByteSize parse_byte_size(const Value& value);
std::string print_byte_size(ByteSize size);
bool is_none(const Value& value);
std::string print_number(double value);
std::string print_list(const std::vector<std::string>& items);

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

template <typename T>
T parse(const Value& value, const Limits& limits) {
  if constexpr (IsOptional<T>::value) {
    using Inner = typename T::value_type;
    if (value.is_null() || (!std::is_same_v<Inner, std::string> && is_none(value))) return std::nullopt;
    return parse<Inner>(value, limits);
  } else if constexpr (IsVector<T>::value) {
    T list;
    if (value.is_null()) return list;
    if (!value.is_list()) return {parse<typename T::value_type>(value, limits)};
    for (const Value& item : value.items) list.push_back(parse<typename T::value_type>(item, limits));
    return list;
  } else if constexpr (std::is_same_v<T, bool>) {
    return parse_bool(value);
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<T>(parse_enum(value, enum_names(T{}), limits));
  } else if constexpr (std::is_integral_v<T>) {
    using Bounds = std::numeric_limits<T>;
    constexpr bool kWide = sizeof(T) == sizeof(std::int64_t);
    return static_cast<T>(parse_integer(value, limits, std::is_unsigned_v<T> ? 0 : static_cast<std::int64_t>(Bounds::min()),
                                        kWide ? std::numeric_limits<std::int64_t>::max() : static_cast<std::int64_t>(Bounds::max())));
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(parse_number(value, limits));
  } else if constexpr (std::is_same_v<T, Dict>) {
    return parse_dict(value);
  } else if constexpr (std::is_same_v<T, ByteSize>) {
    return parse_byte_size(value);
  } else {
    static_assert(std::is_same_v<T, std::string>, "no such field type");
    return parse_text(value, limits);
  }
}

template <typename T>
std::string print(const T& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? print(*value) : "none";
  } else if constexpr (IsVector<T>::value) {
    std::vector<std::string> items;
    for (const auto& item : value) items.push_back(print(item));
    return print_list(items);
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_enum_v<T>) {
    return std::string(enum_names(value)[static_cast<std::size_t>(value)]);
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    return print_number(value);
  } else if constexpr (std::is_same_v<T, Dict>) {
    return to_json_text(value.root());
  } else if constexpr (std::is_same_v<T, ByteSize>) {
    return print_byte_size(value);
  } else {
    return value;
  }
}

template <typename T>
std::string type_name() {
  if constexpr (IsOptional<T>::value) return type_name<typename T::value_type>();
  else if constexpr (IsVector<T>::value) return "list of " + type_name<typename T::value_type>();
  else if constexpr (std::is_same_v<T, bool>) return "bool";
  else if constexpr (std::is_enum_v<T>) return "choice";
  else if constexpr (std::is_integral_v<T>) return "int";
  else if constexpr (std::is_floating_point_v<T>) return "float";
  else if constexpr (std::is_same_v<T, Dict>) return "map";
  else if constexpr (std::is_same_v<T, ByteSize>) return "size";
  else return "text";
}

template <typename T>
void add_enum_choices(Field& field) {
  if constexpr (IsOptional<T>::value || IsVector<T>::value) {
    add_enum_choices<typename T::value_type>(field);
  } else if constexpr (std::is_enum_v<T>) {
    for (const std::string_view name : enum_names(T{})) field.limits.choices.emplace_back(name);
  }
}
}  // namespace detail

/// The fields of one program. Holds references to the struct's members: not to be used after the struct is gone or moved.
class FieldList {
 public:
  FieldList() = default;
  FieldList(FieldList&&) = default;
  FieldList& operator=(FieldList&&) = default;

  /// Declares a key; its default is what target holds now. Names use '_'.
  template <typename T>
  Field& add(std::string name, T& target, std::string help) {
    return fill(fields_.emplace_back(), std::move(name), target, std::move(help));
  }

  /// Declares the next positional argument: required unless T is optional or a vector (which takes all that are left).
  template <typename T>
  Field& positional(std::string name, T& target, std::string help) {
    Field& field = fill(positionals_.emplace_back(), std::move(name), target, std::move(help));
    field.is_required = !field.is_optional && !field.is_list;
    return field;
  }

  /// The fields that follow stand under this title in --help; used_by is the component of src/ that acts on them.
  void group(std::string title, std::string used_by);

  /// Another name for a field (same value); with a notice when it is a legacy name, none when both are equally good.
  void alias(std::string name, std::string field_name, std::string notice = {});
  /// A key without effect here: accepted with one notice. takes_list: several tokens may follow the flag.
  void ignored(std::string name, std::string notice, bool is_bool = false);
  /// A key that is not supported: an error with the hint, unless the value is one of the harmless ones (its default).
  void unsupported(std::string name, std::vector<std::string> harmless, std::string hint, bool is_bool = false);

  struct SpecialKey {
    std::string name, field_name;  // field_name: aliases only
    std::string text;              // notice or hint
    std::vector<std::string> harmless;
    bool is_supported = true, is_bool = false;
  };

  /// The field or special key of a name in any spelling of '-' and '_'; null when unknown.
  Field* find(std::string_view name);
  const Field* find(std::string_view name) const;
  const SpecialKey* find_special(std::string_view name) const;
  /// Field whose value the name sets, through aliases.
  Field* target_of(std::string_view name);

  std::deque<Field>& fields() { return fields_; }
  const std::deque<Field>& fields() const { return fields_; }
  std::deque<Field>& positionals() { return positionals_; }
  const std::deque<Field>& positionals() const { return positionals_; }
  const std::vector<SpecialKey>& special_keys() const { return special_keys_; }
  /// All names that a typo could have meant.
  std::vector<std::string> known_names() const;

  /// Usage line, what the program does, then every flag with type, default and its help line.
  std::string help(std::string_view usage, std::string_view description) const;

  /// One row per field in declaration order, with the origin of its value.
  std::vector<ConfigRow> effective_configuration() const;

 private:
  template <typename T>
  Field& fill(Field& field, std::string name, T& target, std::string help) {
    field.name = std::move(name);
    field.type = detail::type_name<T>();
    field.help = std::move(help);
    field.group = group_;
    field.consumer = used_by_;
    field.default_text = detail::print(target);
    field.is_bool = std::is_same_v<T, bool> || std::is_same_v<T, std::optional<bool>>;
    field.is_list = detail::IsVector<T>::value;
    field.is_dict = std::is_same_v<T, Dict> || std::is_same_v<T, std::optional<Dict>>;
    field.is_optional = detail::IsOptional<T>::value;
    detail::add_enum_choices<T>(field);
    field.assign = [&target](const Value& value, const Limits& limits) { target = detail::parse<T>(value, limits); };
    field.print = [&target] { return detail::print(target); };
    return field;
  }

  std::deque<Field> fields_, positionals_;  // deque: references stay valid while more are added
  std::vector<SpecialKey> special_keys_;
  std::string group_, used_by_;
};

/// A key with its value and place, before it is applied.
struct Assignment {
  std::string key;
  Value value;
  Source source = Source::kFlag;
  std::string where;  // "flag", or file:line
};

/// A command line cut into assignments, nothing applied yet.
struct ScannedArguments {
  std::vector<Assignment> assignments;
  std::vector<std::string> positionals;
  bool help_requested = false, version_requested = false;
};

/// Cuts the arguments; the fields say how many tokens a flag takes. Throws Error(kUsage) for an unknown flag (with the nearest
/// name) or a missing value.
ScannedArguments scan_arguments(std::span<const std::string> arguments, const FieldList& fields);

/// Sets the fields in order. Notices of aliases and ignored keys are added to `notices`, once each. Throws Error(kConfig for
/// files, kUsage for flags): unknown key, wrong type, out of range, unsupported; with place and nearest name.
void apply_assignments(FieldList& fields, std::span<const Assignment> assignments, std::vector<std::string>& notices);

/// Throws Error(kUsage) naming every required field without a value.
void require_fields(const FieldList& fields);

struct ParsedArguments {
  bool help_requested = false, version_requested = false;
};

/// scan, apply, positionals and required fields in one call; notices are logged. Nothing is checked when help or version is
/// requested.
ParsedArguments parse_arguments(std::span<const std::string> arguments, FieldList& fields);

/// The arguments of main without the program's name.
std::vector<std::string> arguments_of(int argc, char** argv);

}  // namespace r1::config

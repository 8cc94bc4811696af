#include "config/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"

namespace r1::config {

namespace detail {
namespace {

// "a number > 0", "an int from 1 to 64".
std::string expectation(std::string_view what, const Limits& limits) {
  const bool low = std::isfinite(limits.minimum), high = std::isfinite(limits.maximum);
  if (low && high && !limits.above_minimum && !limits.below_maximum) {
    return fmt::format("{} from {} to {}", what, limits.minimum, limits.maximum);
  }
  std::string text(what);
  if (low) text += fmt::format(" {} {}", limits.above_minimum ? ">" : ">=", limits.minimum);
  if (low && high) text += " and";
  if (high) text += fmt::format(" {} {}", limits.below_maximum ? "<" : "<=", limits.maximum);
  return text;
}

[[noreturn]] void refuse(std::string_view expected, const Value& value) {
  fail(ErrorKind::kConfig, "expected {}, found {}", expected, describe(value));
}

bool within(double number, const Limits& limits) {
  if (limits.above_minimum ? number <= limits.minimum : number < limits.minimum) return false;
  return limits.below_maximum ? number < limits.maximum : number <= limits.maximum;
}

}  // namespace

bool is_none(const Value& value) {
  if (!value.is_scalar()) return false;
  const std::string lower = to_lower_ascii(value.text);
  return lower == "none" || lower == "null";
}

bool parse_bool(const Value& value) {
  static constexpr std::string_view kTrue[] = {"true", "yes", "on", "1", "y", "t"};
  static constexpr std::string_view kFalse[] = {"false", "no", "off", "0", "n", "f"};
  const std::string lower = value.is_scalar() ? to_lower_ascii(value.text) : "";
  if (std::find(std::begin(kTrue), std::end(kTrue), lower) != std::end(kTrue)) return true;
  if (std::find(std::begin(kFalse), std::end(kFalse), lower) != std::end(kFalse)) return false;
  refuse("true or false", value);
}

std::int64_t parse_integer(const Value& value, const Limits& limits, std::int64_t lowest, std::int64_t highest) {
  const auto number = value.is_scalar() ? parse_int(value.text) : std::nullopt;
  if (!number || *number < lowest || *number > highest || !within(static_cast<double>(*number), limits)) {
    refuse(expectation("a whole number", limits), value);
  }
  return *number;
}

double parse_number(const Value& value, const Limits& limits) {
  const auto number = value.is_scalar() ? parse_double(value.text) : std::nullopt;
  if (!number || !std::isfinite(*number) || !within(*number, limits)) refuse(expectation("a number", limits), value);
  return *number;
}

std::string parse_text(const Value& value, const Limits& limits) {
  if (!value.is_scalar()) refuse("a text", value);
  if (const auto bad = first_invalid_utf8(value.text)) {
    fail(ErrorKind::kConfig, "expected valid UTF-8, found an invalid byte at offset {} of the text", *bad);
  }
  const auto& choices = limits.choices;
  if (std::find(choices.begin(), choices.end(), value.text) != choices.end()) return value.text;
  const std::string lower = to_lower_ascii(value.text);
  for (const auto& [other, choice] : limits.choice_aliases) {
    if (other == lower) return choice;
  }
  for (const auto& [name, hint] : limits.choice_hints) {
    if (name == value.text) fail(ErrorKind::kConfig, "'{}' is not supported: {}", name, hint);
  }
  if (choices.empty()) return value.text;
  const auto nearest = nearest_name(value.text, choices);
  fail(ErrorKind::kConfig, "expected one of {}; found '{}'{}", join(choices, ", "), value.text,
       nearest ? fmt::format(" — did you mean '{}'?", *nearest) : "");
}

std::size_t parse_enum(const Value& value, std::span<const std::string_view> names, const Limits& limits) {
  const std::string text = parse_text(value, limits);
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), text) - names.begin());
}

Dict parse_dict(const Value& value) {
  if (value.is_null()) return Dict();
  if (value.is_map()) return Dict(value);
  if (value.is_scalar() && value.text.starts_with('{')) return Dict(value_from_json(value.text, "JSON text"));
  refuse("a map (in YAML), or JSON text such as '{\"min_lr_rate\": 0.1}'", value);
}

namespace {
struct ByteUnit {
  std::string_view name;
  double bytes;
};
constexpr ByteUnit kByteUnits[] = {{"B", 1},    {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
                                   {"KB", 1e3}, {"MB", 1e6},     {"GB", 1e9},        {"TB", 1e12}};
}  // namespace

ByteSize parse_byte_size(const Value& value) {
  const std::string text = value.is_scalar() ? std::string(trim(value.text)) : "";
  const std::size_t unit_at = text.find_first_not_of("0123456789.+");
  const auto number = parse_double(trim(std::string_view(text).substr(0, unit_at)));
  const std::string unit = unit_at == std::string::npos ? "b" : to_lower_ascii(trim(std::string_view(text).substr(unit_at)));
  for (const ByteUnit& known : kByteUnits) {
    if (to_lower_ascii(known.name) != unit) continue;
    if (!number || !(*number > 0) || *number * known.bytes > 9e18) break;
    return {static_cast<std::int64_t>(*number * known.bytes)};
  }
  refuse("a size such as 80GB, 512MiB or a number of bytes", value);
}

std::string print_byte_size(ByteSize size) {
  const ByteUnit* best = &kByteUnits[0];
  for (const ByteUnit& unit : kByteUnits) {
    if (size.bytes % static_cast<std::int64_t>(unit.bytes) == 0 && unit.bytes > best->bytes) best = &unit;
  }
  return fmt::format("{}{}", size.bytes / static_cast<std::int64_t>(best->bytes), best->name);
}

std::string print_number(double value) { return fmt::format("{}", value); }

std::string print_list(const std::vector<std::string>& items) { return fmt::format("[{}]", join(items, ", ")); }

}  // namespace detail

namespace {

std::string canonical(std::string_view name) { return replace_all(std::string(name), "-", "_"); }

bool is_flag(std::string_view token) {
  auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return token.size() > 2 && token.starts_with("--") && is_letter(token[2]);
}

bool is_bool_word(std::string_view token) {
  static constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
  const std::string lower = to_lower_ascii(token);
  return std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords);
}

std::string placeholder(const Field& field) {
  if (!field.limits.choices.empty() && !field.is_list && field.limits.choices.size() <= 8) return join(field.limits.choices, "|");
  return field.type;
}

}  // namespace

void FieldList::group(std::string title, std::string used_by) {
  group_ = std::move(title);
  used_by_ = std::move(used_by);
}

void FieldList::alias(std::string name, std::string field_name, std::string notice) {
  special_keys_.push_back({.name = std::move(name), .field_name = std::move(field_name), .text = std::move(notice), .harmless = {}});
}

void FieldList::ignored(std::string name, std::string notice, bool is_bool) {
  special_keys_.push_back(
      {.name = std::move(name), .field_name = {}, .text = std::move(notice), .harmless = {}, .is_supported = true, .is_bool = is_bool});
}

void FieldList::unsupported(std::string name, std::vector<std::string> harmless, std::string hint, bool is_bool) {
  special_keys_.push_back({.name = std::move(name),
                           .field_name = {},
                           .text = std::move(hint),
                           .harmless = std::move(harmless),
                           .is_supported = false,
                           .is_bool = is_bool});
}

const Field* FieldList::find(std::string_view name) const {
  const std::string wanted = canonical(name);
  const auto found = std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.name == wanted; });
  return found == fields_.end() ? nullptr : &*found;
}

Field* FieldList::find(std::string_view name) { return const_cast<Field*>(std::as_const(*this).find(name)); }

const FieldList::SpecialKey* FieldList::find_special(std::string_view name) const {
  const std::string wanted = canonical(name);
  const auto found = std::find_if(special_keys_.begin(), special_keys_.end(), [&](const SpecialKey& key) { return key.name == wanted; });
  return found == special_keys_.end() ? nullptr : &*found;
}

Field* FieldList::target_of(std::string_view name) {
  if (Field* field = find(name)) return field;
  const SpecialKey* special = find_special(name);
  return special == nullptr || special->field_name.empty() ? nullptr : find(special->field_name);
}

std::vector<std::string> FieldList::known_names() const {
  std::vector<std::string> names;
  for (const Field& field : fields_) names.push_back(field.name);
  for (const SpecialKey& key : special_keys_) {
    if (key.is_supported) names.push_back(key.name);
  }
  return names;
}

std::string FieldList::help(std::string_view usage, std::string_view description) const {
  constexpr std::size_t kColumn = 52;
  std::string text = fmt::format("usage: {}\n\n{}\n", usage, description);
  auto line = [&](std::string left, const Field& field, std::string_view suffix) {
    if (left.size() + 2 < kColumn) left.resize(kColumn, ' ');
    else left += "  ";
    text += fmt::format("{}{}{}\n", left, field.help, suffix);
  };
  for (const Field& field : positionals_) {
    if (&field == &positionals_.front()) text += "\narguments\n";
    line(fmt::format("  {}", field.name), field, field.is_required ? " (required)" : "");
  }
  const std::string* group = nullptr;
  for (const Field& field : fields_) {
    if (group == nullptr || *group != field.group) {
      group = &field.group;
      text += fmt::format("\n{}\n", group->empty() ? "options" : *group);
    }
    const std::string value =
        field.is_required ? "required" : fmt::format("default {}", field.default_text.empty() ? "''" : field.default_text);
    line(fmt::format("  --{} <{}; {}>", field.name, placeholder(field), value), field, "");
  }
  text +=
      fmt::format("\n  {:<{}}{}\n  {:<{}}{}\n", "--help", kColumn - 2, "Show this text.", "--version", kColumn - 2, "Show the version.");
  return text;
}

std::vector<ConfigRow> FieldList::effective_configuration() const {
  std::vector<ConfigRow> rows;
  for (const Field& field : fields_) {
    rows.push_back({.key = field.name, .value = field.print(), .origin = field.where, .given = field.given()});
  }
  return rows;
}

ScannedArguments scan_arguments(std::span<const std::string> arguments, const FieldList& fields) {
  ScannedArguments scanned;
  std::size_t at = 0;
  while (at < arguments.size()) {
    const std::string& token = arguments[at++];
    if (token == "--") {
      while (at < arguments.size()) scanned.positionals.push_back(arguments[at++]);
      break;
    }
    if (token == "--help" || token == "-h") {
      scanned.help_requested = true;
      continue;
    }
    if (token == "--version") {
      scanned.version_requested = true;
      continue;
    }
    if (!is_flag(token)) {
      scanned.positionals.push_back(token);
      continue;
    }
    const std::size_t equals = token.find('=');
    const bool has_value = equals != std::string::npos;
    std::string name = canonical(std::string_view(token).substr(2, has_value ? equals - 2 : std::string::npos));
    const Field* field = fields.find(name);
    const FieldList::SpecialKey* special = field == nullptr ? fields.find_special(name) : nullptr;
    if (special != nullptr && !special->field_name.empty()) field = fields.find(special->field_name);

    bool negated = false;
    if (field == nullptr && special == nullptr && name.starts_with("no_") && !has_value) {
      const Field* positive = fields.find(std::string_view(name).substr(3));
      if (positive != nullptr && positive->is_bool) {
        field = positive;
        name = positive->name;
        negated = true;
      }
    }
    if (field == nullptr && special == nullptr) {
      const auto nearest = nearest_name(name, fields.known_names());
      fail(ErrorKind::kUsage, "unknown flag '--{}'{}", name,
           nearest ? fmt::format(" — did you mean '--{}'?", *nearest) : "; --help lists all flags");
    }

    Assignment assignment{.key = name, .value = {}, .source = Source::kFlag, .where = "flag"};
    const bool is_bool = field != nullptr ? field->is_bool : special->is_bool;
    const bool is_list = field != nullptr ? field->is_list : !special->is_bool;
    auto next_is_value = [&] { return at < arguments.size() && !is_flag(arguments[at]) && arguments[at] != "--" && arguments[at] != "-h"; };
    if (negated) {
      assignment.value = Value::scalar("false");
    } else if (has_value) {
      assignment.value = Value::scalar(token.substr(equals + 1));
    } else if (is_bool) {
      assignment.value = Value::scalar(next_is_value() && is_bool_word(arguments[at]) ? arguments[at++] : "true");
    } else if (field != nullptr && field->bare_value) {
      const auto& choices = field->limits.choices;
      const bool is_choice = next_is_value() && std::find(choices.begin(), choices.end(), arguments[at]) != choices.end();
      assignment.value =
          Value::scalar(is_choice || (next_is_value() && is_bool_word(arguments[at])) ? arguments[at++] : *field->bare_value);
    } else if (is_list) {
      assignment.value.kind = Value::Kind::kList;
      while (next_is_value()) assignment.value.items.push_back(Value::scalar(arguments[at++]));
      if (assignment.value.items.empty() && field != nullptr) {
        fail(ErrorKind::kUsage, "--{}: expected one value or more ({}), found none", name, field->type);
      }
    } else if (next_is_value()) {
      assignment.value = Value::scalar(arguments[at++]);
    } else {
      fail(ErrorKind::kUsage, "--{}: expected a value ({}), found {}; write --{}=VALUE for a value that starts with '--'", name,
           field->type, at < arguments.size() ? fmt::format("'{}'", arguments[at]) : "the end of the command line", name);
    }
    scanned.assignments.push_back(std::move(assignment));
  }
  return scanned;
}

namespace {

// Splits "a,b" tokens of a comma separated list.
Value split_commas(const Value& value) {
  Value list;
  list.kind = Value::Kind::kList;
  list.line = value.line;
  auto add = [&](const Value& item) {
    if (!item.is_scalar()) {
      list.items.push_back(item);
      return;
    }
    for (const std::string& part : split(item.text, ',')) {
      if (!trim(part).empty()) list.items.push_back(Value::scalar(std::string(trim(part))));
    }
  };
  if (value.is_list()) std::for_each(value.items.begin(), value.items.end(), add);
  else if (!value.is_null()) add(value);
  return list;
}

std::string place(const Assignment& assignment) {
  return assignment.source == Source::kFlag ? fmt::format("--{}", assignment.key)
                                            : fmt::format("{}: '{}'", assignment.where, assignment.key);
}

void add_notice(std::vector<std::string>& notices, std::string notice) {
  if (std::find(notices.begin(), notices.end(), notice) == notices.end()) notices.push_back(std::move(notice));
}

bool is_harmless(const Value& value, const std::vector<std::string>& harmless) {
  if (value.is_null()) return true;
  if (value.is_list() || value.is_map()) return value.items.empty();
  const std::string lower = to_lower_ascii(value.text);
  return std::find(harmless.begin(), harmless.end(), lower) != harmless.end();
}

}  // namespace

void apply_assignments(FieldList& fields, std::span<const Assignment> assignments, std::vector<std::string>& notices) {
  for (const Assignment& assignment : assignments) {
    const ErrorKind kind = assignment.source == Source::kFlag ? ErrorKind::kUsage : ErrorKind::kConfig;
    Field* field = fields.find(assignment.key);
    const FieldList::SpecialKey* special = field == nullptr ? fields.find_special(assignment.key) : nullptr;
    if (field == nullptr && special == nullptr) {
      const auto nearest = nearest_name(assignment.key, fields.known_names());
      fail(kind, "{}: unknown key '{}'{}", assignment.where, assignment.key,
           nearest ? fmt::format(" — did you mean '{}'?", *nearest) : "; --help lists all keys");
    }
    if (special != nullptr && !special->field_name.empty()) {
      field = fields.find(special->field_name);
      if (!special->text.empty()) add_notice(notices, fmt::format("{}: {}", place(assignment), special->text));
    } else if (special != nullptr && special->is_supported) {
      add_notice(notices, fmt::format("{} has no effect here: {}", place(assignment), special->text));
      continue;
    } else if (special != nullptr) {
      if (is_harmless(assignment.value, special->harmless)) continue;
      fail(kind, "{} is not supported: {}", place(assignment), special->text);
    }
    if (field == nullptr) fail(ErrorKind::kInternal, "alias '{}' points to no field", assignment.key);
    try {
      field->assign(field->splits_commas ? split_commas(assignment.value) : assignment.value, field->limits);
    } catch (const Error& error) {
      fail(kind, "{}: {}", place(assignment), error.what());
    }
    field->source = assignment.source;
    field->where = assignment.where;
  }
}

void require_fields(const FieldList& fields) {
  std::vector<std::string> missing;
  for (const Field& field : fields.fields()) {
    if (field.is_required && field.source == Source::kDefault) missing.push_back(fmt::format("--{}", field.name));
  }
  if (!missing.empty()) fail(ErrorKind::kUsage, "missing: {} ({})", join(missing, ", "), fields.find(missing.front().substr(2))->help);
}

ParsedArguments parse_arguments(std::span<const std::string> arguments, FieldList& fields) {
  const ScannedArguments scanned = scan_arguments(arguments, fields);
  const ParsedArguments parsed{.help_requested = scanned.help_requested, .version_requested = scanned.version_requested};
  if (parsed.help_requested || parsed.version_requested) return parsed;

  std::vector<std::string> notices;
  apply_assignments(fields, scanned.assignments, notices);
  std::size_t next = 0;
  for (Field& field : fields.positionals()) {
    if (next == scanned.positionals.size()) {
      if (field.is_required) fail(ErrorKind::kUsage, "expected the argument {} ({}), found none", field.name, field.help);
      continue;
    }
    Value value = Value::scalar(scanned.positionals[next]);
    if (field.is_list) {
      value = {};
      value.kind = Value::Kind::kList;
      while (next < scanned.positionals.size()) value.items.push_back(Value::scalar(scanned.positionals[next++]));
    } else {
      ++next;
    }
    try {
      field.assign(value, field.limits);
    } catch (const Error& error) {
      fail(ErrorKind::kUsage, "{}: {}", field.name, error.what());
    }
    field.source = Source::kFlag;
    field.where = "argument";
  }
  if (next < scanned.positionals.size()) {
    fail(ErrorKind::kUsage, "unexpected argument '{}'; flags begin with '--'", scanned.positionals[next]);
  }
  require_fields(fields);
  for (const std::string& notice : notices) log::notice_once(notice, notice);
  return parsed;
}

std::vector<std::string> arguments_of(int argc, char** argv) { return {argv + (argc > 0 ? 1 : 0), argv + argc}; }

}  // namespace r1::config

// Filters of chat templates.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/strings.h"
#include "text/template_functions.h"
#include "text/template_interpreter.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

using Value = TemplateValue;
using Kind = TemplateValue::Kind;
using Filter = Value (*)(TemplateInterpreter&, const Value&, const TemplateArguments&);

[[noreturn]] void raise(const std::string& message) { fail(ErrorKind::kData, "{}", message); }

/// An attribute path such as "function.name" or an index, looked up step by step.
Value look_up(TemplateInterpreter& interpreter, const Value& item, const Value& path) {
  if (path.is_integral()) return interpreter.get_item(item, path);
  if (!path.is_string()) raise("an attribute must be a text or an integer");
  Value current = item;
  for (const std::string& part : split(path.text(), '.')) {
    const auto index = parse_int(part);
    current =
        index && *index >= 0 ? interpreter.get_item(current, Value::integer(*index)) : interpreter.get_item(current, Value::string(part));
  }
  return current;
}

/// The key that sort, unique, min, max and groupby compare: an attribute, texts without case unless asked for.
class SortKey {
 public:
  SortKey(TemplateInterpreter& interpreter, const Value* attribute, bool case_sensitive)
      : interpreter_(interpreter), attribute_(attribute), case_sensitive_(case_sensitive) {}
  Value operator()(const Value& item) const {
    Value key = attribute_ == nullptr || attribute_->is(Kind::kNone) ? item : look_up(interpreter_, item, *attribute_);
    if (case_sensitive_ || !key.is_string()) return key;
    return interpreter_.make_string(to_lower(key.text()));
  }

 private:
  TemplateInterpreter& interpreter_;
  const Value* attribute_;
  bool case_sensitive_;
};

void sort_pairs(TemplateInterpreter& interpreter, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  // Merge sort asks for a strict order only of what it compares; a type error surfaces as in Python.
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    const int order = compare(reverse ? b.first : a.first, reverse ? a.first : b.first, interpreter);
    return order == -1;
  });
}

Value sorted(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("sort", arguments);
  const bool reverse = reader.boolean("reverse", false), case_sensitive = reader.boolean("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.finish();
  const SortKey key(interpreter, attribute, case_sensitive);
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : interpreter.iterate(value)) keyed.emplace_back(key(item), item);
  sort_pairs(interpreter, keyed, reverse);
  Value::Items items;
  for (auto& [unused, item] : keyed) items.push_back(std::move(item));
  return Value::list(std::move(items));
}

Value dict_sorted(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("dictsort", arguments);
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  const std::string by = reader.text("by", "key");
  const bool reverse = reader.boolean("reverse", false);
  reader.finish();
  if (!value.is(Kind::kDict)) raise("dictsort needs a dict");
  if (by != "key" && by != "value") raise("You can only sort by either \"key\" or \"value\"");
  const SortKey key(interpreter, nullptr, case_sensitive);
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [name, item] : value.entries())
    keyed.emplace_back(key(by == "key" ? name : item), Value::list({name, item}, Kind::kTuple));
  sort_pairs(interpreter, keyed, reverse);
  Value::Items items;
  for (auto& [unused, item] : keyed) items.push_back(std::move(item));
  return Value::list(std::move(items));
}

Value unique(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("unique", arguments);
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.finish();
  const SortKey key(interpreter, attribute, case_sensitive);
  Value::Items seen, items;
  for (const Value& item : interpreter.iterate(value)) {
    Value item_key = key(item);
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& other) { return is_equal(other, item_key, interpreter); })) continue;
    seen.push_back(std::move(item_key));
    items.push_back(item);
  }
  return Value::list(std::move(items), Kind::kGenerator);
}

Value extreme(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments, int wanted_order) {
  ArgumentReader reader(wanted_order < 0 ? "min" : "max", arguments);
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.finish();
  const SortKey key(interpreter, attribute, case_sensitive);
  Value best = Value::undefined("No aggregated item, sequence was empty."), best_key;
  for (const Value& item : interpreter.iterate(value)) {
    Value item_key = key(item);
    if (!best_key.is(Kind::kUndefined) && compare(item_key, best_key, interpreter) != wanted_order) continue;
    best = item;
    best_key = std::move(item_key);
  }
  return best;
}

Value group_by(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("groupby", arguments);
  const Value& attribute = reader.required("attribute");
  const Value* absent = reader.optional("default");
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  reader.finish();
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : interpreter.iterate(value)) {
    Value key = look_up(interpreter, item, attribute);
    if (key.is(Kind::kUndefined) && absent != nullptr) key = *absent;
    if (!case_sensitive && key.is_string()) key = interpreter.make_string(to_lower(key.text()));
    keyed.emplace_back(std::move(key), item);
  }
  sort_pairs(interpreter, keyed, false);
  Value::Items groups;
  for (std::size_t begin = 0; begin < keyed.size();) {
    Value::Items members;
    std::size_t end = begin;
    while (end < keyed.size() && is_equal(keyed[end].first, keyed[begin].first, interpreter)) members.push_back(keyed[end++].second);
    // The group's name is the first member's own spelling.
    Value name = look_up(interpreter, keyed[begin].second, attribute);
    if (name.is(Kind::kUndefined)) name = keyed[begin].first;
    groups.push_back(Value::list({std::move(name), Value::list(std::move(members))}, Kind::kTuple));
    begin = end;
  }
  return Value::list(std::move(groups));
}

/// select, reject, selectattr, rejectattr: items for which a test (by default: being true) holds.
Value selected(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments, bool by_attribute, bool keep) {
  std::size_t next = 0;
  const Value* attribute = nullptr;
  if (by_attribute) {
    if (arguments.positional.empty()) raise("Missing parameter for attribute name");
    attribute = &arguments.positional[next++];
  }
  int test = -1;
  if (next < arguments.positional.size()) {
    const Value& name = arguments.positional[next++];
    test = name.is_string() ? find_test(name.text()) : -1;
    if (test < 0) raise(fmt::format("No test named '{}'.", interpreter.text_of(name)));
  }
  TemplateArguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(next), arguments.positional.end());
  rest.named = arguments.named;
  Value::Items items;
  for (const Value& item : interpreter.iterate(value)) {
    const Value tested = attribute != nullptr ? look_up(interpreter, item, *attribute) : item;
    const bool holds = test < 0 ? is_true(tested) : apply_test(test, interpreter, tested, rest);
    interpreter.charge(1);
    if (holds == keep) items.push_back(item);
  }
  return Value::list(std::move(items), Kind::kGenerator);
}

Value mapped(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  Value::Items items;
  const Value *attribute = nullptr, *absent = nullptr;
  for (const auto& [name, item] : arguments.named) {
    if (name == "attribute" && arguments.positional.empty()) attribute = &item;
    if (name == "default") absent = &item;
  }
  if (attribute != nullptr) {
    for (const Value& item : interpreter.iterate(value)) {
      Value found = look_up(interpreter, item, *attribute);
      items.push_back(found.is(Kind::kUndefined) && absent != nullptr ? *absent : std::move(found));
    }
    return Value::list(std::move(items), Kind::kGenerator);
  }
  if (arguments.positional.empty()) raise("map requires a filter argument");
  const int filter = arguments.positional[0].is_string() ? find_filter(arguments.positional[0].text()) : -1;
  if (filter < 0) raise(fmt::format("No filter named '{}'.", interpreter.text_of(arguments.positional[0])));
  TemplateArguments rest;
  rest.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
  rest.named = arguments.named;
  for (const Value& item : interpreter.iterate(value)) {
    interpreter.charge(1);
    items.push_back(apply_filter(filter, interpreter, item, rest));
  }
  return Value::list(std::move(items), Kind::kGenerator);
}

Value joined(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("join", arguments);
  const Value* separator = reader.optional("d");
  const Value* attribute = reader.optional("attribute");
  reader.finish();
  const std::string between = separator == nullptr ? "" : interpreter.text_of(*separator);
  std::string text;
  bool first = true;
  for (const Value& item : interpreter.iterate(value)) {
    if (!first) text += between;
    first = false;
    text += interpreter.text_of(attribute == nullptr || attribute->is(Kind::kNone) ? item : look_up(interpreter, item, *attribute));
    interpreter.charge(between.size() / 64);
  }
  return interpreter.make_string(std::move(text));
}

Value to_json(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("tojson", arguments);
  JsonStyle style;
  style.ensure_ascii = reader.boolean("ensure_ascii", false);
  const Value* indent = reader.optional("indent");
  const Value* separators = reader.optional("separators");
  style.sort_keys = reader.boolean("sort_keys", false);
  reader.finish();
  if (indent != nullptr && !indent->is(Kind::kNone)) {
    if (indent->is_string()) style.indent = indent->text();
    else if (indent->is_integral() && indent->as_integer() <= 1000)
      style.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, indent->as_integer())), ' ');
    else raise("tojson: indent must be a text or an integer of at most 1000");
    style.item_separator = ",";
  }
  if (separators != nullptr && !separators->is(Kind::kNone)) {
    const Value::Items items = interpreter.iterate(*separators);
    if (items.size() != 2 || !items[0].is_string() || !items[1].is_string()) raise("tojson: separators must be two texts");
    style.item_separator = items[0].text();
    style.key_separator = items[1].text();
  }
  std::string text;
  append_json(text, value, style, interpreter);
  return interpreter.make_string(std::move(text));
}

Value indented(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("indent", arguments);
  const Value* width = reader.optional("width");
  const bool first = reader.boolean("first", false), blank = reader.boolean("blank", false);
  reader.finish();
  std::string margin(4, ' ');
  if (width != nullptr) {
    if (width->is_string()) margin = width->text();
    else if (width->is_integral() && width->as_integer() <= 1000)
      margin.assign(static_cast<std::size_t>(std::max<std::int64_t>(0, width->as_integer())), ' ');
    else raise("indent: width must be a text or an integer of at most 1000");
  }
  const std::string source = interpreter.text_of(value) + "\n";  // the reference adds one, so that splitting into lines keeps the last
  const std::vector<std::string> lines = split(std::string_view(source).substr(0, source.size() - 1), '\n');
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) text += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) text += margin;
    text += lines[i];
    interpreter.charge(1 + margin.size() / 64);
  }
  return interpreter.make_string(std::move(text));
}

Value rounded(TemplateInterpreter&, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("round", arguments);
  const std::int64_t precision = reader.integer("precision", 0);
  const std::string method = reader.text("method", "common");
  reader.finish();
  if (!value.is_number()) raise(fmt::format("round needs a number, not {}", type_name(value)));
  if (precision < -300 || precision > 300) raise("round: precision out of range");
  const double x = value.as_double();
  if (method == "common") {
    // Through the decimal text, as Python rounds; a plain product would err for 2.675.
    if (precision < 0) {
      const double scale = std::pow(10.0, static_cast<double>(-precision));
      return Value::number(std::nearbyint(x / scale) * scale);
    }
    return Value::number(std::strtod(fmt::format("{:.{}f}", x, precision).c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::number(std::ceil(x * scale) / scale);
  if (method == "floor") return Value::number(std::floor(x * scale) / scale);
  raise("method must be common, ceil or floor");
}

Value to_integer(TemplateInterpreter&, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("int", arguments);
  const std::int64_t absent = reader.integer("default", 0), base = reader.integer("base", 10);
  reader.finish();
  if (value.is_integral()) return Value::integer(value.as_integer());
  if (value.is(Kind::kFloat))
    return std::isfinite(value.as_double()) && std::fabs(value.as_double()) < 9e18
               ? Value::integer(static_cast<std::int64_t>(value.as_double()))
               : Value::integer(absent);
  if (!value.is_string()) return Value::integer(absent);
  const std::string text = strip_text(value.text(), nullptr, true, true);
  if (base == 10) {
    if (const auto number = parse_int(text.starts_with('+') ? std::string_view(text).substr(1) : std::string_view(text)))
      return Value::integer(*number);
    if (const auto number = parse_double(text); number && std::isfinite(*number) && std::fabs(*number) < 9e18)
      return Value::integer(static_cast<std::int64_t>(*number));
    return Value::integer(absent);
  }
  if (base < 2 || base > 36) return Value::integer(absent);
  char* end = nullptr;
  const long long number = std::strtoll(text.c_str(), &end, static_cast<int>(base));
  return Value::integer(!text.empty() && *end == '\0' ? number : absent);
}

Value to_float(TemplateInterpreter&, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("float", arguments);
  const Value* absent = reader.optional("default");
  reader.finish();
  if (value.is_number()) return Value::number(value.as_double());
  if (value.is_string())
    if (const auto number = parse_double(strip_text(value.text(), nullptr, true, true))) return Value::number(*number);
  return absent != nullptr ? *absent : Value::number(0);
}

Value sum_of(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("sum", arguments);
  const Value* attribute = reader.optional("attribute");
  const Value* start = reader.optional("start");
  reader.finish();
  double real = 0;
  std::int64_t integer = 0;
  bool is_real = false;
  const auto add = [&](const Value& item) {
    if (!item.is_number()) raise(fmt::format("unsupported operand type(s) for +: 'int' and '{}'", type_name(item)));
    if (item.is(Kind::kFloat)) is_real = true;
    else if (__builtin_add_overflow(integer, item.as_integer(), &integer)) raise("an integer result does not fit 64 bits");
    real += item.as_double();
  };
  if (start != nullptr) add(*start);
  for (const Value& item : interpreter.iterate(value))
    add(attribute == nullptr || attribute->is(Kind::kNone) ? item : look_up(interpreter, item, *attribute));
  return is_real ? Value::number(real) : Value::integer(integer);
}

Value batched(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("batch", arguments);
  const std::int64_t size = reader.integer("linecount", 0);
  const Value* fill = reader.optional("fill_with");
  reader.finish();
  if (size < 1) raise("batch needs a positive number of items");
  Value::Items batches, batch;
  for (const Value& item : interpreter.iterate(value)) {
    if (static_cast<std::int64_t>(batch.size()) == size) batches.push_back(Value::list(std::exchange(batch, {})));
    batch.push_back(item);
  }
  if (!batch.empty()) {
    if (fill != nullptr && !fill->is(Kind::kNone)) {
      interpreter.charge(static_cast<std::size_t>(size) / 4);
      while (static_cast<std::int64_t>(batch.size()) < size) batch.push_back(*fill);
    }
    batches.push_back(Value::list(std::move(batch)));
  }
  return Value::list(std::move(batches), Kind::kGenerator);
}

Value truncated(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("truncate", arguments);
  const std::int64_t length = reader.integer("length", 255);
  const bool kill_words = reader.boolean("killwords", false);
  const std::string end = reader.text("end", "...");
  const std::int64_t leeway = reader.integer("leeway", 5);
  reader.finish();
  const std::string text = interpreter.text_of(value);
  const auto end_length = static_cast<std::int64_t>(count_code_points(end));
  if (length < end_length) raise(fmt::format("expected length >= {}, got {}", end_length, length));
  if (leeway < 0) raise(fmt::format("expected leeway >= 0, got {}", leeway));
  if (static_cast<std::int64_t>(count_code_points(text)) - leeway <= length) return interpreter.make_string(text);
  std::string kept = text.substr(0, byte_offset(text, length - end_length));
  if (!kill_words)
    if (const std::size_t space = kept.rfind(' '); space != std::string::npos) kept.resize(space);
  return interpreter.make_string(kept + end);
}

Value escaped(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments&) {
  std::string text;
  for (const char c : interpreter.text_of(value)) {
    switch (c) {
      case '&':
        text += "&amp;";
        break;
      case '<':
        text += "&lt;";
        break;
      case '>':
        text += "&gt;";
        break;
      case '"':
        text += "&#34;";
        break;
      case '\'':
        text += "&#39;";
        break;
      default:
        text += c;
    }
  }
  return interpreter.make_string(std::move(text));
}

Value url_encoded(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments&) {
  if (!value.is_string()) raise("urlencode needs a text");
  std::string text;
  for (const char c : value.text()) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~/").find(c) != std::string_view::npos;
    text += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return interpreter.make_string(std::move(text));
}

Value first_of(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments&) {
  const Value::Items items = interpreter.iterate(value);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value last_of(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments&) {
  if (value.is(Kind::kGenerator)) raise("'generator' object is not reversible");
  const Value::Items items = interpreter.iterate(value);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value reversed(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments&) {
  Value::Items items = interpreter.iterate(value);
  std::reverse(items.begin(), items.end());
  if (!value.is_string()) return Value::list(std::move(items), Kind::kGenerator);
  std::string text;
  for (const Value& item : items) text += item.text();
  return interpreter.make_string(std::move(text));
}

Value default_for(TemplateInterpreter&, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("default", arguments);
  const Value* absent = reader.optional("default_value");
  const bool also_false = reader.boolean("boolean", false);
  reader.finish();
  if (!value.is(Kind::kUndefined) && !(also_false && !is_true(value))) return value;
  return absent != nullptr ? *absent : Value::string("");
}

Value items_of(TemplateInterpreter&, const Value& value, const TemplateArguments&) {
  Value::Items items;
  if (!value.is(Kind::kUndefined)) {
    if (!value.is(Kind::kDict)) raise("Can only get item pairs from a mapping.");
    for (const auto& [key, item] : value.entries()) items.push_back(Value::list({key, item}, Kind::kTuple));
  }
  return Value::list(std::move(items), Kind::kGenerator);
}

Value word_count(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments&) {
  const std::string text = interpreter.text_of(value);
  std::int64_t count = 0;
  bool in_word = false;
  for (std::size_t position = 0; position < text.size();) {
    const char32_t c = next_code_point(text, position);
    const bool is_word = (char_classes(c) & (kLetter | kNumber)) != 0 || c == '_';
    if (is_word && !in_word) ++count;
    in_word = is_word;
  }
  return Value::integer(count);
}

Value replaced(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("replace", arguments);
  const std::string from = interpreter.text_of(reader.required("old")), to = interpreter.text_of(reader.required("new"));
  const Value* count = reader.optional("count");
  reader.finish();
  if (count != nullptr && !count->is(Kind::kNone) && !count->is_integral()) raise("replace: count must be an integer");
  return replaced_text(interpreter, interpreter.text_of(value), from, to,
                       count == nullptr || count->is(Kind::kNone) ? -1 : count->as_integer());
}

Value trimmed(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  ArgumentReader reader("trim", arguments);
  const Value* characters = reader.optional("chars");
  reader.finish();
  return interpreter.make_string(strip_text(interpreter.text_of(value), characters, true, true));
}

Value formatted(TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) raise("can't handle positional and keyword arguments at the same time");
  Value::Entries entries;
  for (const auto& [name, item] : arguments.named) entries.emplace_back(Value::string(name), item);
  const Value values = arguments.named.empty() ? Value::list(arguments.positional, Kind::kTuple) : Value::dict(std::move(entries));
  return interpreter.make_string(percent_format(interpreter.text_of(value), values, interpreter));
}

struct NamedFilter {
  std::string_view name;
  Filter run;
};
#define R1_FILTER(body)                                                                                   \
  [](TemplateInterpreter& interpreter, const Value& value, const TemplateArguments& arguments) -> Value { \
    (void)interpreter, (void)arguments;                                                                   \
    return body;                                                                                          \
  }
constexpr NamedFilter kFilters[] = {
    {"abs", R1_FILTER([&] {
       if (!value.is_number()) raise(fmt::format("bad operand type for abs(): '{}'", type_name(value)));
       if (value.is(Kind::kFloat)) return Value::number(std::fabs(value.as_double()));
       if (value.as_integer() == INT64_MIN) raise("an integer result does not fit 64 bits");
       return Value::integer(std::abs(value.as_integer()));
     }())},
    {"attr", R1_FILTER([&] {
       ArgumentReader reader("attr", arguments);
       const std::string name = reader.text("name", "");
       reader.finish();
       return value.is(Kind::kDict) ? bound_method(value, name) : interpreter.get_attribute(value, name);
     }())},
    {"batch", batched},
    {"capitalize", R1_FILTER(interpreter.make_string(capitalize_text(interpreter.text_of(value))))},
    {"count", R1_FILTER(Value::integer(interpreter.length_of(value)))},
    {"d", default_for},
    {"default", default_for},
    {"dictsort", dict_sorted},
    {"e", escaped},
    {"escape", escaped},
    {"first", first_of},
    {"float", to_float},
    {"forceescape", escaped},
    {"format", formatted},
    {"groupby", group_by},
    {"indent", indented},
    {"int", to_integer},
    {"items", items_of},
    {"join", joined},
    {"last", last_of},
    {"length", R1_FILTER(Value::integer(interpreter.length_of(value)))},
    {"list", R1_FILTER(Value::list(interpreter.iterate(value)))},
    {"lower", R1_FILTER(interpreter.make_string(to_lower(interpreter.text_of(value))))},
    {"map", mapped},
    {"max", R1_FILTER(extreme(interpreter, value, arguments, 1))},
    {"min", R1_FILTER(extreme(interpreter, value, arguments, -1))},
    {"reject", R1_FILTER(selected(interpreter, value, arguments, false, false))},
    {"rejectattr", R1_FILTER(selected(interpreter, value, arguments, true, false))},
    {"replace", replaced},
    {"reverse", reversed},
    {"round", rounded},
    {"safe", R1_FILTER(interpreter.make_string(interpreter.text_of(value)))},
    {"select", R1_FILTER(selected(interpreter, value, arguments, false, true))},
    {"selectattr", R1_FILTER(selected(interpreter, value, arguments, true, true))},
    {"sort", sorted},
    {"string", R1_FILTER(interpreter.make_string(interpreter.text_of(value)))},
    {"sum", sum_of},
    {"title", R1_FILTER(interpreter.make_string(title_text(interpreter.text_of(value))))},
    {"tojson", to_json},
    {"trim", trimmed},
    {"truncate", truncated},
    {"unique", unique},
    {"upper", R1_FILTER(interpreter.make_string(to_upper(interpreter.text_of(value))))},
    {"urlencode", url_encoded},
    {"wordcount", word_count},
};
#undef R1_FILTER

}  // namespace

int find_filter(std::string_view name) { return index_of(kFilters, name); }
const std::vector<std::string>& filter_names() {
  static const std::vector<std::string> names = names_of(kFilters);
  return names;
}

TemplateValue apply_filter(int filter, TemplateInterpreter& interpreter, const TemplateValue& value, const TemplateArguments& arguments) {
  return kFilters[filter].run(interpreter, value, arguments);
}

}  // namespace r1::text

// Methods of texts, lists and dicts, and the global functions of chat templates.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/error.h"
#include "base/strings.h"
#include "text/template_functions.h"
#include "text/template_interpreter.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

using Value = TemplateValue;
using Kind = TemplateValue::Kind;
using Method = Value (*)(TemplateInterpreter&, const Value& self, ArgumentReader&);

[[noreturn]] void raise(const std::string& message) { fail(ErrorKind::kData, "{}", message); }

Value boolean(bool value) { return Value::boolean(value); }

/// Bounds [start, end) of the text that find, count and the like look at, in bytes.
std::string_view window(const Value& self, ArgumentReader& arguments, std::size_t* offset = nullptr) {
  const std::int64_t length = self.string_length();
  const auto clamp = [&](const Value* bound, std::int64_t absent) {
    if (bound == nullptr || bound->is(Kind::kNone)) return absent;
    if (!bound->is_integral()) raise("slice indices must be integers or None");
    const std::int64_t index = bound->as_integer();
    return std::clamp<std::int64_t>(index < 0 ? index + length : index, 0, length);
  };
  const std::int64_t begin = clamp(arguments.optional("start"), 0), end = clamp(arguments.optional("end"), length);
  const std::size_t from = byte_offset(self.text(), begin);
  if (offset != nullptr) *offset = from;
  if (end <= begin) return std::string_view(self.text()).substr(from, 0);
  return std::string_view(self.text()).substr(from, byte_offset(self.text(), end) - from);
}

Value strip(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments, bool left, bool right) {
  const Value* characters = arguments.optional("chars");
  return interpreter.make_string(strip_text(self.text(), characters, left, right));
}

bool begins_or_ends(const Value& self, ArgumentReader& arguments, bool at_end) {
  const Value& affix = arguments.required("prefix");
  const std::string_view text = window(self, arguments);
  const auto matches = [&](const Value& one) {
    if (!one.is_string()) raise(fmt::format("startswith and endswith expect a str or a tuple of str, not {}", type_name(one)));
    return at_end ? text.ends_with(one.text()) : text.starts_with(one.text());
  };
  if (affix.is(Kind::kTuple)) return std::any_of(affix.items().begin(), affix.items().end(), matches);
  return matches(affix);
}

Value split_on_white_space(TemplateInterpreter& interpreter, const Value& self, std::int64_t max_splits, bool from_right) {
  const std::string& text = self.text();
  interpreter.charge(1 + text.size() / 8);
  Value::Items parts;
  const auto code_point_at = [&](std::size_t position) { return decode_char(text.data() + position); };
  if (!from_right) {
    std::size_t position = 0;
    while (true) {
      while (position < text.size() && is_python_white_space(code_point_at(position).code_point))
        position += code_point_at(position).length;
      if (position >= text.size()) break;
      if (max_splits >= 0 && static_cast<std::int64_t>(parts.size()) >= max_splits) {
        parts.push_back(Value::string(strip_text(std::string_view(text).substr(position), nullptr, false, true)));
        break;
      }
      const std::size_t begin = position;
      while (position < text.size() && !is_python_white_space(code_point_at(position).code_point))
        position += code_point_at(position).length;
      parts.push_back(Value::string(text.substr(begin, position - begin)));
    }
    return Value::list(std::move(parts));
  }
  // From the right: the words as from the left, the first ones kept together.
  const Value all = split_on_white_space(interpreter, self, -1, false);
  if (max_splits < 0 || static_cast<std::int64_t>(all.items().size()) <= max_splits + 1) return all;
  const std::size_t num_last = static_cast<std::size_t>(max_splits);
  std::string_view rest = text;
  for (std::size_t i = 0; i < num_last; ++i) {
    const std::size_t end = strip_text(rest, nullptr, false, true).size();
    rest = rest.substr(0, end - all.items()[all.items().size() - 1 - i].text().size());
  }
  parts.push_back(Value::string(strip_text(rest, nullptr, true, true)));
  for (std::size_t i = all.items().size() - num_last; i < all.items().size(); ++i) parts.push_back(all.items()[i]);
  return Value::list(std::move(parts));
}

Value split(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments, bool from_right) {
  const Value* separator = arguments.optional("sep");
  const std::int64_t max_splits = arguments.integer("maxsplit", -1);
  if (separator == nullptr || separator->is(Kind::kNone)) return split_on_white_space(interpreter, self, max_splits, from_right);
  if (!separator->is_string()) raise(fmt::format("must be str or None, not {}", type_name(*separator)));
  const std::string &text = self.text(), &mark = separator->text();
  if (mark.empty()) raise("empty separator");
  interpreter.charge(1 + text.size() / 32);
  Value::Items parts;
  if (!from_right) {
    std::size_t begin = 0;
    while (max_splits < 0 || static_cast<std::int64_t>(parts.size()) < max_splits) {
      const std::size_t at = text.find(mark, begin);
      if (at == std::string::npos) break;
      parts.push_back(Value::string(text.substr(begin, at - begin)));
      begin = at + mark.size();
    }
    parts.push_back(Value::string(text.substr(begin)));
  } else {
    std::size_t end = text.size();
    while (end >= mark.size() && (max_splits < 0 || static_cast<std::int64_t>(parts.size()) < max_splits)) {
      const std::size_t at = text.rfind(mark, end - mark.size());
      if (at == std::string::npos) break;
      parts.push_back(Value::string(text.substr(at + mark.size(), end - at - mark.size())));
      end = at;
    }
    parts.push_back(Value::string(text.substr(0, end)));
    std::reverse(parts.begin(), parts.end());
  }
  interpreter.charge(parts.size());
  return Value::list(std::move(parts));
}

Value replace(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  const Value &from = arguments.required("old"), &to = arguments.required("new");
  const std::int64_t max_count = arguments.integer("count", -1);
  if (!from.is_string() || !to.is_string()) raise("replace() arguments must be str");
  return replaced_text(interpreter, self.text(), from.text(), to.text(), max_count);
}

Value find_in(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments, bool from_right, bool must_exist) {
  const Value& wanted = arguments.required("sub");
  if (!wanted.is_string()) raise(fmt::format("must be str, not {}", type_name(wanted)));
  std::size_t offset = 0;
  const std::string_view text = window(self, arguments, &offset);
  interpreter.charge(1 + text.size() / 64);
  const std::size_t at = from_right ? text.rfind(wanted.text()) : text.find(wanted.text());
  if (at == std::string_view::npos) {
    if (must_exist) raise("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(static_cast<std::int64_t>(count_code_points(std::string_view(self.text()).substr(0, offset + at))));
}

Value count_in(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  const Value& wanted = arguments.required("sub");
  if (!wanted.is_string()) raise(fmt::format("must be str, not {}", type_name(wanted)));
  const std::string_view text = window(self, arguments);
  interpreter.charge(1 + text.size() / 32);
  if (wanted.text().empty()) return Value::integer(static_cast<std::int64_t>(count_code_points(text)) + 1);
  std::int64_t count = 0;
  for (std::size_t at = text.find(wanted.text()); at != std::string_view::npos; at = text.find(wanted.text(), at + wanted.text().size()))
    ++count;
  return Value::integer(count);
}

Value partition(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments, bool from_right) {
  const Value& mark = arguments.required("sep");
  if (!mark.is_string() || mark.text().empty()) raise("partition needs a separator that is a text and not empty");
  const std::string& text = self.text();
  interpreter.charge(1 + text.size() / 64);
  const std::size_t at = from_right ? text.rfind(mark.text()) : text.find(mark.text());
  const Value empty = Value::string("");
  if (at == std::string::npos)
    return from_right ? Value::list({empty, empty, self}, Kind::kTuple) : Value::list({self, empty, empty}, Kind::kTuple);
  return Value::list({Value::string(text.substr(0, at)), mark, Value::string(text.substr(at + mark.text().size()))}, Kind::kTuple);
}

Value pad(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments, int side) {
  const std::int64_t width = arguments.integer("width", 0);
  const std::string fill = arguments.text("fillchar", " ");
  if (count_code_points(fill) != 1) raise("the fill character must be exactly one character long");
  const std::int64_t missing = std::max<std::int64_t>(0, width - self.string_length());
  interpreter.charge(static_cast<std::size_t>(missing) / 16);
  const std::int64_t before = side < 0 ? 0 : side > 0 ? missing : missing / 2 + (missing & width & 1);
  std::string text;
  for (std::int64_t i = 0; i < before; ++i) text += fill;
  text += self.text();
  for (std::int64_t i = before; i < missing; ++i) text += fill;
  return interpreter.make_string(std::move(text));
}

Value zero_fill(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  const std::int64_t missing = std::max<std::int64_t>(0, arguments.integer("width", 0) - self.string_length());
  interpreter.charge(static_cast<std::size_t>(missing) / 16);
  std::string text = self.text();
  text.insert(!text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0, static_cast<std::size_t>(missing), '0');
  return interpreter.make_string(std::move(text));
}

Value split_lines(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  const bool keep_ends = arguments.boolean("keepends", false);
  const std::string& text = self.text();
  interpreter.charge(1 + text.size() / 16);
  Value::Items lines;
  std::size_t begin = 0;
  for (std::size_t position = 0; position < text.size();) {
    const DecodedChar character = decode_char(text.data() + position);
    const char32_t c = character.code_point;
    const std::size_t line_end = position;
    position += character.length;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    if (c == '\r' && position < text.size() && text[position] == '\n') ++position;
    lines.push_back(Value::string(text.substr(begin, (keep_ends ? position : line_end) - begin)));
    begin = position;
  }
  if (begin < text.size()) lines.push_back(Value::string(text.substr(begin)));
  return Value::list(std::move(lines));
}

Value join_items(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  std::string text;
  std::size_t index = 0;
  for (const Value& item : interpreter.iterate(arguments.required("iterable"))) {
    if (!item.is_string()) raise(fmt::format("sequence item {}: expected str instance, {} found", index, type_name(item)));
    if (index++ > 0) text += self.text();
    text += item.text();
    interpreter.charge(1 + (item.text().size() + self.text().size()) / 64);
  }
  return interpreter.make_string(std::move(text));
}

/// True when every code point is of the classes, and there is one.
bool all_of_classes(const Value& self, std::uint8_t classes) {
  const std::string& text = self.text();
  for (std::size_t position = 0; position < text.size();)
    if ((char_classes(next_code_point(text, position)) & classes) == 0) return false;
  return !text.empty();
}

bool has_case(const Value& self, bool upper) {
  const std::string &text = self.text(), lowered = to_lower(text), raised = to_upper(text);
  return lowered != raised && text == (upper ? raised : lowered);
}

/// "{}", "{0}", "{name}" without format specifications; doubled braces stand for themselves.
Value format_text(TemplateInterpreter& interpreter, const Value& self, const TemplateArguments& arguments) {
  const std::string& format = self.text();
  std::string text;
  std::size_t next = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if ((c == '{' || c == '}') && i + 1 < format.size() && format[i + 1] == c) {
      text += c;
      ++i;
      continue;
    }
    if (c == '}') raise("single '}' encountered in format string");
    if (c != '{') {
      text += c;
      continue;
    }
    const std::size_t close = format.find('}', i);
    if (close == std::string::npos) raise("expected '}' before end of string");
    const std::string field = format.substr(i + 1, close - i - 1);
    i = close;
    if (field.find_first_of(".[:!{") != std::string::npos)
      raise("str.format with attributes, subscripts or format specifications is not supported; use the % operator");
    const Value* value = nullptr;
    const auto index = field.empty() ? std::optional(static_cast<std::int64_t>(next++)) : parse_int(field);
    if (index) {
      if (*index < 0 || *index >= static_cast<std::int64_t>(arguments.positional.size()))
        raise("replacement index out of range for positional arguments");
      value = &arguments.positional[static_cast<std::size_t>(*index)];
    } else {
      for (const auto& [name, item] : arguments.named)
        if (name == field) value = &item;
      if (value == nullptr) raise(fmt::format("no argument '{}' for the format", field));
    }
    text += interpreter.text_of(*value);
  }
  return interpreter.make_string(std::move(text));
}

Value dict_get(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  const Value& key = arguments.required("key");
  const Value* absent = arguments.optional("default");
  interpreter.charge(1 + self.entries().size() / 8);
  if (const Value* value = self.find(key)) return *value;
  return absent != nullptr ? *absent : Value::none();
}

Value dict_view(TemplateInterpreter& interpreter, const Value& self, bool keys, bool values) {
  Value::Items items;
  interpreter.charge(1 + self.entries().size() / 8);
  for (const auto& [key, value] : self.entries())
    items.push_back(keys && values ? Value::list({key, value}, Kind::kTuple) : keys ? key : value);
  return Value::list(std::move(items), Kind::kView);
}

Value list_index(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  const Value& wanted = arguments.required("value");
  for (std::size_t i = 0; i < self.items().size(); ++i)
    if (is_equal(self.items()[i], wanted, interpreter)) return Value::integer(static_cast<std::int64_t>(i));
  raise("the value is not in the list");
}

Value list_count(TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) {
  const Value& wanted = arguments.required("value");
  return Value::integer(
      std::count_if(self.items().begin(), self.items().end(), [&](const Value& item) { return is_equal(item, wanted, interpreter); }));
}

struct NamedMethod {
  std::string_view name;
  Method run;
};

#define R1_METHOD(body)                                                                         \
  [](TemplateInterpreter& interpreter, const Value& self, ArgumentReader& arguments) -> Value { \
    (void)interpreter, (void)arguments;                                                         \
    return body;                                                                                \
  }

constexpr NamedMethod kStringMethods[] = {
    {"strip", R1_METHOD(strip(interpreter, self, arguments, true, true))},
    {"lstrip", R1_METHOD(strip(interpreter, self, arguments, true, false))},
    {"rstrip", R1_METHOD(strip(interpreter, self, arguments, false, true))},
    {"split", R1_METHOD(split(interpreter, self, arguments, false))},
    {"rsplit", R1_METHOD(split(interpreter, self, arguments, true))},
    {"splitlines", R1_METHOD(split_lines(interpreter, self, arguments))},
    {"startswith", R1_METHOD(boolean(begins_or_ends(self, arguments, false)))},
    {"endswith", R1_METHOD(boolean(begins_or_ends(self, arguments, true)))},
    {"replace", R1_METHOD(replace(interpreter, self, arguments))},
    {"find", R1_METHOD(find_in(interpreter, self, arguments, false, false))},
    {"rfind", R1_METHOD(find_in(interpreter, self, arguments, true, false))},
    {"index", R1_METHOD(find_in(interpreter, self, arguments, false, true))},
    {"rindex", R1_METHOD(find_in(interpreter, self, arguments, true, true))},
    {"count", R1_METHOD(count_in(interpreter, self, arguments))},
    {"partition", R1_METHOD(partition(interpreter, self, arguments, false))},
    {"rpartition", R1_METHOD(partition(interpreter, self, arguments, true))},
    {"ljust", R1_METHOD(pad(interpreter, self, arguments, -1))},
    {"rjust", R1_METHOD(pad(interpreter, self, arguments, 1))},
    {"center", R1_METHOD(pad(interpreter, self, arguments, 0))},
    {"zfill", R1_METHOD(zero_fill(interpreter, self, arguments))},
    {"join", R1_METHOD(join_items(interpreter, self, arguments))},
    {"upper", R1_METHOD(interpreter.make_string(to_upper(self.text())))},
    {"lower", R1_METHOD(interpreter.make_string(to_lower(self.text())))},
    {"casefold", R1_METHOD(interpreter.make_string(to_lower(self.text())))},
    {"capitalize", R1_METHOD(interpreter.make_string(capitalize_text(self.text())))},
    {"title", R1_METHOD(interpreter.make_string(title_text(self.text())))},
    {"isdigit", R1_METHOD(boolean(all_of_classes(self, kNumber)))},
    {"isdecimal", R1_METHOD(boolean(all_of_classes(self, kNumber)))},
    {"isnumeric", R1_METHOD(boolean(all_of_classes(self, kNumber)))},
    {"isalpha", R1_METHOD(boolean(all_of_classes(self, kLetter)))},
    {"isalnum", R1_METHOD(boolean(all_of_classes(self, kLetter | kNumber)))},
    {"isspace", R1_METHOD(boolean(!self.text().empty() && strip_text(self.text(), nullptr, true, false).empty()))},
    {"isupper", R1_METHOD(boolean(has_case(self, true)))},
    {"islower", R1_METHOD(boolean(has_case(self, false)))},
    {"format", nullptr},  // takes all arguments as they come
    {"removeprefix", R1_METHOD(interpreter.make_string([&] {
       const std::string prefix = arguments.text("prefix", "");
       return self.text().starts_with(prefix) ? self.text().substr(prefix.size()) : self.text();
     }()))},
    {"removesuffix", R1_METHOD(interpreter.make_string([&] {
       const std::string suffix = arguments.text("suffix", "");
       return self.text().ends_with(suffix) ? self.text().substr(0, self.text().size() - suffix.size()) : self.text();
     }()))},
};
constexpr NamedMethod kListMethods[] = {
    {"index", R1_METHOD(list_index(interpreter, self, arguments))},
    {"count", R1_METHOD(list_count(interpreter, self, arguments))},
    {"copy", R1_METHOD(self)},
};
constexpr NamedMethod kDictMethods[] = {
    {"get", R1_METHOD(dict_get(interpreter, self, arguments))},
    {"items", R1_METHOD(dict_view(interpreter, self, true, true))},
    {"keys", R1_METHOD(dict_view(interpreter, self, true, false))},
    {"values", R1_METHOD(dict_view(interpreter, self, false, true))},
    {"copy", R1_METHOD(self)},
};
#undef R1_METHOD

// What the sandbox refuses: methods that change their object.
constexpr std::array<std::string_view, 12> kChangingMethods = {"append", "extend", "insert", "remove",     "pop",     "reverse",
                                                               "sort",   "clear",  "update", "setdefault", "popitem", "fromkeys"};

struct BoundMethod : TemplateCallable {
  Value self;
  NamedMethod method{};
  bool changes_self = false;
  Value call(TemplateInterpreter& interpreter, TemplateArguments& arguments) override {
    if (changes_self) raise(fmt::format("'{}' of a {} would change it; chat templates cannot", method.name, type_name(self)));
    interpreter.charge(1 + (self.is_string() ? self.text().size() / 64 : 0));
    if (method.run == nullptr) return format_text(interpreter, self, arguments);
    ArgumentReader reader(method.name, arguments);
    Value result = method.run(interpreter, self, reader);
    reader.finish();
    return result;
  }
};

using GlobalFunction = Value (*)(TemplateInterpreter&, TemplateArguments&);

Value make_range(TemplateInterpreter& interpreter, TemplateArguments& arguments) {
  ArgumentReader reader("range", arguments);
  std::int64_t begin = 0, end = reader.integer("start", 0);
  if (arguments.positional.size() > 1) {
    begin = end;
    end = reader.integer("stop", 0);
  }
  const std::int64_t step = arguments.positional.size() > 2 ? reader.integer("step", 1) : 1;
  reader.finish();
  if (arguments.positional.empty()) raise("range expected at least 1 argument, got 0");
  if (step == 0) raise("range() arg 3 must not be zero");
  constexpr std::int64_t kMaxRange = 100'000;  // the sandbox's own limit
  Value::Items items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (static_cast<std::int64_t>(items.size()) >= kMaxRange) raise("range too big; the sandbox blocks ranges larger than 100000 items");
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  interpreter.charge(1 + items.size() / 8);
  return Value::list(std::move(items));
}

/// The entries that dict() and namespace() share: a mapping or pairs, then names.
std::vector<std::pair<std::string, Value>> named_entries(TemplateInterpreter& interpreter, const char* function,
                                                         TemplateArguments& arguments) {
  std::vector<std::pair<std::string, Value>> entries;
  const auto set = [&](const std::string& name, const Value& value) {
    for (auto& [known, old] : entries)
      if (known == name) {
        old = value;
        return;
      }
    entries.emplace_back(name, value);
    interpreter.charge(1 + entries.size() / 8);
  };
  if (arguments.positional.size() > 1) raise(fmt::format("{} expected at most 1 argument, got {}", function, arguments.positional.size()));
  for (const Value& source : arguments.positional) {
    if (source.is(Kind::kDict)) {
      for (const auto& [key, value] : source.entries()) {
        if (!key.is_string()) raise(fmt::format("{}: keys that are no texts are not supported here", function));
        set(key.text(), value);
      }
      continue;
    }
    for (const Value& pair : interpreter.iterate(source)) {
      const Value::Items items = interpreter.iterate(pair);
      if (items.size() != 2 || !items[0].is_string()) raise(fmt::format("{}: expected pairs of a text and a value", function));
      set(items[0].text(), items[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) set(name, value);
  return entries;
}

constexpr std::pair<std::string_view, GlobalFunction> kGlobals[] = {
    {"range", make_range},
    {"dict",
     [](TemplateInterpreter& interpreter, TemplateArguments& arguments) {
       Value::Entries entries;
       for (auto& [name, value] : named_entries(interpreter, "dict", arguments))
         entries.emplace_back(Value::string(name), std::move(value));
       return Value::dict(std::move(entries));
     }},
    {"namespace",
     [](TemplateInterpreter& interpreter, TemplateArguments& arguments) {
       auto entries = named_entries(interpreter, "namespace", arguments);
       for (const auto& [name, value] : entries)
         if (name.starts_with('_')) raise(fmt::format("a namespace has no attribute '{}' that could be set", name));
       return interpreter.make_namespace(std::move(entries));
     }},
    {"raise_exception",
     [](TemplateInterpreter& interpreter, TemplateArguments& arguments) -> Value {
       ArgumentReader reader("raise_exception", arguments);
       raise(interpreter.text_of(reader.required("message")));
     }},
    {"strftime_now",
     [](TemplateInterpreter& interpreter, TemplateArguments& arguments) {
       ArgumentReader reader("strftime_now", arguments);
       const std::string format = reader.text("format", "");
       reader.finish();
       if (format.size() > 1000) raise("a time format of more than 1000 bytes");
       if (format.empty()) return Value::string("");
       std::string text(format.size() * 16 + 256, '\0');
       text.resize(std::strftime(text.data(), text.size(), format.c_str(), &interpreter.now()));
       return interpreter.make_string(replace_invalid_utf8(text));
     }},
};

struct BoundGlobal : TemplateCallable {
  GlobalFunction function = nullptr;
  Value call(TemplateInterpreter& interpreter, TemplateArguments& arguments) override { return function(interpreter, arguments); }
};

template <std::size_t N>
const NamedMethod* find_method(const NamedMethod (&methods)[N], std::string_view name) {
  const auto* found = std::find_if(std::begin(methods), std::end(methods), [&](const NamedMethod& method) { return method.name == name; });
  return found == std::end(methods) ? nullptr : found;
}

}  // namespace

TemplateValue replaced_text(TemplateInterpreter& interpreter, const std::string& text, const std::string& from, const std::string& to,
                            std::int64_t max_count) {
  std::string result;
  std::size_t position = 0;
  for (std::int64_t count = 0; max_count < 0 || count < max_count; ++count) {
    interpreter.charge(1 + to.size() / 64);
    if (from.empty()) {  // between all characters
      result += to;
      if (position >= text.size()) break;
      const std::uint32_t length = decode_char(text.data() + position).length;
      result.append(text, position, length);
      position += length;
      continue;
    }
    const std::size_t at = text.find(from, position);
    if (at == std::string::npos) break;
    result.append(text, position, at - position);
    result += to;
    position = at + from.size();
  }
  if (position < text.size()) result.append(text, position);
  return interpreter.make_string(std::move(result));
}

TemplateValue bound_method(const TemplateValue& self, std::string_view name) {
  const NamedMethod* method = self.is_string()       ? find_method(kStringMethods, name)
                              : self.is(Kind::kDict) ? find_method(kDictMethods, name)
                                                     : find_method(kListMethods, name);
  const bool changes =
      method == nullptr && !self.is_string() && std::find(kChangingMethods.begin(), kChangingMethods.end(), name) != kChangingMethods.end();
  if (method == nullptr && !changes) return {};
  // A dict has only some of the changing methods; a message may have a key such as "reverse".
  if (changes && self.is(Kind::kDict) && name != "pop" && name != "clear" && name != "update" && name != "setdefault" &&
      name != "popitem" && name != "fromkeys")
    return {};
  auto bound = std::make_shared<BoundMethod>();
  bound->self = self;
  bound->depth = self.depth() + 1;
  bound->changes_self = changes;
  if (method != nullptr) bound->method = *method;
  else bound->method.name = *std::find(kChangingMethods.begin(), kChangingMethods.end(), name);
  return Value::object(Kind::kCallable, std::move(bound));
}

TemplateValue global_function(std::string_view name) {
  for (const auto& [known, function] : kGlobals)
    if (known == name) {
      auto bound = std::make_shared<BoundGlobal>();
      bound->function = function;
      return Value::object(Kind::kCallable, std::move(bound));
    }
  return {};
}

}  // namespace r1::text

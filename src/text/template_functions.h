// Filters, tests, methods and global functions of chat templates.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template_value.h"

namespace r1::text {

class TemplateInterpreter;

/// The evaluated arguments of a call.
struct TemplateArguments {
  TemplateValue::Items positional;
  std::vector<std::pair<std::string, TemplateValue>> named;
};

/// Something that can be called: a macro, a method of a value, a global function.
struct TemplateCallable : TemplateObject {
  virtual TemplateValue call(TemplateInterpreter& interpreter, TemplateArguments& arguments) = 0;
};

/// Index of a filter or test by name, -1 when there is none.
int find_filter(std::string_view name);
int find_test(std::string_view name);
const std::vector<std::string>& filter_names();
const std::vector<std::string>& test_names();

TemplateValue apply_filter(int filter, TemplateInterpreter& interpreter, const TemplateValue& value, const TemplateArguments& arguments);
bool apply_test(int test, TemplateInterpreter& interpreter, const TemplateValue& value, const TemplateArguments& arguments);

/// Place of a name in a table of {name, …}, -1 when it is not there; and all names.
template <typename Entry, std::size_t N>
int index_of(const Entry (&entries)[N], std::string_view name) {
  for (std::size_t i = 0; i < N; ++i)
    if (entries[i].name == name) return static_cast<int>(i);
  return -1;
}
template <typename Entry, std::size_t N>
std::vector<std::string> names_of(const Entry (&entries)[N]) {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.emplace_back(entry.name);
  return names;
}

/// A method of a string, list or dict bound to it; undefined when it has none of that name.
TemplateValue bound_method(const TemplateValue& self, std::string_view name);

/// A global function (range, dict, namespace, raise_exception, strftime_now); undefined when there is none of that name.
TemplateValue global_function(std::string_view name);

/// The arguments of one call, taken by position or name; finish() rejects what nobody took.
class ArgumentReader {
 public:
  ArgumentReader(std::string_view function, const TemplateArguments& arguments)
      : function_(function), arguments_(arguments), named_taken_(arguments.named.size(), false) {}

  /// The next parameter, or null when it was not given.
  const TemplateValue* optional(std::string_view name);
  /// The next parameter; throws Error(kData) when it is missing.
  const TemplateValue& required(std::string_view name);
  std::int64_t integer(std::string_view name, std::int64_t absent);
  bool boolean(std::string_view name, bool absent);
  std::string text(std::string_view name, std::string_view absent);
  /// Throws Error(kData) when arguments are left over.
  void finish() const;

 private:
  std::string_view function_;
  const TemplateArguments& arguments_;
  std::vector<bool> named_taken_;
  std::size_t next_positional_ = 0;
};

// Python's text helpers that filters and methods share. All texts are valid UTF-8; positions are code points.
bool is_python_white_space(char32_t code_point);
std::string strip_text(std::string_view text, const TemplateValue* characters, bool left, bool right);
std::string capitalize_text(std::string_view text);
std::string title_text(std::string_view text);
/// Python's "%" on a text: %s %r %d %i %f %e %g %x %o %c %% with flags, width and precision.
std::string percent_format(std::string_view format, const TemplateValue& values, TemplateInterpreter& interpreter);
/// Python's str.replace; max_count -1: all.
TemplateValue replaced_text(TemplateInterpreter& interpreter, const std::string& text, const std::string& from, const std::string& to,
                            std::int64_t max_count);
/// Byte offset of the code point at `index` (at most the length).
std::size_t byte_offset(std::string_view text, std::int64_t index);

}  // namespace r1::text

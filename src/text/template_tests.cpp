// Tests ("is …") of chat templates.
#include <fmt/format.h>

#include "base/error.h"
#include "text/template_functions.h"
#include "text/template_interpreter.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

using Value = TemplateValue;
using Kind = TemplateValue::Kind;
using Test = bool (*)(TemplateInterpreter&, const Value&, ArgumentReader&);

[[noreturn]] void raise(const std::string& message) { fail(ErrorKind::kData, "{}", message); }

bool is_case(TemplateInterpreter& interpreter, const Value& value, bool upper) {
  const std::string text = interpreter.text_of(value), lowered = to_lower(text), raised = to_upper(text);
  return lowered != raised && text == (upper ? raised : lowered);
}

std::int64_t integer_of(const Value& value) {
  if (value.is(Kind::kUndefined)) raise(value.undefined_message());
  if (!value.is_integral()) raise(fmt::format("a test for integers got {}", type_name(value)));
  return value.as_integer();
}

struct NamedTest {
  std::string_view name;
  Test run;
};
#define R1_TEST_FUNCTION(body)                                                                  \
  [](TemplateInterpreter& interpreter, const Value& value, ArgumentReader& arguments) -> bool { \
    (void)interpreter, (void)arguments, (void)value;                                            \
    return body;                                                                                \
  }
#define R1_COMPARE_TEST(condition)                                              \
  R1_TEST_FUNCTION([&] {                                                        \
    const int order = compare(value, arguments.required("other"), interpreter); \
    return condition;                                                           \
  }())
constexpr Test kEqualTest = R1_TEST_FUNCTION(is_equal(value, arguments.required("other"), interpreter));
constexpr Test kNotEqualTest = R1_TEST_FUNCTION(!is_equal(value, arguments.required("other"), interpreter));
constexpr Test kLessTest = R1_COMPARE_TEST(order == -1);
constexpr Test kLessEqualTest = R1_COMPARE_TEST(order <= 0);
constexpr Test kGreaterTest = R1_COMPARE_TEST(order == 1);
constexpr Test kGreaterEqualTest = R1_COMPARE_TEST(order == 0 || order == 1);
constexpr NamedTest kTests[] = {
    {"boolean", R1_TEST_FUNCTION(value.is(Kind::kBool))},
    {"callable", R1_TEST_FUNCTION(value.is(Kind::kCallable))},
    {"defined", R1_TEST_FUNCTION(!value.is(Kind::kUndefined))},
    {"divisibleby", R1_TEST_FUNCTION([&] {
       const std::int64_t divisor = integer_of(arguments.required("num"));
       if (divisor == 0) raise("integer modulo by zero");
       return divisor == -1 || integer_of(value) % divisor == 0;
     }())},
    {"undefined", R1_TEST_FUNCTION(value.is(Kind::kUndefined))},
    {"none", R1_TEST_FUNCTION(value.is(Kind::kNone))},
    {"true", R1_TEST_FUNCTION(value.is(Kind::kBool) && value.as_bool())},
    {"false", R1_TEST_FUNCTION(value.is(Kind::kBool) && !value.as_bool())},
    {"integer", R1_TEST_FUNCTION(value.is(Kind::kInteger))},
    {"float", R1_TEST_FUNCTION(value.is(Kind::kFloat))},
    {"number", R1_TEST_FUNCTION(value.is_number())},
    {"string", R1_TEST_FUNCTION(value.is_string())},
    {"mapping", R1_TEST_FUNCTION(value.is(Kind::kDict))},
    {"iterable", R1_TEST_FUNCTION(value.is_string() || value.is_sequence_like() || value.is(Kind::kDict) || value.is(Kind::kUndefined) ||
                                  value.is(Kind::kLoop))},
    {"sequence", R1_TEST_FUNCTION(value.is_string() || value.is(Kind::kList) || value.is(Kind::kTuple) || value.is(Kind::kDict) ||
                                  value.is(Kind::kUndefined))},
    {"even", R1_TEST_FUNCTION(integer_of(value) % 2 == 0)},
    {"odd", R1_TEST_FUNCTION(integer_of(value) % 2 != 0)},
    {"lower", R1_TEST_FUNCTION(is_case(interpreter, value, false))},
    {"upper", R1_TEST_FUNCTION(is_case(interpreter, value, true))},
    {"escaped", R1_TEST_FUNCTION(false)},  // there is no autoescape here
    {"in", R1_TEST_FUNCTION(interpreter.contains(arguments.required("seq"), value))},
    {"sameas", R1_TEST_FUNCTION([&] {
       const Value& other = arguments.required("other");
       if (value.kind() != other.kind()) return false;
       return value.object() != nullptr ? value.object() == other.object() || (value.is_string() && value.text() == other.text())
                                        : is_equal(value, other, interpreter);
     }())},
    {"filter", R1_TEST_FUNCTION(value.is_string() && find_filter(value.text()) >= 0)},
    {"test", R1_TEST_FUNCTION(value.is_string() && find_test(value.text()) >= 0)},
    {"eq", kEqualTest},
    {"equalto", kEqualTest},
    {"==", kEqualTest},
    {"ne", kNotEqualTest},
    {"!=", kNotEqualTest},
    {"lt", kLessTest},
    {"lessthan", kLessTest},
    {"<", kLessTest},
    {"le", kLessEqualTest},
    {"<=", kLessEqualTest},
    {"gt", kGreaterTest},
    {"greaterthan", kGreaterTest},
    {">", kGreaterTest},
    {"ge", kGreaterEqualTest},
    {">=", kGreaterEqualTest},
};
#undef R1_COMPARE_TEST
#undef R1_TEST_FUNCTION

}  // namespace

int find_test(std::string_view name) { return index_of(kTests, name); }
const std::vector<std::string>& test_names() {
  static const std::vector<std::string> names = names_of(kTests);
  return names;
}

bool apply_test(int test, TemplateInterpreter& interpreter, const TemplateValue& value, const TemplateArguments& arguments) {
  ArgumentReader reader(kTests[test].name, arguments);
  const bool holds = kTests[test].run(interpreter, value, reader);
  reader.finish();
  return holds;
}

}  // namespace r1::text

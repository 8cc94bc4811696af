// The parsed form of a chat template.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/template_value.h"

namespace r1::text {

enum class Operation : std::uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcat,
  kAnd,
  kOr,
  kNot,
  kNegate,
  kPlus,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expression;
using ExpressionPointer = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPointer> positional;
  std::vector<std::pair<std::string, ExpressionPointer>> named;
  ExpressionPointer star, double_star;  // *args, **kwargs
  bool empty() const { return positional.empty() && named.empty() && !star && !double_star; }
};

struct Expression {
  enum class Kind : std::uint8_t {
    kConstant,     // constant
    kName,         // name_id
    kList,         // parts
    kTuple,        // parts
    kDict,         // parts: key, value, key, value …
    kUnary,        // operation, parts[0]
    kBinary,       // operation, parts[0..1]; and, or evaluate the right side only when needed
    kCompare,      // parts[0] compares[0] parts[1] compares[1] …
    kConditional,  // parts: value, condition, else (perhaps null)
    kAttribute,    // parts[0].text
    kSubscript,    // parts[0][parts[1]]
    kSlice,        // parts[0][parts[1]:parts[2]:parts[3]], each perhaps null
    kCall,         // parts[0](arguments)
    kFilter,       // parts[0] (null: the body of a filter block) | text(arguments)
    kTest,         // parts[0] is text(arguments); negated
  };
  Kind kind = Kind::kConstant;
  Operation operation = Operation::kAdd;
  bool negated = false;
  int line = 0;
  int name_id = -1;      // of names
  int function_id = -1;  // of filters and tests; -1: unknown, an error when it is reached
  std::string text;
  TemplateValue constant;
  std::vector<ExpressionPointer> parts;
  std::vector<Operation> compares;
  CallArguments arguments;
};

/// What an assignment writes to: a name, a namespace's attribute, or several targets.
struct AssignTarget {
  int name_id = -1;
  std::string attribute;  // set: namespace attribute of name_id
  std::vector<AssignTarget> parts;
};

struct Statement;
using Statements = std::vector<Statement>;

struct MacroParameter {
  int name_id = -1;
  std::string name;
  ExpressionPointer default_value;
};

struct Statement {
  enum class Kind : std::uint8_t {
    kData,         // text
    kOutput,       // value
    kIf,           // branches: (condition or null, body)
    kFor,          // target in value if condition: body; otherwise; recursive
    kSet,          // target = value
    kSetBlock,     // target = body | filter in value (value perhaps null)
    kMacro,        // name_id(parameters): body
    kCallBlock,    // value is a call; parameters of caller(); body
    kFilterBlock,  // value is a filter with a null part; body
    kWith,         // targets = values; body
    kGeneration,   // body
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kData;
  bool recursive = false, uses_varargs = false, uses_kwargs = false, uses_caller = false;
  int line = 0;
  int name_id = -1;
  std::string text;  // data, or the macro's name
  ExpressionPointer value, condition;
  AssignTarget target;
  std::vector<std::pair<ExpressionPointer, Statements>> branches;
  std::vector<std::pair<AssignTarget, ExpressionPointer>> assignments;
  std::vector<MacroParameter> parameters;
  Statements body, otherwise;
};

struct ParsedTemplate {
  std::string name;                // for messages
  std::vector<std::string> names;  // name_id → spelling
  Statements body;
  bool has_generation = false;
};

}  // namespace r1::text

// Evaluation of the expressions of a template.
#include <algorithm>
#include <cmath>

#include "text/template_interpreter_impl.h"

namespace r1::text {

using Value = TemplateValue;
using Kind = TemplateValue::Kind;
using ExprKind = Expression::Kind;

TemplateArguments TemplateInterpreter::evaluate_arguments(const CallArguments& arguments) {
  TemplateArguments result;
  result.positional.reserve(arguments.positional.size());
  for (const auto& expression : arguments.positional) result.positional.push_back(evaluate(*expression));
  for (const auto& [name, expression] : arguments.named) result.named.emplace_back(name, evaluate(*expression));
  if (arguments.star)
    for (Value& item : iterate(evaluate(*arguments.star))) result.positional.push_back(std::move(item));
  if (arguments.double_star) {
    const Value value = evaluate(*arguments.double_star);
    if (!value.is(Kind::kDict)) raise_template_error(fmt::format("argument after ** must be a mapping, not {}", type_name(value)));
    for (const auto& [key, item] : value.entries()) {
      if (!key.is_string()) raise_template_error("keywords must be strings");
      result.named.emplace_back(key.text(), item);
    }
  }
  return result;
}

Value TemplateInterpreter::evaluate(const Expression& expression) {
  charge(1);
  const DepthGuard depth(*this);
  switch (expression.kind) {
    case ExprKind::kConstant:
      return expression.constant;
    case ExprKind::kName:
      return evaluate_name(expression);
    case ExprKind::kList:
    case ExprKind::kTuple: {
      Value::Items items;
      items.reserve(expression.parts.size());
      for (const auto& part : expression.parts) items.push_back(evaluate(*part));
      return Value::list(std::move(items), expression.kind == ExprKind::kList ? Kind::kList : Kind::kTuple);
    }
    case ExprKind::kDict: {
      Value::Entries entries;
      for (std::size_t i = 0; i < expression.parts.size(); i += 2) {
        Value key = evaluate(*expression.parts[i]);
        Value value = evaluate(*expression.parts[i + 1]);
        if (key.is(Kind::kList) || key.is(Kind::kDict)) raise_template_error(fmt::format("unhashable type: '{}'", type_name(key)));
        charge(entries.size() / 4);
        const auto known =
            std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return is_equal(entry.first, key, *this); });
        if (known != entries.end()) known->second = std::move(value);
        else entries.emplace_back(std::move(key), std::move(value));
      }
      return Value::dict(std::move(entries));
    }
    case ExprKind::kUnary: {
      const Value value = evaluate(*expression.parts[0]);
      if (expression.operation == Operation::kNot) return Value::boolean(!is_true(value));
      require_defined(value);
      if (!value.is_number()) raise_template_error(fmt::format("bad operand type for unary sign: '{}'", type_name(value)));
      if (value.is(Kind::kFloat)) return Value::number(expression.operation == Operation::kNegate ? -value.as_double() : value.as_double());
      if (expression.operation == Operation::kPlus) return Value::integer(value.as_integer());
      return evaluate_arithmetic(Operation::kSubtract, Value::integer(0), value);
    }
    case ExprKind::kBinary:
      return evaluate_binary(expression);
    case ExprKind::kCompare:
      return evaluate_compare(expression);
    case ExprKind::kConditional: {
      if (is_true(evaluate(*expression.parts[1]))) return evaluate(*expression.parts[0]);
      if (expression.parts[2]) return evaluate(*expression.parts[2]);
      return Value::undefined("the inline if-expression evaluated to false and no else section was defined");
    }
    case ExprKind::kAttribute:
      return get_attribute(evaluate(*expression.parts[0]), expression.text);
    case ExprKind::kSubscript: {
      const Value container = evaluate(*expression.parts[0]);
      return get_item(container, evaluate(*expression.parts[1]));
    }
    case ExprKind::kSlice:
      return evaluate_slice(expression);
    case ExprKind::kCall:
      return evaluate_call(expression);
    case ExprKind::kFilter:
      return evaluate_filter(expression, nullptr);
    case ExprKind::kTest: {
      const Value value = evaluate(*expression.parts[0]);
      if (expression.function_id < 0) raise_template_error(fmt::format("No test named '{}'.", expression.text));
      const TemplateArguments arguments = evaluate_arguments(expression.arguments);
      return Value::boolean(apply_test(expression.function_id, *this, value, arguments) != expression.negated);
    }
  }
  return {};
}

Value TemplateInterpreter::evaluate_name(const Expression& expression) {
  if (const Value* value = find_variable(expression.name_id)) return *value;
  Value function = global_function(expression.text);
  if (!function.is(Kind::kUndefined)) return function;
  return Value::undefined(fmt::format("'{}' is undefined", expression.text));
}

Value TemplateInterpreter::evaluate_filter(const Expression& expression, const Value* inner) {
  // A chain of filters ends in the text of a filter block where its first part is missing.
  const Value value = expression.parts[0] ? (expression.parts[0]->kind == ExprKind::kFilter ? evaluate_filter(*expression.parts[0], inner)
                                                                                            : evaluate(*expression.parts[0]))
                      : inner != nullptr  ? *inner
                                          : Value();
  if (expression.function_id < 0) raise_template_error(fmt::format("No filter named '{}'.", expression.text));
  const TemplateArguments arguments = evaluate_arguments(expression.arguments);
  return apply_filter(expression.function_id, *this, value, arguments);
}

Value TemplateInterpreter::evaluate_call(const Expression& expression) {
  const Expression& callee = *expression.parts[0];
  const Value function = evaluate(callee);
  TemplateArguments arguments = evaluate_arguments(expression.arguments);
  line_ = expression.line;
  return call(function, arguments);
}

Value TemplateInterpreter::call(const Value& callable, TemplateArguments& arguments) {
  require_defined(callable);
  charge(1);
  if (!callable.is(Kind::kCallable) && !callable.is(Kind::kLoop))
    raise_template_error(fmt::format("'{}' object is not callable", type_name(callable)));
  const std::shared_ptr<TemplateObject> keep_alive = callable.shared_object();
  return static_cast<TemplateCallable&>(*keep_alive).call(*this, arguments);
}

Value TemplateInterpreter::evaluate_compare(const Expression& expression) {
  Value left = evaluate(*expression.parts[0]);
  for (std::size_t i = 0; i < expression.compares.size(); ++i) {
    Value right = evaluate(*expression.parts[i + 1]);
    if (!holds(expression.compares[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

bool TemplateInterpreter::holds(Operation operation, const Value& left, const Value& right) {
  switch (operation) {
    case Operation::kEqual:
      return is_equal(left, right, *this);
    case Operation::kNotEqual:
      return !is_equal(left, right, *this);
    case Operation::kIn:
      return contains(right, left);
    case Operation::kNotIn:
      return !contains(right, left);
    case Operation::kLess:
      return compare(left, right, *this) == -1;
    case Operation::kGreater:
      return compare(left, right, *this) == 1;
    case Operation::kLessEqual:
      return compare(left, right, *this) <= 0;
    default: {
      const int order = compare(left, right, *this);
      return order == 0 || order == 1;
    }
  }
}

Value TemplateInterpreter::evaluate_slice(const Expression& expression) {
  const Value value = evaluate(*expression.parts[0]);
  std::optional<std::int64_t> bounds[3];
  for (std::size_t i = 0; i < 3; ++i) {
    if (!expression.parts[i + 1]) continue;
    const Value bound = evaluate(*expression.parts[i + 1]);
    if (bound.is(Kind::kNone)) continue;
    if (!bound.is_integral()) raise_template_error("slice indices must be integers or None");
    bounds[i] = bound.as_integer();
  }
  require_defined(value);
  if (!value.is_string() && !value.is(Kind::kList) && !value.is(Kind::kTuple)) {
    // Jinja looks the slice up like any other subscript.
    return Value::undefined(fmt::format("{} object cannot be sliced", type_name(value)));
  }
  const std::int64_t length = length_of(value), step = bounds[2].value_or(1);
  if (step == 0) raise_template_error("slice step cannot be zero");
  const auto clamp = [&](std::optional<std::int64_t> bound, std::int64_t absent) {
    if (!bound) return absent;
    std::int64_t index = *bound < 0 ? *bound + length : *bound;
    const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? length : length - 1;
    return std::clamp(index, lowest, std::max(lowest, highest));
  };
  const std::int64_t begin = clamp(bounds[0], step > 0 ? 0 : length - 1), end = clamp(bounds[1], step > 0 ? length : -1);
  if (value.is_string()) {
    const std::string& text = value.text();
    charge(1 + text.size() / 64);
    if (step == 1) {
      if (begin >= end) return Value::string("");
      const std::size_t from = byte_offset(text, begin);
      return make_string(text.substr(from, byte_offset(text, end) - from));
    }
    charge(text.size() / 4);
    const Value::Items characters = iterate(value);
    std::string result;
    for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
      result += characters[static_cast<std::size_t>(i)].text();
      if (step > 0 ? step >= end - i : step <= end - i) break;
      i += step;
    }
    return make_string(std::move(result));
  }
  Value::Items items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    items.push_back(value.items()[static_cast<std::size_t>(i)]);
    if (step > 0 ? step >= end - i : step <= end - i) break;
    i += step;
  }
  charge(1 + items.size() / 8);
  return Value::list(std::move(items), value.kind());
}

Value TemplateInterpreter::evaluate_binary(const Expression& expression) {
  if (expression.operation == Operation::kAnd) {
    Value left = evaluate(*expression.parts[0]);
    return is_true(left) ? evaluate(*expression.parts[1]) : left;
  }
  if (expression.operation == Operation::kOr) {
    Value left = evaluate(*expression.parts[0]);
    return is_true(left) ? left : evaluate(*expression.parts[1]);
  }
  const Value left = evaluate(*expression.parts[0]);
  const Value right = evaluate(*expression.parts[1]);
  if (expression.operation == Operation::kConcat) return make_string(text_of(left) + text_of(right));
  return evaluate_arithmetic(expression.operation, left, right);
}

Value TemplateInterpreter::evaluate_arithmetic(Operation operation, const Value& left, const Value& right) {
  require_defined(left);
  require_defined(right);
  constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};
  const auto unsupported = [&]() {
    if (operation == Operation::kAdd && (left.is_string() || left.is(Kind::kList)))
      raise_template_error(fmt::format("can only concatenate {0} (not \"{1}\") to {0}", type_name(left), type_name(right)));
    raise_template_error(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", kSigns[static_cast<int>(operation)],
                                     type_name(left), type_name(right)));
  };
  if (operation == Operation::kAdd) {
    if (left.is_string() && right.is_string()) {
      charge((left.text().size() + right.text().size()) / 64);
      return Value::string(left.text() + right.text());
    }
    if (left.kind() == right.kind() && (left.is(Kind::kList) || left.is(Kind::kTuple))) {
      charge(1 + (left.items().size() + right.items().size()) / 8);
      Value::Items items = left.items();
      items.insert(items.end(), right.items().begin(), right.items().end());
      return Value::list(std::move(items), left.kind());
    }
  }
  if (operation == Operation::kModulo && left.is_string()) return make_string(percent_format(left.text(), right, *this));
  if (operation == Operation::kMultiply) {
    const Value& repeated = left.is_integral() ? right : left;
    const Value& count_value = left.is_integral() ? left : right;
    if (count_value.is_integral() && (repeated.is_string() || repeated.is(Kind::kList) || repeated.is(Kind::kTuple))) {
      const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, count_value.as_integer()));
      const std::size_t size = repeated.is_string() ? repeated.text().size() : repeated.items().size() * 64;
      if (size > 0) charge(count > limits_.max_steps ? limits_.max_steps + 1 : count * size / 64);
      if (repeated.is_string()) {
        std::string text;
        if (size > 0)
          for (std::size_t i = 0; i < count; ++i) text += repeated.text();
        return make_string(std::move(text));
      }
      Value::Items items;
      if (size > 0)
        for (std::size_t i = 0; i < count; ++i) items.insert(items.end(), repeated.items().begin(), repeated.items().end());
      return Value::list(std::move(items), repeated.kind());
    }
  }
  if (!left.is_number() || !right.is_number()) unsupported();
  const bool real = left.is(Kind::kFloat) || right.is(Kind::kFloat);
  const double x = left.as_double(), y = right.as_double();
  const std::int64_t a = real ? 0 : left.as_integer(), b = real ? 0 : right.as_integer();
  const auto checked = [](bool overflow, const std::int64_t& result) {  // by reference: set while the arguments are evaluated
    if (overflow) raise_template_error("an integer result does not fit 64 bits");
    return Value::integer(result);
  };
  std::int64_t result = 0;
  switch (operation) {
    case Operation::kAdd:
      return real ? Value::number(x + y) : checked(__builtin_add_overflow(a, b, &result), result);
    case Operation::kSubtract:
      return real ? Value::number(x - y) : checked(__builtin_sub_overflow(a, b, &result), result);
    case Operation::kMultiply:
      return real ? Value::number(x * y) : checked(__builtin_mul_overflow(a, b, &result), result);
    case Operation::kDivide:
      if (y == 0) raise_template_error("division by zero");
      return Value::number(x / y);
    case Operation::kFloorDivide:
    case Operation::kModulo: {
      if (y == 0) raise_template_error("integer division or modulo by zero");
      if (real) {
        double remainder = std::fmod(x, y);
        if (remainder != 0 && (remainder < 0) != (y < 0)) remainder += y;
        return Value::number(operation == Operation::kModulo ? remainder : std::floor((x - remainder) / y + 0.5));
      }
      if (b == -1)
        return operation == Operation::kModulo ? Value::integer(0) : checked(__builtin_sub_overflow(std::int64_t{0}, a, &result), result);
      std::int64_t quotient = a / b, remainder = a % b;
      if (remainder != 0 && (remainder < 0) != (b < 0)) {
        --quotient;
        remainder += b;
      }
      return Value::integer(operation == Operation::kModulo ? remainder : quotient);
    }
    case Operation::kPower: {
      if (real || b < 0) {
        if (x == 0 && y < 0) raise_template_error("zero cannot be raised to a negative power");
        if (x < 0 && y != std::floor(y)) raise_template_error("a negative number to a fractional power");
        return Value::number(std::pow(x, y));
      }
      std::int64_t power = 1;
      for (std::int64_t i = 0; i < b; ++i) {
        if (a == 0 || a == 1 || a == -1) {
          power = a == -1 ? (b % 2 == 0 ? 1 : -1) : b == 0 ? 1 : a;
          break;
        }
        if (__builtin_mul_overflow(power, a, &power)) raise_template_error("an integer result does not fit 64 bits");
      }
      return Value::integer(power);
    }
    default:
      unsupported();
  }
  return {};
}

}  // namespace r1::text

#include "text/template_interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/strings.h"
#include "text/unicode.h"

namespace r1::text {
namespace {

using Value = TemplateValue;
using Kind = TemplateValue::Kind;
using ExprKind = Expression::Kind;
using StatementKind = Statement::Kind;

constexpr int kMaxCallDepth = 1000;    // nested evaluations: bounds the stack
constexpr int kMaxStatementCost = 12;  // a statement's frame is larger than an expression's

[[noreturn]] void raise(const std::string& message) { fail(ErrorKind::kData, "{}", message); }

void require_defined(const Value& value) {
  if (value.is(Kind::kUndefined)) raise(value.undefined_message());
}

}  // namespace

struct TemplateInterpreter::Macro : TemplateCallable {
  const Statement* statement = nullptr;
  int scope = 0;  // where it was defined
  std::string name;
  TemplateValue call(TemplateInterpreter& interpreter, TemplateArguments& arguments) override {
    return interpreter.call_macro(*this, arguments);
  }
};

struct TemplateInterpreter::Loop : TemplateCallable {
  const Statement* statement = nullptr;
  const Value::Items* items = nullptr;  // valid while the loop runs; null afterwards
  std::size_t index = 0;
  int depth0 = 0;
  Value last_changed;
  bool has_changed = false;
  TemplateValue call(TemplateInterpreter& interpreter, TemplateArguments& arguments) override {
    return interpreter.call_loop(*this, arguments);
  }
};

namespace {

/// loop.cycle and loop.changed.
struct LoopMethod : TemplateCallable {
  std::shared_ptr<TemplateObject> loop;
  bool is_cycle = false;
  TemplateValue call(TemplateInterpreter& interpreter, TemplateArguments& arguments) override {
    auto& state = static_cast<TemplateInterpreter::Loop&>(*loop);
    if (is_cycle) {
      if (arguments.positional.empty()) raise("loop.cycle() needs at least one item");
      return arguments.positional[state.index % arguments.positional.size()];
    }
    Value current = Value::list(arguments.positional, Kind::kTuple);
    const bool changed = !state.has_changed || !is_equal(current, state.last_changed, interpreter);
    state.has_changed = true;
    state.last_changed = std::move(current);
    return Value::boolean(changed);
  }
};

}  // namespace

/// A scope for as long as it lives; parent -1 means the current one.
class TemplateInterpreter::ScopeGuard {
 public:
  explicit ScopeGuard(TemplateInterpreter& interpreter, int parent = -1) : interpreter_(interpreter), outer_(interpreter.scope_) {
    auto scope = std::make_unique<Scope>();
    scope->parent = parent < 0 || parent >= static_cast<int>(interpreter.scopes_.size()) ? outer_ : parent;
    interpreter.scopes_.push_back(std::move(scope));
    interpreter.scope_ = static_cast<int>(interpreter.scopes_.size()) - 1;
  }
  ~ScopeGuard() {
    interpreter_.scopes_.pop_back();
    interpreter_.scope_ = outer_;
  }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

 private:
  TemplateInterpreter& interpreter_;
  int outer_;
};

class TemplateInterpreter::CaptureGuard {
 public:
  CaptureGuard(TemplateInterpreter& interpreter, std::string& target) : interpreter_(interpreter), outer_(interpreter.output_) {
    interpreter.output_ = &target;
  }
  ~CaptureGuard() { interpreter_.output_ = outer_; }
  CaptureGuard(const CaptureGuard&) = delete;
  CaptureGuard& operator=(const CaptureGuard&) = delete;

 private:
  TemplateInterpreter& interpreter_;
  std::string* outer_;
};

class TemplateInterpreter::DepthGuard {
 public:
  explicit DepthGuard(TemplateInterpreter& interpreter, int cost = 1) : interpreter_(interpreter), cost_(cost) {
    if ((interpreter.depth_ += cost) <= kMaxCallDepth) return;
    interpreter.depth_ -= cost;
    raise("calls or expressions nested too deep");
  }
  ~DepthGuard() { interpreter_.depth_ -= cost_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  TemplateInterpreter& interpreter_;
  int cost_;
};

TemplateInterpreter::TemplateInterpreter(const ParsedTemplate& parsed, const RenderLimits& limits, const std::tm& now)
    : parsed_(parsed), limits_(limits), now_(now) {
  scopes_.push_back(std::make_unique<Scope>());
  loop_name_ = name_id_of("loop");
  caller_name_ = name_id_of("caller");
  varargs_name_ = name_id_of("varargs");
  kwargs_name_ = name_id_of("kwargs");
}

TemplateInterpreter::~TemplateInterpreter() {
  for (const auto& object : namespaces_) {
    auto entries = std::move(object->entries);
    object->entries.clear();
  }
}

int TemplateInterpreter::name_id_of(std::string_view name) {
  for (std::size_t i = 0; i < parsed_.names.size(); ++i)
    if (parsed_.names[i] == name) return static_cast<int>(i);
  return -1;
}

void TemplateInterpreter::set_variable(std::string_view name, Value value) {
  const int id = name_id_of(name);
  if (id >= 0) set_in_scope(id, std::move(value));
}

void TemplateInterpreter::charge(std::size_t steps) {
  steps_ += steps;
  if (steps_ > limits_.max_steps)
    raise(fmt::format("the template needs more than {} steps for these messages; is it an endless loop?", limits_.max_steps));
}

std::string TemplateInterpreter::run(std::vector<Span>& generation_spans) {
  spans_ = &generation_spans;
  try {
    run_statements(parsed_.body);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInternal) throw;
    throw Error(error.kind(), fmt::format("{}:{}: {}", parsed_.name, line_, error.what()));
  }
  return std::move(root_output_);
}

void TemplateInterpreter::write(std::string_view text) {
  charge(1 + text.size() / 64);
  if (output_->size() + text.size() > limits_.max_output_bytes)
    raise(fmt::format("the template writes more than {} bytes", limits_.max_output_bytes));
  output_->append(text);
}

Value TemplateInterpreter::make_string(std::string text) {
  charge(1 + text.size() / 64);
  return Value::string(std::move(text));
}

Value TemplateInterpreter::make_namespace(std::vector<std::pair<std::string, Value>> entries) {
  auto object = std::make_shared<TemplateNamespace>();
  object->entries = std::move(entries);
  namespaces_.push_back(object);
  return Value::object(Kind::kNamespace, std::move(object));
}

// ---- variables ----

const Value* TemplateInterpreter::find_variable(int name_id) const {
  for (int scope = scope_; scope >= 0; scope = scopes_[static_cast<std::size_t>(scope)]->parent)
    for (const auto& [id, value] : scopes_[static_cast<std::size_t>(scope)]->variables)
      if (id == name_id) return &value;
  return nullptr;
}

void TemplateInterpreter::set_in_scope(int name_id, Value value) {
  auto& variables = scopes_[static_cast<std::size_t>(scope_)]->variables;
  for (auto& [id, old] : variables)
    if (id == name_id) {
      old = std::move(value);
      return;
    }
  variables.emplace_back(name_id, std::move(value));
}

void TemplateInterpreter::assign(const AssignTarget& target, const Value& value) {
  if (!target.parts.empty()) {
    const Value::Items items = iterate(value);
    if (items.size() != target.parts.size()) raise(fmt::format("cannot unpack {} values into {} names", items.size(), target.parts.size()));
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    return;
  }
  if (target.attribute.empty()) {
    set_in_scope(target.name_id, value);
    return;
  }
  const Value* object = find_variable(target.name_id);
  if (object == nullptr || !object->is(Kind::kNamespace)) raise("cannot assign attribute on non-namespace object");
  auto& entries = static_cast<TemplateNamespace&>(*object->object()).entries;
  if (target.attribute.starts_with('_')) raise(fmt::format("a namespace has no attribute '{}' that could be set", target.attribute));
  for (auto& [name, old] : entries)
    if (name == target.attribute) {
      old = value;
      return;
    }
  charge(1 + entries.size() / 8);
  entries.emplace_back(target.attribute, value);
}

// ---- statements ----

TemplateInterpreter::Flow TemplateInterpreter::run_statements(const Statements& statements) {
  for (const Statement& statement : statements) {
    const Flow flow = run_statement(statement);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

std::string TemplateInterpreter::capture(const Statements& statements) {
  std::string text;
  const CaptureGuard guard(*this, text);
  run_statements(statements);
  return text;
}

TemplateInterpreter::Flow TemplateInterpreter::run_statement(const Statement& statement) {
  line_ = statement.line;
  charge(1);
  switch (statement.kind) {
    case StatementKind::kData:
      write(statement.text);
      return Flow::kNormal;
    case StatementKind::kOutput: {
      const Value value = evaluate(*statement.value);
      if (value.is_string()) write(value.text());
      else write(text_of(value));
      return Flow::kNormal;
    }
    case StatementKind::kIf: {
      const DepthGuard depth(*this, kMaxStatementCost);
      for (const auto& [condition, body] : statement.branches)
        if (!condition || is_true(evaluate(*condition))) return run_statements(body);
      return Flow::kNormal;
    }
    case StatementKind::kFor:
      return run_for(statement, evaluate(*statement.value), 0);
    case StatementKind::kSet:
      assign(statement.target, evaluate(*statement.value));
      return Flow::kNormal;
    case StatementKind::kSetBlock:
      run_set_block(statement);
      return Flow::kNormal;
    case StatementKind::kMacro: {
      auto macro = std::make_shared<Macro>();
      macro->statement = &statement;
      macro->scope = scope_;
      macro->name = statement.text;
      set_in_scope(statement.name_id, Value::object(Kind::kCallable, std::move(macro)));
      return Flow::kNormal;
    }
    case StatementKind::kCallBlock:
      run_call_block(statement);
      return Flow::kNormal;
    case StatementKind::kFilterBlock: {
      const DepthGuard depth(*this, kMaxStatementCost);
      const ScopeGuard scope(*this);
      const Value text = make_string(capture(statement.body));
      write(text_of(evaluate_filter(*statement.value, &text)));
      return Flow::kNormal;
    }
    case StatementKind::kWith: {
      const DepthGuard depth(*this, kMaxStatementCost);
      Value::Items values;  // all of them are evaluated outside of the new scope
      for (const auto& [target, expression] : statement.assignments) values.push_back(evaluate(*expression));
      const ScopeGuard scope(*this);
      for (std::size_t i = 0; i < values.size(); ++i) assign(statement.assignments[i].first, values[i]);
      return run_statements(statement.body);
    }
    case StatementKind::kGeneration: {
      const DepthGuard depth(*this, kMaxStatementCost);
      const ScopeGuard scope(*this);
      const std::string text = capture(statement.body);
      // Positions count from the beginning of the output, also where a macro or a set block captures: as in the reference.
      spans_->emplace_back(root_output_.size(), root_output_.size() + text.size());
      write(text);
      return Flow::kNormal;
    }
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

TemplateInterpreter::Flow TemplateInterpreter::run_for(const Statement& statement, const Value& iterable, int depth) {
  const DepthGuard guard(*this, kMaxStatementCost);
  Value::Items items = iterate(iterable);
  if (statement.condition) {
    Value::Items kept;
    for (const Value& item : items) {
      const ScopeGuard scope(*this);
      assign(statement.target, item);
      if (is_true(evaluate(*statement.condition))) kept.push_back(item);
    }
    items = std::move(kept);
  }
  if (items.empty()) return run_statements(statement.otherwise);
  auto loop = std::make_shared<Loop>();
  struct LoopEnd {  // a loop object that outlives its loop must not look at the items
    Loop& loop;
    ~LoopEnd() {
      loop.items = nullptr;
      loop.last_changed = Value();  // which may hold the loop itself
    }
  } const loop_end{*loop};
  loop->statement = &statement;
  loop->items = &items;
  loop->depth0 = depth;
  const ScopeGuard scope(*this);
  for (std::size_t i = 0; i < items.size(); ++i) {
    charge(1);
    loop->index = i;
    scopes_[static_cast<std::size_t>(scope_)]->variables.clear();
    if (loop_name_ >= 0) set_in_scope(loop_name_, Value::object(Kind::kLoop, loop));
    assign(statement.target, items[i]);
    const Flow flow = run_statements(statement.body);
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNormal;
}

void TemplateInterpreter::run_set_block(const Statement& statement) {
  const DepthGuard depth(*this, kMaxStatementCost);
  Value text;
  {
    const ScopeGuard scope(*this);
    text = make_string(capture(statement.body));
  }
  assign(statement.target, statement.value ? evaluate_filter(*statement.value, &text) : text);
}

void TemplateInterpreter::run_call_block(const Statement& statement) {
  const DepthGuard depth(*this, kMaxStatementCost);
  auto caller = std::make_shared<Macro>();
  caller->statement = &statement;
  caller->scope = scope_;
  caller->name = "caller";
  const Value function = evaluate(*statement.value->parts[0]);
  TemplateArguments arguments = evaluate_arguments(statement.value->arguments);
  arguments.named.emplace_back("caller", Value::object(Kind::kCallable, std::move(caller)));
  write(text_of(call(function, arguments)));
}

Value TemplateInterpreter::call_loop(const Loop& loop, TemplateArguments& arguments) {
  if (!loop.statement->recursive) raise("the loop must have the 'recursive' marker to be called");
  if (arguments.positional.size() != 1 || !arguments.named.empty()) raise("loop() takes one argument");
  std::string text;
  const CaptureGuard capture_guard(*this, text);
  run_for(*loop.statement, arguments.positional[0], loop.depth0 + 1);
  return make_string(std::move(text));
}

Value TemplateInterpreter::call_macro(const Macro& macro, TemplateArguments& arguments) {
  const DepthGuard depth(*this, 3 * kMaxStatementCost);
  const Statement& statement = *macro.statement;
  const ScopeGuard scope(*this, macro.scope);
  std::vector<bool> used(arguments.named.size(), false);
  const auto take_named = [&](std::string_view name) -> Value* {
    for (std::size_t i = 0; i < arguments.named.size(); ++i)
      if (!used[i] && arguments.named[i].first == name) {
        used[i] = true;
        return &arguments.named[i].second;
      }
    return nullptr;
  };
  const auto& parameters = statement.parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (i < arguments.positional.size()) {
      set_in_scope(parameters[i].name_id, arguments.positional[i]);
    } else if (Value* value = take_named(parameters[i].name)) {
      set_in_scope(parameters[i].name_id, *value);
    } else if (parameters[i].default_value) {
      set_in_scope(parameters[i].name_id, evaluate(*parameters[i].default_value));
    } else {
      set_in_scope(parameters[i].name_id, Value::undefined(fmt::format("parameter '{}' was not provided", parameters[i].name)));
    }
  }
  if (arguments.positional.size() > parameters.size() && !statement.uses_varargs)
    raise(fmt::format("macro '{}' takes not more than {} argument(s)", macro.name, parameters.size()));
  if (statement.uses_varargs) {
    Value::Items rest;
    for (std::size_t i = parameters.size(); i < arguments.positional.size(); ++i) rest.push_back(arguments.positional[i]);
    set_in_scope(varargs_name_, Value::list(std::move(rest), Kind::kTuple));
  }
  if (statement.uses_caller) {
    Value* caller = take_named("caller");
    set_in_scope(caller_name_, caller != nullptr ? *caller : Value::undefined("No caller defined"));
  }
  Value::Entries others;
  for (std::size_t i = 0; i < arguments.named.size(); ++i) {
    if (used[i]) continue;
    if (!statement.uses_kwargs) raise(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name, arguments.named[i].first));
    others.emplace_back(Value::string(arguments.named[i].first), arguments.named[i].second);
  }
  if (statement.uses_kwargs) set_in_scope(kwargs_name_, Value::dict(std::move(others)));
  return make_string(capture(statement.body));
}

// ---- expressions ----

TemplateArguments TemplateInterpreter::evaluate_arguments(const CallArguments& arguments) {
  TemplateArguments result;
  result.positional.reserve(arguments.positional.size());
  for (const auto& expression : arguments.positional) result.positional.push_back(evaluate(*expression));
  for (const auto& [name, expression] : arguments.named) result.named.emplace_back(name, evaluate(*expression));
  if (arguments.star)
    for (Value& item : iterate(evaluate(*arguments.star))) result.positional.push_back(std::move(item));
  if (arguments.double_star) {
    const Value value = evaluate(*arguments.double_star);
    if (!value.is(Kind::kDict)) raise(fmt::format("argument after ** must be a mapping, not {}", type_name(value)));
    for (const auto& [key, item] : value.entries()) {
      if (!key.is_string()) raise("keywords must be strings");
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
        if (key.is(Kind::kList) || key.is(Kind::kDict)) raise(fmt::format("unhashable type: '{}'", type_name(key)));
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
      if (!value.is_number()) raise(fmt::format("bad operand type for unary sign: '{}'", type_name(value)));
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
      if (expression.function_id < 0) raise(fmt::format("No test named '{}'.", expression.text));
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
  if (expression.function_id < 0) raise(fmt::format("No filter named '{}'.", expression.text));
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
  if (!callable.is(Kind::kCallable) && !callable.is(Kind::kLoop)) raise(fmt::format("'{}' object is not callable", type_name(callable)));
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

bool TemplateInterpreter::contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString:
      if (!item.is_string()) raise(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      charge(1 + container.text().size() / 64);
      return container.text().find(item.text()) != std::string::npos;
    case Kind::kDict:
      if (item.is(Kind::kList) || item.is(Kind::kDict)) raise(fmt::format("unhashable type: '{}'", type_name(item)));
      charge(1 + container.entries().size() / 8);
      return container.find(item) != nullptr;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kGenerator: {
      const Value::Items items = iterate(container);
      return std::any_of(items.begin(), items.end(), [&](const Value& other) { return is_equal(other, item, *this); });
    }
    default:
      raise(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
}

std::int64_t TemplateInterpreter::length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return value.string_length();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return static_cast<std::int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<std::int64_t>(value.entries().size());
    case Kind::kLoop:
      return get_attribute(value, "length").as_integer();
    default:
      raise(fmt::format("object of type '{}' has no len()", type_name(value)));
  }
}

Value::Items TemplateInterpreter::iterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return {};
    case Kind::kString: {
      charge(1 + value.text().size() / 4);
      Value::Items items;
      for (std::size_t position = 0; position < value.text().size();) {
        const std::uint32_t length = decode_char(value.text().data() + position).length;
        items.push_back(Value::string(value.text().substr(position, length)));
        position += length;
      }
      return items;
    }
    case Kind::kDict: {
      Value::Items items;
      for (const auto& [key, unused] : value.entries()) items.push_back(key);
      charge(1 + items.size() / 8);
      return items;
    }
    case Kind::kGenerator: {
      const auto& list = static_cast<const TemplateList&>(*value.object());
      if (std::exchange(list.consumed, true)) return {};
      [[fallthrough]];
    }
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      charge(1 + value.items().size() / 8);
      return value.items();
    default:
      raise(fmt::format("'{}' object is not iterable", type_name(value)));
  }
}

Value TemplateInterpreter::get_attribute(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::kUndefined:
      raise(value.undefined_message());
    case Kind::kNamespace:
      for (const auto& [key, item] : static_cast<const TemplateNamespace&>(*value.object()).entries)
        if (key == name) return item;
      break;
    case Kind::kLoop: {
      const auto& loop = static_cast<const Loop&>(*value.object());
      if (name == "cycle" || name == "changed") {
        auto method = std::make_shared<LoopMethod>();
        method->loop = value.shared_object();
        method->is_cycle = name == "cycle";
        return Value::object(Kind::kCallable, std::move(method));
      }
      if (loop.items == nullptr) raise("a loop variable was used after its loop");
      const auto index = static_cast<std::int64_t>(loop.index);
      const auto length = static_cast<std::int64_t>(loop.items->size());
      if (name == "index0") return Value::integer(index);
      if (name == "index") return Value::integer(index + 1);
      if (name == "first") return Value::boolean(index == 0);
      if (name == "last") return Value::boolean(index + 1 == length);
      if (name == "length") return Value::integer(length);
      if (name == "revindex") return Value::integer(length - index);
      if (name == "revindex0") return Value::integer(length - index - 1);
      if (name == "depth") return Value::integer(loop.depth0 + 1);
      if (name == "depth0") return Value::integer(loop.depth0);
      if (name == "previtem") return index == 0 ? Value::undefined("there is no previous item") : (*loop.items)[loop.index - 1];
      if (name == "nextitem") return index + 1 == length ? Value::undefined("there is no next item") : (*loop.items)[loop.index + 1];
      break;
    }
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict: {
      Value method = bound_method(value, name);
      if (!method.is(Kind::kUndefined)) return method;
      if (!value.is(Kind::kDict)) break;
      charge(1 + value.entries().size() / 8);
      if (const Value* item = value.find(name)) return *item;
      break;
    }
    default:
      break;
  }
  if (name.starts_with("__")) raise(fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(value)));
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(value), name));
}

Value TemplateInterpreter::get_item(const Value& value, const Value& key) {
  switch (value.kind()) {
    case Kind::kUndefined:
      raise(value.undefined_message());
    case Kind::kDict:
      charge(1 + value.entries().size() / 8);
      if (const Value* item = value.find(key)) return *item;
      break;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kString: {
      if (!key.is_integral()) break;
      const std::int64_t length = length_of(value);
      std::int64_t index = key.as_integer();
      if (index < 0) index += length;
      if (index < 0 || index >= length)
        return Value::undefined(fmt::format("{} object has no element {}", type_name(value), key.as_integer()));
      if (!value.is_string()) return value.items()[static_cast<std::size_t>(index)];
      charge(1 + value.text().size() / 64);
      const std::size_t begin = byte_offset(value.text(), index);
      return Value::string(value.text().substr(begin, decode_char(value.text().data() + begin).length));
    }
    default:
      break;
  }
  if (key.is_string()) {
    if (!value.is(Kind::kDict)) return get_attribute(value, key.text());
    Value method = bound_method(value, key.text());
    if (!method.is(Kind::kUndefined)) return method;
    return Value::undefined(fmt::format("'dict object' has no attribute '{}'", key.text()));
  }
  return Value::undefined(fmt::format("{} object has no such element", type_name(value)));
}

Value TemplateInterpreter::evaluate_slice(const Expression& expression) {
  const Value value = evaluate(*expression.parts[0]);
  std::optional<std::int64_t> bounds[3];
  for (std::size_t i = 0; i < 3; ++i) {
    if (!expression.parts[i + 1]) continue;
    const Value bound = evaluate(*expression.parts[i + 1]);
    if (bound.is(Kind::kNone)) continue;
    if (!bound.is_integral()) raise("slice indices must be integers or None");
    bounds[i] = bound.as_integer();
  }
  require_defined(value);
  if (!value.is_string() && !value.is(Kind::kList) && !value.is(Kind::kTuple)) {
    // Jinja looks the slice up like any other subscript.
    return Value::undefined(fmt::format("{} object cannot be sliced", type_name(value)));
  }
  const std::int64_t length = length_of(value), step = bounds[2].value_or(1);
  if (step == 0) raise("slice step cannot be zero");
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
      raise(fmt::format("can only concatenate {0} (not \"{1}\") to {0}", type_name(left), type_name(right)));
    raise(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", kSigns[static_cast<int>(operation)], type_name(left),
                      type_name(right)));
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
    if (overflow) raise("an integer result does not fit 64 bits");
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
      if (y == 0) raise("division by zero");
      return Value::number(x / y);
    case Operation::kFloorDivide:
    case Operation::kModulo: {
      if (y == 0) raise("integer division or modulo by zero");
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
        if (x == 0 && y < 0) raise("zero cannot be raised to a negative power");
        if (x < 0 && y != std::floor(y)) raise("a negative number to a fractional power");
        return Value::number(std::pow(x, y));
      }
      std::int64_t power = 1;
      for (std::int64_t i = 0; i < b; ++i) {
        if (a == 0 || a == 1 || a == -1) {
          power = a == -1 ? (b % 2 == 0 ? 1 : -1) : b == 0 ? 1 : a;
          break;
        }
        if (__builtin_mul_overflow(power, a, &power)) raise("an integer result does not fit 64 bits");
      }
      return Value::integer(power);
    }
    default:
      unsupported();
  }
  return {};
}

}  // namespace r1::text

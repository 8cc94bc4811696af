#include "text/template_interpreter.h"

#include <algorithm>

#include "text/template_interpreter_impl.h"

namespace r1::text {

using Value = TemplateValue;
using Kind = TemplateValue::Kind;
using StatementKind = Statement::Kind;

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
    raise_template_error(
        fmt::format("the template needs more than {} steps for these messages; is it an endless loop?", limits_.max_steps));
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
    raise_template_error(fmt::format("the template writes more than {} bytes", limits_.max_output_bytes));
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
    if (items.size() != target.parts.size())
      raise_template_error(fmt::format("cannot unpack {} values into {} names", items.size(), target.parts.size()));
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    return;
  }
  if (target.attribute.empty()) {
    set_in_scope(target.name_id, value);
    return;
  }
  const Value* object = find_variable(target.name_id);
  if (object == nullptr || !object->is(Kind::kNamespace)) raise_template_error("cannot assign attribute on non-namespace object");
  auto& entries = static_cast<TemplateNamespace&>(*object->object()).entries;
  if (target.attribute.starts_with('_'))
    raise_template_error(fmt::format("a namespace has no attribute '{}' that could be set", target.attribute));
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
  if (!loop.statement->recursive) raise_template_error("the loop must have the 'recursive' marker to be called");
  if (arguments.positional.size() != 1 || !arguments.named.empty()) raise_template_error("loop() takes one argument");
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
    raise_template_error(fmt::format("macro '{}' takes not more than {} argument(s)", macro.name, parameters.size()));
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
    if (!statement.uses_kwargs)
      raise_template_error(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name, arguments.named[i].first));
    others.emplace_back(Value::string(arguments.named[i].first), arguments.named[i].second);
  }
  if (statement.uses_kwargs) set_in_scope(kwargs_name_, Value::dict(std::move(others)));
  return make_string(capture(statement.body));
}

}  // namespace r1::text

// Runs a parsed template.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template_ast.h"
#include "text/template_functions.h"
#include "text/template_value.h"

namespace r1::text {

/// Bounds on what one rendering may do.
struct RenderLimits {
  std::size_t max_steps = 400'000;  // evaluations and pieces of 64 bytes that are copied
  std::size_t max_output_bytes = 256u << 20;
};

/// One rendering of one template. Not reused, one thread.
class TemplateInterpreter : public TemplateBudget {
 public:
  using Value = TemplateValue;
  using Span = std::pair<std::size_t, std::size_t>;

  /// now: what strftime_now sees.
  TemplateInterpreter(const ParsedTemplate& parsed, const RenderLimits& limits, const std::tm& now);
  ~TemplateInterpreter() override;

  /// Sets a variable of the template's context before run().
  void set_variable(std::string_view name, Value value);

  /// Renders. generation_spans: byte ranges of the output made by generation blocks.
  /// Throws Error(kData) with "name:line: reason" where the template raises.
  std::string run(std::vector<Span>& generation_spans);

  void charge(std::size_t steps) override;

  // What filters, methods and functions use.
  Value get_attribute(const Value& value, std::string_view name);
  Value get_item(const Value& value, const Value& key);
  Value call(const Value& callable, TemplateArguments& arguments);
  /// The items a for loop sees; a generator is used up. Throws Error(kData) when the value cannot be iterated.
  Value::Items iterate(const Value& value);
  /// Python's str() and len().
  std::string text_of(const Value& value) { return to_text(value, *this); }
  std::int64_t length_of(const Value& value);
  bool contains(const Value& container, const Value& item);
  const std::tm& now() const { return now_; }
  const RenderLimits& limits() const { return limits_; }
  /// A namespace whose contents the interpreter lets go at its end, so that cycles through it do not leak.
  Value make_namespace(std::vector<std::pair<std::string, Value>> entries);
  /// A new string value; its size counts.
  Value make_string(std::string text);

  struct Macro;
  struct Loop;
  Value call_macro(const Macro& macro, TemplateArguments& arguments);
  Value call_loop(const Loop& loop, TemplateArguments& arguments);

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  struct Scope {
    int parent = -1;
    std::vector<std::pair<int, Value>> variables;
  };
  class ScopeGuard;
  class CaptureGuard;
  class DepthGuard;

  Value evaluate(const Expression& expression);
  Value evaluate_name(const Expression& expression);
  Value evaluate_binary(const Expression& expression);
  Value evaluate_arithmetic(Operation operation, const Value& left, const Value& right);
  Value evaluate_compare(const Expression& expression);
  bool holds(Operation operation, const Value& left, const Value& right);
  Value evaluate_slice(const Expression& expression);
  Value evaluate_call(const Expression& expression);
  Value evaluate_filter(const Expression& expression, const Value* inner);
  TemplateArguments evaluate_arguments(const CallArguments& arguments);

  Flow run_statements(const Statements& statements);
  Flow run_statement(const Statement& statement);
  Flow run_for(const Statement& statement, const Value& iterable, int depth);
  void run_set_block(const Statement& statement);
  void run_call_block(const Statement& statement);
  void assign(const AssignTarget& target, const Value& value);
  void set_in_scope(int name_id, Value value);
  const Value* find_variable(int name_id) const;
  void write(std::string_view text);
  /// Runs statements into a text of their own.
  std::string capture(const Statements& statements);
  int name_id_of(std::string_view name);

  const ParsedTemplate& parsed_;
  RenderLimits limits_;
  std::tm now_;
  std::size_t steps_ = 0;
  int depth_ = 0, line_ = 1;
  std::vector<std::unique_ptr<Scope>> scopes_;
  int scope_ = 0;
  std::vector<std::pair<std::string, Value>> extra_variables_;  // of the context, not named in the template
  std::string root_output_;
  std::string* output_ = &root_output_;
  std::vector<Span>* spans_ = nullptr;
  std::vector<std::shared_ptr<TemplateNamespace>> namespaces_;
  int loop_name_ = -1, caller_name_ = -1, varargs_name_ = -1, kwargs_name_ = -1;
};

}  // namespace r1::text

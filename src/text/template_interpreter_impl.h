// What the parts of the interpreter share; for the files template_*.cpp only.
#pragma once

#include <fmt/format.h>

#include "base/error.h"
#include "text/template_interpreter.h"

namespace r1::text {

inline constexpr int kMaxCallDepth = 1000;    // nested evaluations: bounds the stack
inline constexpr int kMaxStatementCost = 12;  // a statement's frame is larger than an expression's

[[noreturn]] inline void raise_template_error(const std::string& message) { fail(ErrorKind::kData, "{}", message); }

inline void require_defined(const TemplateValue& value) {
  if (value.is(TemplateValue::Kind::kUndefined)) raise_template_error(value.undefined_message());
}

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
  const TemplateValue::Items* items = nullptr;  // valid while the loop runs; null afterwards
  std::size_t index = 0;
  int depth0 = 0;
  TemplateValue last_changed;
  bool has_changed = false;
  TemplateValue call(TemplateInterpreter& interpreter, TemplateArguments& arguments) override {
    return interpreter.call_loop(*this, arguments);
  }
};

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
    raise_template_error("calls or expressions nested too deep");
  }
  ~DepthGuard() { interpreter_.depth_ -= cost_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  TemplateInterpreter& interpreter_;
  int cost_;
};

}  // namespace r1::text

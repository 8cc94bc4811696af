// The part of the template parser that reads expressions; for template_parser.cpp only.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/strings.h"
#include "text/template_ast.h"
#include "text/template_functions.h"
#include "text/template_lexer.h"

namespace r1::text {

/// The tokens and everything that an expression is made of. Statements are parsed by the class derived from it.
class ExpressionParser {
 public:
  using Type = TemplateToken::Type;
  using ExprKind = Expression::Kind;
  static constexpr int kMaxDepth = 200;  // of nested expressions and statements: bounds the recursion here and in the interpreter

  ExpressionParser(std::string_view source, const std::string& name) : result_(std::make_shared<ParsedTemplate>()) {
    result_->name = name;
    tokens_ = tokenize_template(source, name);
  }

 protected:
  /// Counts a level of recursion for as long as it lives.
  class Level {
   public:
    explicit Level(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) parser_.reject("nested more than " + std::to_string(kMaxDepth) + " deep");
    }
    ~Level() { --parser_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    ExpressionParser& parser_;
  };

  const TemplateToken& current() const { return tokens_[position_]; }
  const TemplateToken& following() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  void advance() {
    if (position_ + 1 < tokens_.size()) ++position_;
  }
  [[noreturn]] void reject(const std::string& reason) const { fail(ErrorKind::kModel, "{}:{}: {}", result_->name, current().line, reason); }
  static std::string describe(const TemplateToken& token) {
    switch (token.type) {
      case Type::kData:
        return "text";
      case Type::kVariableBegin:
        return "'{{'";
      case Type::kVariableEnd:
        return "'}}'";
      case Type::kBlockBegin:
        return "'{%'";
      case Type::kBlockEnd:
        return "'%}'";
      case Type::kEnd:
        return "the end of the template";
      default:
        return fmt::format("'{}'", token.text);
    }
  }
  bool is_operator(std::string_view text) const { return current().type == Type::kOperator && current().text == text; }
  bool is_word(std::string_view text) const { return current().type == Type::kName && current().text == text; }
  bool skip_operator(std::string_view text) {
    if (!is_operator(text)) return false;
    advance();
    return true;
  }
  bool skip_word(std::string_view text) {
    if (!is_word(text)) return false;
    advance();
    return true;
  }
  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) reject("expected '" + std::string(text) + "', found " + describe(current()));
  }
  void expect(Type type, const char* what) {
    if (current().type != type) reject(std::string("expected ") + what + ", found " + describe(current()));
    advance();
  }
  std::string expect_name() {
    if (current().type != Type::kName) reject("expected a name, found " + describe(current()));
    std::string name = current().text;
    advance();
    return name;
  }
  int name_id(const std::string& name) {
    const auto [entry, is_new] = name_ids_.try_emplace(name, static_cast<int>(result_->names.size()));
    if (is_new) result_->names.push_back(name);
    return entry->second;
  }
  ExpressionPointer make(ExprKind kind) const {
    auto expression = std::make_unique<Expression>();
    expression->kind = kind;
    expression->line = current().line;
    return expression;
  }
  ExpressionPointer make(ExprKind kind, ExpressionPointer first, ExpressionPointer second = nullptr) const {
    auto expression = make(kind);
    expression->parts.push_back(std::move(first));
    if (second) expression->parts.push_back(std::move(second));
    return expression;
  }

  // ---- expressions, from the loosest to the tightest ----

  /// Expressions separated by commas make a tuple.
  ExpressionPointer tuple(bool with_condition) {
    const auto part = [&] { return with_condition ? expression() : or_expression(); };
    ExpressionPointer first = part();
    if (!is_operator(",")) return first;
    ExpressionPointer list = make(ExprKind::kTuple, std::move(first));
    while (skip_operator(",")) {
      if (current().type == Type::kVariableEnd || current().type == Type::kBlockEnd || is_operator(")") || is_word("recursive")) break;
      list->parts.push_back(part());
    }
    return list;
  }

  ExpressionPointer expression() {
    const Level level(*this);
    const bool before = soft_;
    ExpressionPointer value = or_expression();
    for (int length = 0; skip_word("if"); bound_chain(++length)) {
      soft_ = true;
      ExpressionPointer conditional = make(ExprKind::kConditional, std::move(value), or_expression());
      conditional->parts.push_back(skip_word("else") ? expression() : nullptr);
      value = std::move(conditional);
    }
    soft_ = before;
    return value;
  }

  /// Chains such as a.b.c or x + y + z nest in the tree without recursion here; their length is bounded all the same.
  void bound_chain(int length) const {
    if (length > 150) reject("a chain of more than 150 operations");
  }

  ExpressionPointer binary(Operation operation, ExpressionPointer left, ExpressionPointer right) const {
    ExpressionPointer result = make(ExprKind::kBinary, std::move(left), std::move(right));
    result->operation = operation;
    return result;
  }

  ExpressionPointer or_expression() {
    const Level level(*this);
    ExpressionPointer left = and_expression();
    for (int length = 0; skip_word("or"); bound_chain(++length)) left = binary(Operation::kOr, std::move(left), and_expression());
    return left;
  }
  ExpressionPointer and_expression() {
    ExpressionPointer left = not_expression();
    for (int length = 0; skip_word("and"); bound_chain(++length)) left = binary(Operation::kAnd, std::move(left), not_expression());
    return left;
  }
  ExpressionPointer not_expression() {
    const Level level(*this);
    if (is_word("not") && !(following().type == Type::kName && following().text == "in")) {
      advance();
      ExpressionPointer result = make(ExprKind::kUnary, not_expression());
      result->operation = Operation::kNot;
      return result;
    }
    return comparison();
  }

  std::optional<Operation> comparison_operation() {
    constexpr std::array<std::pair<std::string_view, Operation>, 6> kOperations = {{{"==", Operation::kEqual},
                                                                                    {"!=", Operation::kNotEqual},
                                                                                    {"<=", Operation::kLessEqual},
                                                                                    {">=", Operation::kGreaterEqual},
                                                                                    {"<", Operation::kLess},
                                                                                    {">", Operation::kGreater}}};
    for (const auto& [text, operation] : kOperations)
      if (skip_operator(text)) return operation;
    if (skip_word("in")) return Operation::kIn;
    if (is_word("not") && following().type == Type::kName && following().text == "in") {
      advance();
      advance();
      return Operation::kNotIn;
    }
    return std::nullopt;
  }
  ExpressionPointer comparison() {
    ExpressionPointer first = sum();
    auto operation = comparison_operation();
    if (!operation) return first;
    ExpressionPointer result = make(ExprKind::kCompare, std::move(first));
    for (int length = 0; operation; operation = comparison_operation(), bound_chain(++length)) {
      result->compares.push_back(*operation);
      result->parts.push_back(sum());
    }
    return result;
  }

  ExpressionPointer sum() {
    ExpressionPointer left = concatenation();
    for (int length = 0;; bound_chain(++length)) {
      if (skip_operator("+")) left = binary(Operation::kAdd, std::move(left), concatenation());
      else if (skip_operator("-")) left = binary(Operation::kSubtract, std::move(left), concatenation());
      else return left;
    }
  }
  ExpressionPointer concatenation() {
    ExpressionPointer left = product();
    for (int length = 0; skip_operator("~"); bound_chain(++length)) left = binary(Operation::kConcat, std::move(left), product());
    return left;
  }
  ExpressionPointer product() {
    ExpressionPointer left = power();
    for (int length = 0;; bound_chain(++length)) {
      if (skip_operator("*")) left = binary(Operation::kMultiply, std::move(left), power());
      else if (skip_operator("//")) left = binary(Operation::kFloorDivide, std::move(left), power());
      else if (skip_operator("/")) left = binary(Operation::kDivide, std::move(left), power());
      else if (skip_operator("%")) left = binary(Operation::kModulo, std::move(left), power());
      else return left;
    }
  }
  ExpressionPointer power() {
    ExpressionPointer left = unary(true);
    for (int length = 0; skip_operator("**"); bound_chain(++length)) left = binary(Operation::kPower, std::move(left), unary(true));
    return left;
  }
  ExpressionPointer unary(bool with_filters) {
    const Level level(*this);
    ExpressionPointer value;
    if (is_operator("-") || is_operator("+")) {
      const Operation operation = is_operator("-") ? Operation::kNegate : Operation::kPlus;
      advance();
      value = make(ExprKind::kUnary, unary(false));
      value->operation = operation;
    } else {
      value = primary();
    }
    value = postfix(std::move(value));
    return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
  }

  ExpressionPointer constant(TemplateValue value) const {
    ExpressionPointer result = make(ExprKind::kConstant);
    result->constant = std::move(value);
    return result;
  }

  ExpressionPointer primary() {
    const TemplateToken& token = current();
    switch (token.type) {
      case Type::kName:
        return name();
      case Type::kString: {
        std::string text;
        for (; current().type == Type::kString; advance()) text += current().text;
        return constant(TemplateValue::string(std::move(text)));
      }
      case Type::kInteger: {
        const auto value = parse_int(token.text);
        if (!value) reject("the number " + token.text + " does not fit 64 bits");
        auto result = constant(TemplateValue::integer(*value));
        advance();
        return result;
      }
      case Type::kFloat: {
        const auto value = parse_double(token.text);
        if (!value) reject("not a number: " + token.text);
        auto result = constant(TemplateValue::number(*value));
        advance();
        return result;
      }
      default:
        break;
    }
    if (skip_operator("(")) {
      ExpressionPointer inner;
      if (is_operator(")")) inner = make(ExprKind::kTuple);
      else inner = tuple(true);
      expect_operator(")");
      return inner;
    }
    if (skip_operator("[")) {
      ExpressionPointer list = make(ExprKind::kList);
      while (!is_operator("]")) {
        if (!list->parts.empty()) expect_operator(",");
        if (is_operator("]")) break;
        list->parts.push_back(expression());
      }
      advance();
      return list;
    }
    if (skip_operator("{")) {
      ExpressionPointer dict = make(ExprKind::kDict);
      while (!is_operator("}")) {
        if (!dict->parts.empty()) expect_operator(",");
        if (is_operator("}")) break;
        dict->parts.push_back(expression());
        expect_operator(":");
        dict->parts.push_back(expression());
      }
      advance();
      return dict;
    }
    reject("expected a value, found " + describe(token));
  }

  ExpressionPointer name() {
    const std::string& text = current().text;
    ExpressionPointer result;
    if (text == "true" || text == "True") result = constant(TemplateValue::boolean(true));
    else if (text == "false" || text == "False") result = constant(TemplateValue::boolean(false));
    else if (text == "none" || text == "None") result = constant(TemplateValue::none());
    else {
      result = make(ExprKind::kName);
      result->text = text;
      result->name_id = name_id(text);
      if (text == "varargs") special_names_.varargs = true;
      if (text == "kwargs") special_names_.kwargs = true;
      if (text == "caller") special_names_.caller = true;
    }
    advance();
    return result;
  }

  ExpressionPointer postfix(ExpressionPointer value) {
    for (int length = 0;; bound_chain(++length)) {
      if (skip_operator(".")) {
        ExpressionPointer access = make(ExprKind::kAttribute, std::move(value));
        if (current().type == Type::kInteger) {
          access->kind = ExprKind::kSubscript;
          access->parts.push_back(constant(TemplateValue::integer(parse_int(current().text).value_or(0))));
          advance();
        } else {
          access->text = expect_name();
        }
        value = std::move(access);
      } else if (skip_operator("[")) {
        value = subscript(std::move(value));
      } else if (is_operator("(")) {
        value = call(std::move(value));
      } else {
        return value;
      }
    }
  }

  ExpressionPointer subscript(ExpressionPointer value) {
    ExpressionPointer bounds[3];
    int part = 0;
    bool is_slice = false;
    while (!is_operator("]")) {
      if (skip_operator(":")) {
        is_slice = true;
        if (++part > 2) reject("a slice has at most three parts");
        continue;
      }
      if (bounds[part]) reject("expected ']', found " + describe(current()));
      bounds[part] = expression();
      if (is_operator(",")) reject("several subscripts at once are not supported");
    }
    if (!is_slice && !bounds[0]) reject("expected a subscript, found ']'");
    advance();
    ExpressionPointer access = make(is_slice ? ExprKind::kSlice : ExprKind::kSubscript, std::move(value));
    for (int i = 0; i < (is_slice ? 3 : 1); ++i) access->parts.push_back(std::move(bounds[i]));
    return access;
  }

  CallArguments call_arguments() {
    CallArguments arguments;
    expect_operator("(");
    bool first = true;
    while (!is_operator(")")) {
      if (!first) expect_operator(",");
      first = false;
      if (is_operator(")")) break;
      if (skip_operator("**")) {
        if (arguments.double_star) reject("a second '**' argument");
        arguments.double_star = expression();
      } else if (skip_operator("*")) {
        if (arguments.star || arguments.double_star) reject("unexpected '*' argument");
        arguments.star = expression();
      } else if (current().type == Type::kName && following().type == Type::kOperator && following().text == "=") {
        if (arguments.double_star) reject("an argument behind '**'");
        std::string key = expect_name();
        advance();
        arguments.named.emplace_back(std::move(key), expression());
      } else {
        if (!arguments.named.empty() || arguments.star || arguments.double_star) reject("a positional argument behind a named one");
        arguments.positional.push_back(expression());
      }
    }
    advance();
    return arguments;
  }

  ExpressionPointer call(ExpressionPointer function) {
    ExpressionPointer result = make(ExprKind::kCall, std::move(function));
    result->arguments = call_arguments();
    return result;
  }

  ExpressionPointer filters_and_tests(ExpressionPointer value) {
    for (int length = 0;; bound_chain(++length)) {
      if (is_operator("|")) value = filters(std::move(value), false);
      else if (skip_word("is")) value = test(std::move(value));
      else if (is_operator("(")) value = call(std::move(value));
      else return value;
    }
  }

  std::string dotted_name() {
    std::string text = expect_name();
    while (skip_operator(".")) text += "." + expect_name();
    return text;
  }

  /// value | filter | filter …; starts_inline: the first filter has no bar before it.
  ExpressionPointer filters(ExpressionPointer value, bool starts_inline) {
    for (int length = 0; starts_inline || is_operator("|"); bound_chain(++length)) {
      if (!starts_inline) advance();
      starts_inline = false;
      ExpressionPointer filter = make(ExprKind::kFilter);
      filter->parts.push_back(std::move(value));
      filter->text = dotted_name();
      filter->function_id = find_filter(filter->text);
      if (filter->function_id < 0 && !soft_) reject(unknown_function("filter", filter->text, filter_names()));
      if (is_operator("(")) filter->arguments = call_arguments();
      value = std::move(filter);
    }
    return value;
  }

  static std::string unknown_function(const std::string& what, const std::string& text, const std::vector<std::string>& known) {
    const auto nearest = nearest_name(text, known);
    return fmt::format("no {} named '{}'{}", what, text, nearest ? fmt::format("; did you mean '{}'?", *nearest) : "");
  }

  ExpressionPointer test(ExpressionPointer value) {
    ExpressionPointer result = make(ExprKind::kTest, std::move(value));
    result->negated = skip_word("not");
    result->text = dotted_name();
    result->function_id = find_test(result->text);
    if (result->function_id < 0 && !soft_) reject(unknown_function("test", result->text, test_names()));
    const TemplateToken& token = current();
    const bool starts_value = token.type == Type::kName || token.type == Type::kString || token.type == Type::kInteger ||
                              token.type == Type::kFloat || is_operator("[") || is_operator("{");
    if (is_operator("(")) {
      result->arguments = call_arguments();
    } else if (starts_value && !is_word("else") && !is_word("or") && !is_word("and")) {
      if (is_word("is")) reject("tests cannot be chained with 'is'");
      // Words that continue the expression around the test are no argument of it.
      if (token.type == Type::kName && (token.text == "if" || token.text == "in" || token.text == "not" || token.text == "recursive"))
        return result;
      result->arguments.positional.push_back(postfix(primary()));
    }
    return result;
  }

  std::shared_ptr<ParsedTemplate> result_;
  std::vector<TemplateToken> tokens_;
  std::size_t position_ = 0;
  std::unordered_map<std::string, int> name_ids_;
  int depth_ = 0, loop_depth_ = 0;
  bool soft_ = false;
  struct {
    bool varargs = false, kwargs = false, caller = false;
  } special_names_;
};

}  // namespace r1::text

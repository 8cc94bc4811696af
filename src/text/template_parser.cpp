#include "text/template_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/strings.h"
#include "text/template_functions.h"
#include "text/template_lexer.h"

namespace r1::text {
namespace {

using Type = TemplateToken::Type;
using ExprKind = Expression::Kind;
using StatementKind = Statement::Kind;

constexpr int kMaxDepth = 200;  // of nested expressions and statements: bounds the recursion here and in the interpreter

class Parser {
 public:
  Parser(std::string_view source, const std::string& name) : result_(std::make_shared<ParsedTemplate>()) {
    result_->name = name;
    tokens_ = tokenize_template(source, name);
  }

  std::shared_ptr<const ParsedTemplate> run() {
    result_->body = statements_until({});
    return result_;
  }

 private:
  /// Counts a level of recursion for as long as it lives.
  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) parser_.reject("nested more than " + std::to_string(kMaxDepth) + " deep");
    }
    ~Level() { --parser_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Parser& parser_;
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
        return "'" + token.text + "'";
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

  // ---- statements ----

  /// Statements up to a block that begins with one of the words; the word is then current. Empty words: to the end.
  Statements statements_until(std::initializer_list<std::string_view> words) {
    const Level level(*this);
    Statements statements;
    while (true) {
      switch (current().type) {
        case Type::kData:
          statements.emplace_back();
          statements.back().text = current().text;
          statements.back().line = current().line;
          advance();
          break;
        case Type::kVariableBegin: {
          Statement output;
          output.kind = StatementKind::kOutput;
          output.line = current().line;
          advance();
          output.value = tuple(true);
          expect(Type::kVariableEnd, "'}}'");
          statements.push_back(std::move(output));
          break;
        }
        case Type::kBlockBegin: {
          advance();
          if (current().type != Type::kName) reject("expected a statement, found " + describe(current()));
          if (std::find(words.begin(), words.end(), current().text) != words.end()) return statements;
          statements.push_back(statement());
          break;
        }
        default:
          if (words.size() != 0) reject("expected '{% " + std::string(*(words.end() - 1)) + " %}', found the end of the template");
          return statements;
      }
    }
  }
  void end_block() { expect(Type::kBlockEnd, "'%}'"); }
  Statements body_until(std::string_view end_word) {
    Statements body = statements_until({end_word});
    advance();
    end_block();
    return body;
  }

  Statement statement() {
    Statement result;
    result.line = current().line;
    const std::string word = current().text;
    advance();
    if (word == "if") return if_statement(std::move(result));
    if (word == "for") return for_statement(std::move(result));
    if (word == "set") return set_statement(std::move(result));
    if (word == "macro") return macro_statement(std::move(result));
    if (word == "call") return call_statement(std::move(result));
    if (word == "filter") {
      result.kind = StatementKind::kFilterBlock;
      result.value = filters(nullptr, true);
      end_block();
      result.body = body_until("endfilter");
      return result;
    }
    if (word == "with") return with_statement(std::move(result));
    if (word == "generation") {
      result.kind = StatementKind::kGeneration;
      result_->has_generation = true;
      end_block();
      const int loops = std::exchange(loop_depth_, 0);
      result.body = body_until("endgeneration");
      loop_depth_ = loops;
      return result;
    }
    if (word == "break" || word == "continue") {
      if (loop_depth_ == 0) reject("'" + word + "' outside of a loop");
      result.kind = word == "break" ? StatementKind::kBreak : StatementKind::kContinue;
      end_block();
      return result;
    }
    for (const std::string_view other : {"include", "import", "from", "extends", "block", "autoescape", "do", "trans"})
      if (word == other) reject("'" + word + "' is not supported in chat templates");
    reject("unknown statement '" + word + "'");
  }

  Statement if_statement(Statement result) {
    result.kind = StatementKind::kIf;
    while (true) {
      ExpressionPointer condition = tuple(false);
      end_block();
      Statements body = soft_statements({"elif", "else", "endif"});
      result.branches.emplace_back(std::move(condition), std::move(body));
      if (skip_word("elif")) continue;
      if (skip_word("else")) {
        end_block();
        result.branches.emplace_back(nullptr, soft_statements({"endif"}));
      }
      advance();  // endif
      end_block();
      return result;
    }
  }

  /// Inside a condition an unknown filter is an error only when it is reached, as in Jinja.
  Statements soft_statements(std::initializer_list<std::string_view> words) {
    const bool before = std::exchange(soft_, true);
    Statements body = statements_until(words);
    soft_ = before;
    return body;
  }

  Statement for_statement(Statement result) {
    result.kind = StatementKind::kFor;
    result.target = assign_target(false);
    if (!skip_word("in")) reject("expected 'in', found " + describe(current()));
    result.value = tuple(false);
    if (skip_word("if")) result.condition = expression();
    result.recursive = skip_word("recursive");
    end_block();
    const bool before = std::exchange(soft_, false);
    ++loop_depth_;
    result.body = statements_until({"else", "endfor"});
    --loop_depth_;
    soft_ = before;
    if (skip_word("else")) {
      end_block();
      result.otherwise = statements_until({"endfor"});
    }
    advance();
    end_block();
    return result;
  }

  AssignTarget assign_target(bool allow_attribute) {
    AssignTarget target = assign_part(allow_attribute);
    if (!is_operator(",")) return target;
    AssignTarget list;
    list.parts.push_back(std::move(target));
    while (skip_operator(",")) {
      if (current().type != Type::kName && !is_operator("(")) break;
      list.parts.push_back(assign_part(allow_attribute));
    }
    return list;
  }
  AssignTarget assign_part(bool allow_attribute) {
    const Level level(*this);
    if (skip_operator("(")) {
      AssignTarget inner = assign_target(allow_attribute);
      expect_operator(")");
      return inner;
    }
    AssignTarget target;
    const std::string name = expect_name();
    for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"})
      if (name == constant) reject("cannot assign to '" + name + "'");
    target.name_id = name_id(name);
    if (allow_attribute && skip_operator(".")) target.attribute = expect_name();
    return target;
  }

  Statement set_statement(Statement result) {
    result.target = assign_target(true);
    if (skip_operator("=")) {
      result.kind = StatementKind::kSet;
      result.value = tuple(true);
      end_block();
      return result;
    }
    result.kind = StatementKind::kSetBlock;
    if (is_operator("|")) result.value = filters(nullptr, false);
    end_block();
    result.body = body_until("endset");
    return result;
  }

  void parameters(Statement& result) {
    expect_operator("(");
    while (!is_operator(")")) {
      if (!result.parameters.empty()) expect_operator(",");
      if (is_operator(")")) break;
      MacroParameter parameter;
      parameter.name = expect_name();
      parameter.name_id = name_id(parameter.name);
      if (skip_operator("=")) parameter.default_value = expression();
      else if (!result.parameters.empty() && result.parameters.back().default_value)
        reject("a parameter without default behind one with default");
      result.parameters.push_back(std::move(parameter));
    }
    advance();
  }

  Statements macro_body(std::string_view end_word) {
    const bool before = std::exchange(soft_, false);
    const int loops = std::exchange(loop_depth_, 0);
    Statements body = body_until(end_word);
    soft_ = before;
    loop_depth_ = loops;
    return body;
  }

  Statement macro_statement(Statement result) {
    result.kind = StatementKind::kMacro;
    result.text = expect_name();
    result.name_id = name_id(result.text);
    parameters(result);
    end_block();
    // A macro takes further arguments only when its body asks for them.
    const auto used = std::exchange(special_names_, {});
    result.body = macro_body("endmacro");
    result.uses_varargs = special_names_.varargs;
    result.uses_kwargs = special_names_.kwargs;
    result.uses_caller = special_names_.caller;
    special_names_ = used;
    return result;
  }

  Statement call_statement(Statement result) {
    result.kind = StatementKind::kCallBlock;
    if (is_operator("(")) parameters(result);
    result.value = expression();
    if (result.value->kind != ExprKind::kCall) reject("expected a call behind 'call'");
    end_block();
    result.body = macro_body("endcall");
    return result;
  }

  Statement with_statement(Statement result) {
    result.kind = StatementKind::kWith;
    while (current().type != Type::kBlockEnd) {
      if (!result.assignments.empty()) expect_operator(",");
      AssignTarget target = assign_part(false);
      expect_operator("=");
      result.assignments.emplace_back(std::move(target), expression());
    }
    end_block();
    result.body = body_until("endwith");
    return result;
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
    return "no " + what + " named '" + text + "'" + (nearest ? "; did you mean '" + *nearest + "'?" : "");
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

}  // namespace

std::shared_ptr<const ParsedTemplate> parse_template(std::string_view source, const std::string& name) {
  if (source.size() > 1'000'000) fail(ErrorKind::kModel, "{}: a template of {} bytes; at most 1,000,000 are read", name, source.size());
  return Parser(source, name).run();
}

}  // namespace r1::text

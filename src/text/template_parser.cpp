#include "text/template_parser.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/template_expression_parser.h"

namespace r1::text {
namespace {

using StatementKind = Statement::Kind;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  std::shared_ptr<const ParsedTemplate> run() {
    result_->body = statements_until({});
    return result_;
  }

 private:
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
      if (loop_depth_ == 0) reject(fmt::format("'{}' outside of a loop", word));
      result.kind = word == "break" ? StatementKind::kBreak : StatementKind::kContinue;
      end_block();
      return result;
    }
    for (const std::string_view other : {"include", "import", "from", "extends", "block", "autoescape", "do", "trans"})
      if (word == other) reject(fmt::format("'{}' is not supported in chat templates", word));
    reject(fmt::format("unknown statement '{}'", word));
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
      if (name == constant) reject(fmt::format("cannot assign to '{}'", name));
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
};

}  // namespace

std::shared_ptr<const ParsedTemplate> parse_template(std::string_view source, const std::string& name) {
  if (source.size() > 1'000'000) fail(ErrorKind::kModel, "{}: a template of {} bytes; at most 1,000,000 are read", name, source.size());
  return Parser(source, name).run();
}

}  // namespace r1::text

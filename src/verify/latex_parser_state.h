// The parser's state, shared by its two halves: latex_parser.cpp (lists, sets, relations) and latex_terms.cpp (arithmetic).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "verify/budget.h"
#include "verify/expression.h"
#include "verify/lexer.h"

namespace r1::verify {

/// Recursive descent with backtracking: every method returns null (or false) when its rule does not fit here, and the caller puts
/// `position` back. The alternatives are tried in a fixed order, and the first that fits the rest of the text wins.
class LatexParser {
 public:
  LatexParser(std::vector<Token> tokens, bool keep_bases);
  Expression parse(std::string_view text);

 private:
  using List = std::vector<Expression>;

  struct DepthGuard {
    explicit DepthGuard(LatexParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) throw OverBudget{};
    }
    ~DepthGuard() { --parser_.depth_; }
    LatexParser& parser_;
  };

  // latex_parser.cpp
  Expression parse_assigned_list();
  Expression parse_elements_to_end(std::string_view text);
  Expression parse_set_relation();
  bool parse_semicolon_elements(bool with_relations, std::vector<List>& groups);
  bool parse_element(bool with_relations, List& elements);
  Expression parse_relation();
  Expression parse_set_atom();
  Expression parse_interval();
  Expression parse_set_difference();
  Expression parse_set_union();
  Expression parse_set_intersection();
  Expression parse_set_group();
  Expression parse_symbol_list();

  // latex_terms.cpp
  Expression parse_expression();
  Expression parse_term(bool functions_inside);
  Expression parse_unary(bool functions_inside);
  Expression parse_postfix(bool functions);
  Expression parse_power(bool functions);
  Expression parse_component(bool functions);
  Expression parse_group();
  Expression parse_bracketed(TokenKind close);
  Expression parse_atom();
  Expression parse_symbol(bool with_superscript);
  Expression parse_superscript();
  bool parse_subscript(std::string& text);
  Expression parse_function();
  Expression parse_named_function(std::string name);
  Expression parse_multi_function(std::string name);
  Expression parse_applied_symbol();
  Expression parse_sum(bool product);
  Expression parse_limit();
  Expression parse_integral();
  Expression parse_matrix();
  Expression parse_argument();

  TokenKind peek(int ahead = 0) const {
    const std::size_t index = position_ + static_cast<std::size_t>(ahead);
    return index < tokens_.size() ? tokens_[index].kind : TokenKind::kEnd;
  }
  bool accept(TokenKind kind) {
    if (peek() != kind) return false;
    ++position_;
    return true;
  }
  std::string_view text() const { return tokens_[position_].text; }

  std::vector<Token> tokens_;
  std::vector<int> closer_;      // index of the bracket that closes the one at this index, or -1
  std::vector<bool> has_comma_;  // a comma directly inside the bracket that opens here
  std::size_t position_ = 0;
  int depth_ = 0;
  int open_bars_ = 0;
  bool keep_bases_;
  Budget budget_{kParseSteps};
};

/// The value of a lower-case or greek name: a constant or a symbol.
Expression symbol_of_name(std::string_view name);
/// Determinant and norm of small matrices; null when the shape does not fit.
Expression determinant(const Expression& matrix);
Expression norm(const Expression& matrix);

}  // namespace r1::verify

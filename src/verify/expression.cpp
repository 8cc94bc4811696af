#include "verify/expression.h"

#include <algorithm>
#include <utility>

#include "verify/ball_value.h"
#include "verify/budget.h"

namespace r1::verify {
namespace {

Expression finish(Node node) {
  int depth = 0;
  for (const Expression& argument : node.arguments) depth = std::max(depth, argument->depth);
  node.depth = depth + 1;
  if (node.depth > kMaxDepth) throw OverBudget{};
  return std::make_shared<const Node>(std::move(node));
}

Node blank(Kind kind) {
  Node node;
  node.kind = kind;
  return node;
}

void append_flattened(Kind kind, const Expression& operand, std::vector<Expression>& arguments) {
  if (is(operand, kind)) arguments.insert(arguments.end(), operand->arguments.begin(), operand->arguments.end());
  else arguments.push_back(operand);
}

Expression scaled_matrix(const Expression& matrix, const Expression& factor) {
  std::vector<Expression> entries;
  for (const Expression& entry : matrix->arguments) entries.push_back(make_product(factor, entry));
  return make_matrix(matrix->rows, matrix->columns, std::move(entries));
}

Expression matrix_product(const Expression& left, const Expression& right) {
  std::vector<Expression> entries;
  for (int row = 0; row < left->rows; ++row) {
    for (int column = 0; column < right->columns; ++column) {
      Expression sum;
      for (int inner = 0; inner < left->columns; ++inner) {
        Expression term = make_product(left->arguments[row * left->columns + inner], right->arguments[inner * right->columns + column]);
        sum = sum ? make_sum(sum, term) : term;
      }
      entries.push_back(sum);
    }
  }
  return make_matrix(left->rows, right->columns, std::move(entries));
}

}  // namespace

Expression make_number(Rational value, bool is_decimal) {
  Node node = blank(Kind::kNumber);
  node.value = std::move(value);
  node.is_decimal = is_decimal;
  return finish(std::move(node));
}

Expression make_symbol(std::string name) { return make_named(Kind::kSymbol, std::move(name), {}); }

Expression make_leaf(Kind kind) { return finish(blank(kind)); }

Expression make_infinity(int sign) {
  Node node = blank(Kind::kInfinity);
  node.value = Rational(sign);
  return finish(std::move(node));
}

Expression make(Kind kind, std::vector<Expression> arguments) {
  Node node = blank(kind);
  node.arguments = std::move(arguments);
  return finish(std::move(node));
}

Expression make_function(std::string name, std::vector<Expression> arguments) {
  return make_named(Kind::kFunction, std::move(name), std::move(arguments));
}

Expression make_named(Kind kind, std::string name, std::vector<Expression> arguments) {
  Node node = blank(kind);
  node.name = std::move(name);
  node.arguments = std::move(arguments);
  return finish(std::move(node));
}

Expression make_matrix(int rows, int columns, std::vector<Expression> entries) {
  Node node = blank(Kind::kMatrix);
  node.rows = rows;
  node.columns = columns;
  node.arguments = std::move(entries);
  return finish(std::move(node));
}

Expression make_relation(RelationKind relation, Expression left, Expression right) {
  Node node = blank(Kind::kRelation);
  node.relation = relation;
  node.arguments = {std::move(left), std::move(right)};
  return finish(std::move(node));
}

Expression make_chain(RelationKind relation, const Expression& left, Expression right) {
  if (!is(left, Kind::kRelation) && !is(left, Kind::kAnd)) return make_relation(relation, left, std::move(right));
  std::vector<Expression> links;
  append_flattened(Kind::kAnd, left, links);
  links.push_back(make_relation(relation, links.back()->arguments[1], std::move(right)));
  return make(Kind::kAnd, std::move(links));
}

Expression make_sum(const Expression& left, const Expression& right) {
  if (is(left, Kind::kMatrix) && is(right, Kind::kMatrix) && left->rows == right->rows && left->columns == right->columns) {
    std::vector<Expression> entries;
    for (std::size_t i = 0; i < left->arguments.size(); ++i) entries.push_back(make_sum(left->arguments[i], right->arguments[i]));
    return make_matrix(left->rows, left->columns, std::move(entries));
  }
  std::vector<Expression> terms;
  append_flattened(Kind::kAdd, left, terms);
  append_flattened(Kind::kAdd, right, terms);
  return make(Kind::kAdd, std::move(terms));
}

Expression make_product(const Expression& left, const Expression& right) {
  const bool left_matrix = is(left, Kind::kMatrix), right_matrix = is(right, Kind::kMatrix);
  if (left_matrix && right_matrix && left->columns == right->rows) return matrix_product(left, right);
  if (left_matrix != right_matrix) return left_matrix ? scaled_matrix(left, right) : scaled_matrix(right, left);
  std::vector<Expression> factors;
  append_flattened(Kind::kMultiply, left, factors);
  append_flattened(Kind::kMultiply, right, factors);
  return make(Kind::kMultiply, std::move(factors));
}

Expression make_negative(const Expression& operand) {
  if (is(operand, Kind::kNumber)) return make_number(-operand->value, operand->is_decimal);
  if (is(operand, Kind::kInfinity)) return make_infinity(-operand->value.sign());
  return make_product(make_number(Rational(-1)), operand);
}

Expression make_quotient(const Expression& numerator, const Expression& denominator) {
  if (is_integer(numerator) && is_integer(denominator)) {
    if (denominator->value.is_zero()) return make_leaf(Kind::kUndefined);
    return make_number(numerator->value / denominator->value);
  }
  if (is(denominator, Kind::kMatrix)) throw OverBudget{};
  return make_product(numerator, make(Kind::kPower, {denominator, make_number(Rational(-1))}));
}

Expression make_finite_set(const std::vector<Expression>& elements) {
  std::vector<Expression> distinct;
  for (const Expression& element : elements) {
    const bool seen =
        distinct.size() <= static_cast<std::size_t>(kMaxSetElements) &&
        std::any_of(distinct.begin(), distinct.end(), [&](const Expression& other) { return same_structure(element, other); });
    if (!seen) distinct.push_back(element);
  }
  if (distinct.empty()) return make_leaf(Kind::kEmptySet);
  return make(Kind::kFiniteSet, std::move(distinct));
}

Expression make_interval(Expression first, Expression last, bool left_open, bool right_open) {
  const auto is_infinite = [](const Expression& end, int sign) { return is(end, Kind::kInfinity) && end->value.sign() == sign; };
  const std::optional<int> order = compare_constants(first, last);
  if (order) {
    if (left_open && right_open && *order >= 0) return make(Kind::kTuple, {first, last});
    if (!left_open && !right_open && *order > 0) return make(Kind::kTuple, {first, last});
    if (*order > 0 || (*order == 0 && (left_open || right_open))) return make_leaf(Kind::kEmptySet);
    if (*order == 0) return make_finite_set({first});
  }
  if (is_infinite(first, 1) || is_infinite(last, -1)) return make_leaf(Kind::kEmptySet);
  Node node = blank(Kind::kInterval);
  node.left_open = left_open || is_infinite(first, -1);
  node.right_open = right_open || is_infinite(last, 1);
  node.arguments = {std::move(first), std::move(last)};
  return finish(std::move(node));
}

bool is_number(const Expression& expression) { return is(expression, Kind::kNumber); }

bool is_integer(const Expression& expression) {
  return is(expression, Kind::kNumber) && !expression->is_decimal && expression->value.is_integer();
}

bool is_set(const Expression& expression) {
  switch (expression->kind) {
    case Kind::kFiniteSet:
    case Kind::kInterval:
    case Kind::kUnion:
    case Kind::kIntersection:
    case Kind::kComplement:
    case Kind::kEmptySet:
    case Kind::kNamedSet:
      return true;
    default:
      return false;
  }
}

bool has_only_symbols(const Expression& expression) {
  if (is(expression, Kind::kSymbol)) return true;
  if (is(expression, Kind::kPower) && is_integer(expression->arguments[1]) && expression->arguments[1]->value == Rational(-1))
    return has_only_symbols(expression->arguments[0]);
  if (expression->arguments.empty()) return false;
  return std::all_of(expression->arguments.begin(), expression->arguments.end(), has_only_symbols);
}

bool same_structure(const Expression& a, const Expression& b) {
  if (a == b) return true;
  if (a->kind != b->kind || a->arguments.size() != b->arguments.size() || a->is_decimal != b->is_decimal) return false;
  if (a->left_open != b->left_open || a->right_open != b->right_open || a->relation != b->relation) return false;
  if (a->rows != b->rows || a->columns != b->columns || a->name != b->name || !(a->value == b->value)) return false;
  for (std::size_t i = 0; i < a->arguments.size(); ++i)
    if (!same_structure(a->arguments[i], b->arguments[i])) return false;
  return true;
}

}  // namespace r1::verify

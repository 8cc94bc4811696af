// The unevaluated tree of an answer. Percent signs, mixed numbers, the order of a list and the form of a decimal matter
// for the verdict, so nothing is simplified while it is built.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verify/rational.h"

namespace r1::verify {

enum class Kind {
  kNumber,  // value; is_decimal when it was written with a decimal point or an exponent
  kSymbol,  // name
  kPi,
  kEulerGamma,
  kEuler,          // e
  kImaginaryUnit,  // only a capital I; a small i is a symbol named "i", which evaluates to the imaginary unit
  kInfinity,       // value is +1 or -1
  kUndefined,      // 1/0
  kAdd,
  kMultiply,
  kPower,     // base, exponent
  kPercent,   // one argument, times 1/100
  kFunction,  // name, arguments: sin cos … sqrt log(x, base) abs floor ceil factorial binomial mod max min gcd lcm gamma
  kOpaque,    // a function, an integral, a limit … that is only compared by its name and arguments
  kSum,       // body, variable, first, last
  kProduct,   // body, variable, first, last
  kMatrix,    // rows × columns arguments, row by row
  kTuple,
  kFiniteSet,  // in source order, without structural duplicates
  kInterval,   // first, last
  kUnion,
  kIntersection,
  kComplement,  // first without second
  kEmptySet,
  kNamedSet,  // name: Reals, Integers, …
  kRelation,  // left, right, relation
  kAnd,       // a chain of relations in source order
  kTruth,     // value 0 or 1
};

enum class RelationKind { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

struct Node;
using Expression = std::shared_ptr<const Node>;

struct Node {
  Kind kind;
  Rational value;
  bool is_decimal = false;
  bool left_open = false, right_open = false;
  RelationKind relation = RelationKind::kEqual;
  int rows = 0, columns = 0;
  int depth = 1;
  std::string name;
  std::vector<Expression> arguments;
};

/// All makers throw OverBudget when the tree gets deeper than kMaxDepth.
Expression make_number(Rational value, bool is_decimal = false);
Expression make_symbol(std::string name);
Expression make_leaf(Kind kind);
Expression make_infinity(int sign);
Expression make(Kind kind, std::vector<Expression> arguments);
Expression make_function(std::string name, std::vector<Expression> arguments);
Expression make_named(Kind kind, std::string name, std::vector<Expression> arguments);
Expression make_matrix(int rows, int columns, std::vector<Expression> entries);
Expression make_relation(RelationKind relation, Expression left, Expression right);
/// A chain: left may already be a relation or a chain, whose last right side is then compared with right.
Expression make_chain(RelationKind relation, const Expression& left, Expression right);
/// Sum and product: nested ones of the same kind are merged; products with a matrix are carried out where the shapes allow it.
Expression make_sum(const Expression& left, const Expression& right);
Expression make_product(const Expression& left, const Expression& right);
Expression make_negative(const Expression& operand);
/// A quotient of two integers is a number.
Expression make_quotient(const Expression& numerator, const Expression& denominator);
Expression make_finite_set(const std::vector<Expression>& elements);
/// An interval as it is written; (3, 1) and [3, 1] are pairs, [3, 1) is empty, [2, 2] is a set.
Expression make_interval(Expression first, Expression last, bool left_open, bool right_open);

bool is_number(const Expression& expression);
bool is_integer(const Expression& expression);
inline bool is(const Expression& expression, Kind kind) { return expression->kind == kind; }
bool is_set(const Expression& expression);  // not a tuple
/// x, abc, a/b, (x, y): what may stand on the left of an assignment.
bool has_only_symbols(const Expression& expression);

/// Same kind, same literals, same arguments in the same order.
bool same_structure(const Expression& a, const Expression& b);

/// A readable form in the style of a computer algebra system: "2*x + 1", "{1, 2}", "Eq(x, 5)".
std::string to_text(const Expression& expression);

}  // namespace r1::verify

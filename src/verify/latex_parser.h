// A normalised LaTeX answer → expression tree.
#pragma once

#include <string_view>

#include "verify/expression.h"

namespace r1::verify {

/// The tree of one answer: a number, an expression, a list, a set, an interval, a relation, a matrix …; null when the text is no such
/// thing. Letters in a row multiply, \text{…} is one symbol, symbols are lower case, subscripts of numbers are dropped.
/// Throws OverBudget for a text that is too long, too deep or too ambiguous.
/// keep_bases: "52_8" is a number of that base, equal only to itself, instead of 52.
Expression parse_latex(std::string_view text, bool keep_bases = false);

/// Numbers, + - * / ^ ( ) and blanks, with the precedence of Python; null when it is anything else (also "2(3)" and "07").
Expression parse_plain_expression(std::string_view text);

}  // namespace r1::verify

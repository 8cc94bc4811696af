// The parser's arithmetic: sums, products, powers, groups, atoms.
#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/strings.h"
#include "verify/latex_parser_state.h"

namespace r1::verify {
namespace {

using enum TokenKind;

Expression number_of(std::string_view digits) {
  if (digits.size() > static_cast<std::size_t>(kMaxNumberDigits)) throw OverBudget{};
  const std::size_t exponent_mark = digits.find('E');
  if (exponent_mark == std::string_view::npos)
    return make_number(Rational::from_decimal(digits), digits.find('.') != std::string_view::npos);
  std::string_view exponent_text = digits.substr(exponent_mark + 1);
  if (exponent_text.starts_with('+')) exponent_text.remove_prefix(1);
  const auto exponent = parse_int(exponent_text);
  if (!exponent || *exponent > 5000 || *exponent < -5000) throw OverBudget{};
  return make_number(Rational::from_decimal(digits.substr(0, exponent_mark), *exponent), true);
}

std::string without(std::string_view text, std::string_view unwanted) {
  std::string kept;
  for (const char c : text)
    if (unwanted.find(c) == std::string_view::npos) kept.push_back(c);
  return kept;
}

/// \text{…}, \mathbf{…}, \bar{…}: text in any upright form is its letters, an accent stays part of the name.
std::string accent_name(std::string_view token) {
  const std::size_t open = token.find('{');
  std::string accent(trim(token.substr(1, open - 1)));
  std::string content = without(token.substr(open + 1, token.size() - open - 2), " ");
  if (accent == "overline") accent = "bar";
  if (accent == "overrightarrow") accent = "vec";
  if (accent == "widetilde") accent = "tilde";
  if (accent.find("text") != std::string::npos || accent.find("mbox") != std::string::npos) return without(content, "()");
  if (accent.find("math") != std::string::npos) accent = "math";
  return accent + "{" + content + "}";
}

const std::unordered_map<std::string_view, std::string_view>& greek_names() {
  static const std::unordered_map<std::string_view, std::string_view> names = {
      {"α", "alpha"},      {"β", "beta"},     {"γ", "gamma"},  {"Γ", "gamma"},   {"δ", "delta"},   {"Δ", "delta"},    {"ε", "epsilon"},
      {"ϵ", "varepsilon"}, {"ζ", "zeta"},     {"η", "eta"},    {"θ", "theta"},   {"Θ", "theta"},   {"ϑ", "vartheta"}, {"ι", "iota"},
      {"κ", "kappa"},      {"λ", "lambda"},   {"Λ", "lambda"}, {"μ", "mu"},      {"ν", "nu"},      {"ξ", "xi"},       {"Ξ", "xi"},
      {"ο", "omicron"},    {"π", "pi"},       {"Π", "pi"},     {"ϖ", "varpi"},   {"ρ", "rho"},     {"ϱ", "varrho"},   {"σ", "sigma"},
      {"Σ", "sigma"},      {"ς", "varsigma"}, {"τ", "tau"},    {"υ", "upsilon"}, {"Υ", "upsilon"}, {"φ", "phi"},      {"Φ", "phi"},
      {"ϕ", "varphi"},     {"χ", "chi"},      {"ψ", "psi"},    {"Ψ", "psi"},     {"ω", "omega"},   {"Ω", "omega"}};
  return names;
}

bool starts_component(TokenKind kind, bool functions, bool inside_bars) {
  switch (kind) {
    case kNumber:
    case kExponentNumber:
    case kPercentNumber:
    case kLetter:
    case kLetterE:
    case kDifferential:
    case kGreek:
    case kOtherSymbol:
    case kAccent:
    case kInfinity:
    case kPartial:
    case kGamma:
    case kLeftParen:
    case kLeftGroup:
    case kLeftBrace:
    case kLeftBracket:
    case kLeftBraceVisual:
    case kLeftBraceCommand:
    case kLeftBrack:
    case kPhantom:
    case kBoxed:
    case kNorm:
    case kLeftVert:
    case kLeftFloor:
    case kLeftCeil:
    case kFraction:
    case kBinomial:
    case kMatrixStart:
    case kArrayStart:
    case kDeterminantStart:
      return true;
    case kBar:
    case kVert:
      return !inside_bars;
    case kEulerE:
    case kFunction:
    case kMultiFunction:
    case kOperatorName:
    case kSquareRoot:
    case kSum:
    case kProduct:
    case kLimit:
    case kIntegral:
      return functions;
    default:
      return false;
  }
}

bool positive_rational(const Expression& expression) {
  return is_number(expression) && !expression->is_decimal && expression->value.sign() > 0;
}

/// Factors side by side, folded from the right: "2 1/2" is 2 + 1/2, everything else a product.
Expression fold_factors(const std::vector<Expression>& factors) {
  Expression right = factors.back();
  for (std::size_t i = factors.size() - 1; i-- > 0;) {
    const Expression& left = factors[i];
    if (is_integer(left) && positive_rational(right))
      right = make_number(left->value.sign() < 0 ? left->value - right->value : left->value + right->value);
    else right = make_product(left, right);
  }
  return right;
}

}  // namespace

Expression symbol_of_name(std::string_view name) {
  std::string key(trim(name));
  if (const auto found = greek_names().find(key); found != greek_names().end()) key = found->second;
  if (!key.empty() && key.front() == '\\') key.erase(0, 1);
  key = to_lower_ascii(key);
  if (key == "pi") return make_leaf(Kind::kPi);
  if (key == "gamma") return make_leaf(Kind::kEulerGamma);
  return make_symbol(std::move(key));
}

Expression LatexParser::parse_expression() {
  const DepthGuard guard(*this);
  Expression sum = parse_term(/*functions_inside=*/true);
  if (!sum || (peek() != kPlus && peek() != kMinus)) return sum;
  std::vector<Expression> terms;
  const auto append = [&](const Expression& term) {
    if (is(term, Kind::kAdd)) terms.insert(terms.end(), term->arguments.begin(), term->arguments.end());
    else terms.push_back(term);
  };
  append(sum);
  bool matrices = is(sum, Kind::kMatrix);
  while (peek() == kPlus || peek() == kMinus) {
    const bool negative = peek() == kMinus;
    ++position_;
    Expression term = parse_term(/*functions_inside=*/true);
    if (!term) return nullptr;
    matrices = matrices || is(term, Kind::kMatrix);
    append(negative ? make_negative(term) : term);
  }
  if (!matrices) return make(Kind::kAdd, std::move(terms));
  sum = terms[0];
  for (std::size_t i = 1; i < terms.size(); ++i) sum = make_sum(sum, terms[i]);
  return sum;
}

// With functions_inside = false it is the argument of a function without parentheses: "\sin 2x \cos y" ends before "\cos".
Expression LatexParser::parse_term(bool functions_inside) {
  Expression product = parse_unary(functions_inside);
  while (product) {
    const TokenKind operation = peek();
    if (operation != kTimes && operation != kDivide && operation != kColon && operation != kModulo) return product;
    ++position_;
    Expression operand = parse_unary(functions_inside);
    if (!operand) return nullptr;
    if (operation == kTimes) product = make_product(product, operand);
    else if (operation == kModulo) product = make_function("mod", {product, operand});
    else product = make_quotient(product, operand);
  }
  return product;
}

Expression LatexParser::parse_unary(bool functions_inside) {
  budget_.spend();
  int num_minus = 0;
  while (peek() == kPlus || peek() == kMinus) {
    if (peek() == kMinus) ++num_minus;
    ++position_;
  }
  std::vector<Expression> factors;
  bool functions = true;
  while (starts_component(peek(), functions, open_bars_ > 0 && !factors.empty())) {
    const std::size_t begin = position_;
    Expression factor = parse_postfix(functions);
    if (!factor) {
      if (factors.empty()) return nullptr;
      position_ = begin;
      break;
    }
    factors.push_back(std::move(factor));
    functions = functions_inside;
  }
  if (factors.empty()) return nullptr;
  Expression product = fold_factors(factors);
  if (num_minus > kMaxDepth) throw OverBudget{};
  for (int i = 0; i < num_minus; ++i) product = make_negative(product);
  return product;
}

Expression LatexParser::parse_postfix(bool functions) {
  Expression operand = parse_power(functions);
  while (operand) {
    if (accept(kBang)) {
      operand = make_function("factorial", {operand});
    } else if (accept(kTranspose)) {
      if (!is(operand, Kind::kMatrix)) continue;
      std::vector<Expression> entries;
      for (int column = 0; column < operand->columns; ++column)
        for (int row = 0; row < operand->rows; ++row) entries.push_back(operand->arguments[row * operand->columns + column]);
      operand = make_matrix(operand->columns, operand->rows, std::move(entries));
    } else if (!accept(kDegree)) {
      break;
    }
  }
  return operand;
}

Expression LatexParser::parse_power(bool functions) {
  Expression base = parse_component(functions);
  while (base && peek() == kCaret) {
    Expression exponent = parse_superscript();
    if (!exponent) return nullptr;
    if (peek() == kUnderscore) {
      std::string ignored;
      if (!parse_subscript(ignored)) return nullptr;
    }
    base = make(Kind::kPower, {base, exponent});
  }
  return base;
}

Expression LatexParser::parse_bracketed(TokenKind close) {
  const DepthGuard guard(*this);
  ++position_;
  const int bars = std::exchange(open_bars_, 0);
  Expression inner = parse_expression();
  open_bars_ = bars;
  if (!inner || !accept(close)) return nullptr;
  return inner;
}

Expression LatexParser::parse_group() {
  switch (peek()) {
    case kLeftParen:
      return parse_bracketed(kRightParen);
    case kLeftGroup:
      return parse_bracketed(kRightGroup);
    case kLeftBracket:
      return parse_bracketed(kRightBracket);
    case kLeftBraceVisual:
      return parse_bracketed(kRightBraceVisual);
    case kLeftBraceCommand:
      return parse_bracketed(kRightBraceCommand);
    case kLeftBrack:
      return parse_bracketed(kRightBrack);
    case kLeftBrace:
      break;
    default:
      return nullptr;
  }
  const DepthGuard guard(*this);
  ++position_;
  const int bars = std::exchange(open_bars_, 0);
  Expression inner = parse_expression();
  Expression lower = inner && accept(kChoose) ? parse_expression() : nullptr;
  open_bars_ = bars;
  if (!inner || !accept(kRightBrace)) return nullptr;
  return lower ? make_function("binomial", {inner, lower}) : inner;
}

Expression LatexParser::parse_component(bool functions) {
  budget_.spend();
  const TokenKind kind = peek();
  const std::size_t begin = position_;
  switch (kind) {
    case kPhantom:
    case kBoxed:
      ++position_;
      return peek() == kLeftBrace ? parse_bracketed(kRightBrace) : nullptr;
    case kNorm: {
      Expression inner = parse_bracketed(kNorm);
      return inner ? norm(inner) : nullptr;
    }
    case kBar:
    case kVert: {
      const DepthGuard guard(*this);
      ++position_;
      ++open_bars_;
      Expression inner = parse_expression();
      --open_bars_;
      if (!inner || !accept(kind)) return nullptr;
      return make_function("abs", {inner});
    }
    case kLeftVert: {
      Expression inner = parse_bracketed(kRightVert);
      return inner ? make_function("abs", {inner}) : nullptr;
    }
    case kLeftFloor: {
      Expression inner = parse_bracketed(kRightFloor);
      return inner ? make_function("floor", {inner}) : nullptr;
    }
    case kLeftCeil: {
      Expression inner = parse_bracketed(kRightCeil);
      return inner ? make_function("ceil", {inner}) : nullptr;
    }
    case kFraction:
    case kBinomial: {
      ++position_;
      Expression upper = peek() == kLeftBrace ? parse_bracketed(kRightBrace) : nullptr;
      Expression lower = upper && peek() == kLeftBrace ? parse_bracketed(kRightBrace) : nullptr;
      if (!lower) return nullptr;
      return kind == kFraction ? make_quotient(upper, lower) : make_function("binomial", {upper, lower});
    }
    case kMatrixStart:
    case kArrayStart:
    case kDeterminantStart:
      return parse_matrix();
    case kEulerE:
    case kFunction:
    case kMultiFunction:
    case kOperatorName:
    case kSquareRoot:
    case kSum:
    case kProduct:
    case kLimit:
    case kIntegral:
      return functions ? parse_function() : nullptr;
    case kGamma:
      if (functions) {
        if (Expression applied = parse_function()) return applied;
        position_ = begin;
      }
      return parse_atom();
    case kLetter:
    case kGreek:
    case kOtherSymbol:
    case kAccent:
      if (functions) {
        if (Expression applied = parse_applied_symbol()) return applied;
        position_ = begin;
      }
      return parse_atom();
    default:
      if (Expression group = parse_group()) return group;
      if (position_ != begin) return nullptr;
      return parse_atom();
  }
}

Expression LatexParser::parse_atom() {
  const DepthGuard guard(*this);
  switch (peek()) {
    case kLetter:
    case kGreek:
    case kOtherSymbol:
    case kAccent:
      return parse_symbol(/*with_superscript=*/true);
    case kInfinity:
      ++position_;
      return make_infinity(1);
    case kNumber: {
      Expression number = number_of(text());
      ++position_;
      std::string base;  // of the number system, ignored unless strict
      if (peek() == kUnderscore && !parse_subscript(base)) return nullptr;
      if (keep_bases_ && !base.empty()) return make_named(Kind::kOpaque, "base " + base, {number});
      return number;
    }
    case kPercentNumber: {
      std::string digits = without(text(), "\\% \t\n\r");
      ++position_;
      return make(Kind::kPercent, {number_of(digits)});
    }
    case kExponentNumber: {
      Expression number = number_of(text());
      ++position_;
      return number;
    }
    case kLetterE:
      ++position_;
      return make_symbol("e");
    case kDifferential: {
      std::string name = without(text().substr(1), " \t\r\n\\");
      ++position_;
      return make_symbol("d" + name);
    }
    case kGamma:
      ++position_;
      return make_leaf(Kind::kEulerGamma);
    default:
      return nullptr;
  }
}

Expression LatexParser::parse_symbol(bool with_superscript) {
  const TokenKind kind = peek();
  if (kind != kLetter && kind != kGreek && kind != kOtherSymbol && kind != kAccent) return nullptr;
  std::string name = kind == kAccent ? accent_name(text()) : std::string(trim(text()));
  ++position_;
  Expression exponent;
  std::string subscript;
  for (int part = 0; part < 2; ++part) {
    const std::size_t begin = position_;
    if (subscript.empty() && peek() == kUnderscore) {
      if (!parse_subscript(subscript)) return nullptr;
      subscript = subscript.size() > 1 ? "_{" + subscript + "}" : "_" + subscript;
    } else if (with_superscript && !exponent && peek() == kCaret) {
      exponent = parse_superscript();
      if (!exponent) {
        position_ = begin;
        break;
      }
    }
  }
  Expression symbol = name == "I" && kind == kLetter ? make_leaf(Kind::kImaginaryUnit) : symbol_of_name(name + subscript);
  return exponent ? make(Kind::kPower, {symbol, exponent}) : symbol;
}

// ^ followed by one atom or a group in braces.
Expression LatexParser::parse_superscript() {
  const DepthGuard guard(*this);
  ++position_;
  if (peek() == kLeftBrace) return parse_bracketed(kRightBrace);
  return parse_atom();
}

// _ followed by one atom or a group; `text` becomes what was written, without blanks.
bool LatexParser::parse_subscript(std::string& subscript) {
  const DepthGuard guard(*this);
  ++position_;
  std::size_t begin = position_;
  std::size_t end = 0;
  if (accept(kLeftBrace)) {
    begin = position_;
    do {
      if (!parse_expression()) return false;
    } while (accept(kComma));
    end = position_;
    if (!accept(kRightBrace)) return false;
  } else {
    if (!parse_atom()) return false;
    end = position_;
  }
  for (std::size_t i = begin; i < end; ++i) subscript += trim(tokens_[i].text);
  return true;
}

// f(x), a[b, c]: one atom, or at least two arguments; everything else in parentheses is a factor.
Expression LatexParser::parse_applied_symbol() {
  Expression function = parse_symbol(/*with_superscript=*/false);
  if (!function) return nullptr;
  Expression exponent;
  if (peek() == kCaret) {
    exponent = parse_superscript();
    if (!exponent) return nullptr;
  }
  const bool in_braces = peek() == kLeftBrace && (peek(1) == kLeftParen || peek(1) == kLeftBracket);
  if (in_braces) ++position_;
  if (peek() != kLeftParen && peek() != kLeftBracket) return nullptr;
  const std::size_t open = position_;
  const TokenKind close = peek() == kLeftParen ? kRightParen : kRightBracket;
  ++position_;
  List arguments;
  if (has_comma_[open]) {
    do {
      if (peek() == close && !arguments.empty()) break;  // a trailing comma
      Expression argument = parse_expression();
      if (!argument) return nullptr;
      arguments.push_back(std::move(argument));
    } while (accept(kComma));
  } else {
    Expression argument = parse_atom();
    if (!argument) return nullptr;
    arguments.push_back(std::move(argument));
  }
  if (!accept(close) || (in_braces && !accept(kRightBrace))) return nullptr;
  Expression applied = make_named(Kind::kOpaque, to_text(function), std::move(arguments));
  return exponent ? make(Kind::kPower, {applied, exponent}) : applied;
}

}  // namespace r1::verify

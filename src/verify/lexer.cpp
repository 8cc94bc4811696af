#include "verify/lexer.h"

#include <algorithm>
#include <initializer_list>
#include <unordered_map>
#include <utility>

namespace r1::verify {
namespace {

using enum TokenKind;
using Table = std::unordered_map<std::string_view, TokenKind>;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void add(Table& table, TokenKind kind, std::initializer_list<std::string_view> texts) {
  for (const std::string_view text : texts) table.emplace(text, kind);
}

// Commands: a backslash and letters.
const Table& commands() {
  static const Table table = [] {
    Table t;
    add(t, kSkip,
        {"\\thinspace", "\\medspace", "\\thickspace", "\\quad", "\\qquad", "\\negthinspace", "\\negmedspace", "\\negthickspace", "\\vrule",
         "\\vcenter", "\\vbox", "\\vskip", "\\vspace", "\\hfil"});
    add(t, kDivide, {"\\over", "\\div"});
    add(t, kTimes, {"\\times", "\\cdot"});
    add(t, kModulo, {"\\mod"});
    add(t, kLeftGroup, {"\\lgroup"});
    add(t, kRightGroup, {"\\rgroup"});
    add(t, kLeftBraceCommand, {"\\lbrace"});
    add(t, kRightBraceCommand, {"\\rbrace"});
    add(t, kLeftBrack, {"\\lbrack"});
    add(t, kRightBrack, {"\\rbrack"});
    add(t, kPhantom, {"\\phantom"});
    add(t, kBoxed, {"\\boxed"});
    add(t, kLeftVert, {"\\lvert"});
    add(t, kRightVert, {"\\rvert"});
    add(t, kVert, {"\\vert"});
    add(t, kLeftAngle, {"\\langle"});
    add(t, kRightAngle, {"\\rangle"});
    add(t, kLeftFloor, {"\\lfloor", "\\llcorner"});
    add(t, kRightFloor, {"\\rfloor", "\\lrcorner"});
    add(t, kLeftCeil, {"\\lceil", "\\ulcorner"});
    add(t, kRightCeil, {"\\rceil", "\\urcorner"});
    add(t, kLimit, {"\\lim"});
    add(t, kApproaches, {"\\to", "\\rightarrow", "\\Rightarrow", "\\longrightarrow", "\\Longrightarrow"});
    add(t, kIntegral, {"\\int"});
    add(t, kSum, {"\\sum"});
    add(t, kProduct, {"\\prod"});
    add(t, kFunction, {"\\log",    "\\ln",     "\\exp",    "\\sin",     "\\cos",     "\\tan",     "\\csc",   "\\sec",  "\\cot",
                       "\\arcsin", "\\arccos", "\\arctan", "\\arccsc",  "\\arcsec",  "\\arccot",  "\\sinh",  "\\cosh", "\\tanh",
                       "\\arsinh", "\\arcosh", "\\artanh", "\\arcsinh", "\\arccosh", "\\arctanh", "\\floor", "\\ceil", "\\det"});
    add(t, kGamma, {"\\Gamma", "\\gamma"});
    add(t, kMultiFunction, {"\\gcd", "\\lcm", "\\max", "\\min"});
    add(t, kSquareRoot, {"\\sqrt"});
    add(t, kFraction, {"\\frac", "\\dfrac", "\\tfrac", "\\cfrac"});
    add(t, kBinomial, {"\\binom", "\\tbinom", "\\dbinom"});
    add(t, kChoose, {"\\choose"});
    add(t, kOperatorName, {"\\operatorname"});
    add(t, kReservedWord, {"\\mathit", "\\xrightarrow", "\\xRightarrow", "\\leftrightarrow", "\\Leftrightarrow", "\\variable"});
    add(t, kEulerE, {"\\exponentialE"});
    add(t, kIn, {"\\in"});
    add(t, kNotIn, {"\\notin"});
    add(t, kEqual, {"\\equiv"});
    add(t, kApproximately, {"\\approx"});
    add(t, kLess, {"\\lt"});
    add(t, kLessEqual, {"\\leq", "\\le", "\\leqslant"});
    add(t, kGreater, {"\\gt"});
    add(t, kGreaterEqual, {"\\geq", "\\ge", "\\geqslant"});
    add(t, kNotEqual, {"\\ne", "\\neq"});
    add(t, kGreek,
        {"\\alpha",    "\\beta", "\\delta", "\\Delta",  "\\epsilon", "\\varepsilon", "\\zeta",  "\\eta",      "\\theta", "\\Theta",
         "\\vartheta", "\\iota", "\\kappa", "\\lambda", "\\Lambda",  "\\mu",         "\\nu",    "\\xi",       "\\Xi",    "\\omicron",
         "\\pi",       "\\Pi",   "\\varpi", "\\rho",    "\\varrho",  "\\sigma",      "\\Sigma", "\\varsigma", "\\tau",   "\\upsilon",
         "\\Upsilon",  "\\phi",  "\\Phi",   "\\varphi", "\\chi",     "\\psi",        "\\Psi",   "\\omega",    "\\Omega"});
    add(t, kOtherSymbol, {"\\Bbbk",          "\\wp",      "\\nabla",          "\\bigstar",
                          "\\angle",         "\\nexists", "\\diagdown",       "\\measuredangle",
                          "\\eth",           "\\diagup",  "\\sphericalangle", "\\clubsuit",
                          "\\varnothing",    "\\Diamond", "\\complement",     "\\diamondsuit",
                          "\\imath",         "\\Finv",    "\\triangledown",   "\\heartsuit",
                          "\\jmath",         "\\Game",    "\\triangle",       "\\spadesuit",
                          "\\ell",           "\\hbar",    "\\vartriangle",    "\\hslash",
                          "\\blacklozenge",  "\\lozenge", "\\blacksquare",    "\\mho",
                          "\\blacktriangle", "\\sharp",   "\\prime",          "\\Im",
                          "\\flat",          "\\square",  "\\backprime",      "\\Re",
                          "\\natural",       "\\surd",    "\\circledS"});
    add(t, kInfinity, {"\\infty"});
    add(t, kPartial, {"\\partial"});
    add(t, kUnion, {"\\cup"});
    add(t, kIntersection, {"\\cap"});
    add(t, kSetMinus, {"\\setminus"});
    add(t, kPlusMinus, {"\\pm", "\\mp"});
    add(t, kEmptySet, {"\\emptyset"});
    add(t, kSuperset, {"\\supseteq"});
    add(t, kSubset, {"\\subseteq"});
    add(t, kAccent, {"\\acute",    "\\bar",        "\\overline", "\\breve",    "\\check",      "\\widecheck",  "\\dot",
                     "\\ddot",     "\\grave",      "\\hat",      "\\tilde",    "\\widetilde",  "\\vec",        "\\overrightarrow",
                     "\\bm",       "\\boldsymbol", "\\text",     "\\textit",   "\\textbf",     "\\textnormal", "\\mathbb",
                     "\\mathbin",  "\\mathbf",     "\\mathcal",  "\\mathfrak", "\\mathnormal", "\\mathop",     "\\mathord",
                     "\\mathring", "\\mathrm",     "\\mathscr",  "\\mathsf",   "\\mathtt",     "\\mbox"});
    return t;
  }();
  return table;
}

// Everything else that is fixed; no entry is longer than kMaxFixed bytes.
constexpr std::size_t kMaxFixed = 9;
const Table& fixed_texts() {
  static const Table table = [] {
    Table t;
    add(t, kSkip, {"\\,", "\\:", "\\;", "\\!", "\\$"});
    add(t, kPlus, {"+", "∔", "⊕", "⊞"});
    add(t, kMinus, {"-", "−", "∸"});
    add(t, kTimes, {"*", "×", "⋅", "⋄", "⊡", "∗", "⋆", "∘", "∙", "⊗", "⊠", "⋈", "⋉", "⋊"});
    add(t, kDivide, {"/", "÷", "∕"});
    add(t, kLeftParen, {"("});
    add(t, kRightParen, {")"});
    add(t, kLeftParenVisual, {"\\("});
    add(t, kRightParenVisual, {"\\)"});
    add(t, kLeftBrace, {"{"});
    add(t, kRightBrace, {"}"});
    add(t, kLeftBraceVisual, {"\\{"});
    add(t, kRightBraceVisual, {"\\}"});
    add(t, kEmptySet, {"\\{\\}", "∅"});
    add(t, kLeftBracket, {"["});
    add(t, kRightBracket, {"]"});
    add(t, kBar, {"|"});
    add(t, kNorm, {"\\|"});
    add(t, kColumnBreak, {"&"});
    add(t, kRowBreak, {"\\\\"});
    add(t, kUnderscore, {"_"});
    add(t, kCaret, {"^"});
    add(t, kTranspose, {"^T", "^{T}", "'"});
    add(t, kDegree, {"^°", "^{°}"});
    add(t, kColon, {":"});
    add(t, kSemicolon, {";"});
    add(t, kComma, {","});
    add(t, kPeriod, {"."});
    add(t, kBang, {"!"});
    add(t, kAssign, {"=", "≡", "≣", "≟", "≎", "≏", "≐", "≑", "≒", "≓", "≔", "≕", "≖", "≗"});
    add(t, kEqual, {"=="});
    add(t, kApproximately, {"~=", "≈", "≊", "≋", "≃", "≅"});
    add(t, kLess, {"<", "≪", "≺", "⋖"});
    add(t, kLessEqual, {"≤", "≦", "≲", "≾", "<="});
    add(t, kGreater, {">", "≫", "≻", "⋗"});
    add(t, kGreaterEqual, {"≥", "≧", "≳", "≿", ">="});
    add(t, kNotEqual, {"!=", "!==", "≠", "≁", "≄", "≇", "≉", "≢"});
    add(t, kReservedWord, {"<->", "<=>"});
    add(t, kGreek, {"α", "β", "γ", "Γ", "δ", "Δ", "ε", "ϵ", "ζ", "η", "θ", "Θ", "ϑ", "ι", "κ", "λ", "Λ", "μ", "ν", "ξ", "Ξ",
                    "ο", "π", "Π", "ϖ", "ρ", "ϱ", "σ", "Σ", "ς", "τ", "υ", "Υ", "φ", "Φ", "ϕ", "χ", "ψ", "Ψ", "ω", "Ω"});
    add(t, kOtherSymbol, {"ℵ", "ℶ", "ℷ", "ℸ"});
    add(t, kNamedSet, {"ℕ", "ℤ", "ℚ", "ℝ", "ℂ"});
    add(t, kUnion, {"∪"});
    add(t, kIntersection, {"∩"});
    add(t, kSetMinus, {"∖"});
    add(t, kPlusMinus, {"±", "∓"});
    add(t, kSuperset, {"⊇"});
    add(t, kSubset, {"⊆"});
    add(t, kNotIn, {"∉"});
    return t;
  }();
  return table;
}

// Bare words that are tokens of their own and therefore no products of letters; they only mean something in \operatorname.
const Table& reserved_words() {
  static const Table table = [] {
    Table t;
    add(t, kReservedWord,
        {"arsinh",    "arcsinh", "arcosh",  "arccosh",     "artanh",    "arctanh",     "gcd",        "lcm",          "floor",
         "ceil",      "eye",     "zeros",   "ones",        "cols",      "rows",        "diag",       "norm",         "rank",
         "trace",     "tr",      "rref",    "hstack",      "vstack",    "orth",        "ortho",      "orthogonal",   "orthogonalize",
         "nullspace", "eig",     "eigen",   "diagonalize", "eigenvals", "eigenvalues", "eigenvects", "eigenvectors", "svd",
         "SVD",       "matrix",  "pmatrix", "bmatrix",     "vmatrix"});
    return t;
  }();
  return table;
}

// Fixed texts that hold a command or an environment.
constexpr std::pair<std::string_view, TokenKind> kCompound[] = {
    {"\\begin{matrix}", kMatrixStart},
    {"\\begin{pmatrix}", kMatrixStart},
    {"\\begin{bmatrix}", kMatrixStart},
    {"\\end{matrix}", kMatrixEnd},
    {"\\end{pmatrix}", kMatrixEnd},
    {"\\end{bmatrix}", kMatrixEnd},
    {"\\end{array}", kArrayEnd},
    {"\\begin{vmatrix}", kDeterminantStart},
    {"\\end{vmatrix}", kDeterminantEnd},
    {"\\mathbb{N}", kNamedSet},
    {"\\mathbb{Z}", kNamedSet},
    {"\\mathbb{Q}", kNamedSet},
    {"\\mathbb{R}", kNamedSet},
    {"\\mathbb{C}", kNamedSet},
    {"\\lbrace\\rbrace", kEmptySet},
    {"\\not\\equiv", kNotEqual},
    {"^\\circle", kDegree},
    {"^\\circ", kDegree},
    {"^\\degree", kDegree},
    {"^{\\circ}", kDegree},
    {"^{\\degree}", kDegree},
    {"^{\\circle}", kDegree},
};

struct Match {
  TokenKind kind = kEnd;
  std::size_t length = 0;
  void offer(TokenKind other, std::size_t other_length) {
    if (other_length > length) *this = {other, other_length};
  }
};

std::size_t digits_end(std::string_view text, std::size_t position) {
  while (position < text.size() && is_digit(text[position])) ++position;
  return position;
}

void offer_number(std::string_view text, std::size_t begin, Match& match) {
  std::size_t end = digits_end(text, begin);
  if (end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) end = digits_end(text, end + 1);
  else if (end == begin) return;
  match.offer(kNumber, end - begin);
  if (end < text.size() && text[end] == 'E') {
    std::size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '-' || text[exponent] == '+')) ++exponent;
    const std::size_t exponent_end = digits_end(text, exponent);
    if (exponent_end > exponent) match.offer(kExponentNumber, exponent_end - begin);
  }
  std::size_t percent = end;
  if (percent < text.size() && is_space(text[percent])) ++percent;
  if (text.substr(percent).starts_with("\\%")) match.offer(kPercentNumber, percent + 2 - begin);
  else if (percent < text.size() && text[percent] == '%') match.offer(kPercentNumber, percent + 1 - begin);
}

void offer_accent(std::string_view text, std::size_t begin, std::size_t name_end, Match& match) {
  std::size_t open = name_end;
  if (open < text.size() && is_space(text[open])) ++open;
  if (open >= text.size() || text[open] != '{') return;
  const std::size_t close = text.find('}', open);
  if (close != std::string_view::npos) match.offer(kAccent, close + 1 - begin);
}

void offer_command(std::string_view text, std::size_t begin, Match& match) {
  std::size_t end = begin + 1;
  while (end < text.size() && is_letter(text[end]) && end - begin < 20) ++end;
  for (std::size_t length = end - begin; length > 1; --length) {
    const auto found = commands().find(text.substr(begin, length));
    if (found == commands().end()) continue;
    if (found->second == kAccent) {
      offer_accent(text, begin, begin + length, match);
      continue;
    }
    if (found->first == "\\infty" && text.substr(begin + length).starts_with("%")) match.offer(kInfinity, length + 1);
    else if (found->first == "\\infty" && text.substr(begin + length).starts_with("\\%")) match.offer(kInfinity, length + 2);
    else if (found->second == kGamma && text.substr(begin + length).starts_with(" "))
      match.offer(kGreek, length + 1);  // the constant; without the blank it may be the function
    else match.offer(found->second, length);
    if (found->first == "\\mathit") offer_accent(text, begin, begin + length, match);
    break;
  }
  if (text.substr(begin).starts_with("\\begin{array}{")) {
    std::size_t close = begin + 14;
    while (close < text.size() && (text[close] == 'c' || text[close] == 'l' || text[close] == 'r')) ++close;
    if (close < text.size() && text[close] == '}') match.offer(kArrayStart, close + 1 - begin);
  }
}

void offer_letters(std::string_view text, std::size_t begin, Match& match) {
  const char first = text[begin];
  match.offer(first == 'e' ? kEulerE : first == 'E' ? kLetterE : kLetter, 1);
  if (first == 'd') {
    std::size_t next = begin + 1;
    while (next < text.size() && is_space(text[next])) ++next;
    if (next < text.size() && is_letter(text[next])) {
      match.offer(kDifferential, next + 1 - begin);
    } else if (next + 1 < text.size() && text[next] == '\\' && is_letter(text[next + 1])) {
      std::size_t end = next + 1;
      while (end < text.size() && is_letter(text[end])) ++end;
      match.offer(kDifferential, end - begin);
    }
  }
  std::size_t run = 1;
  while (run < 13 && begin + run < text.size() && is_letter(text[begin + run])) ++run;
  for (std::size_t length = run; length > 1; --length)
    if (reserved_words().contains(text.substr(begin, length))) {
      match.offer(kReservedWord, length);
      break;
    }
}

}  // namespace

std::optional<std::vector<Token>> lex_latex(std::string_view text) {
  std::vector<Token> tokens;
  std::size_t position = 0;
  while (position < text.size()) {
    const char first = text[position];
    if (is_space(first)) {
      ++position;
      continue;
    }
    Match match;
    if (is_digit(first) || first == '.') offer_number(text, position, match);
    if (is_letter(first)) {
      offer_letters(text, position, match);
    } else {
      if (first == '\\' || first == '^')
        for (const auto& [fixed, kind] : kCompound)
          if (text.substr(position).starts_with(fixed)) match.offer(kind, fixed.size());
      if (first == '\\') offer_command(text, position, match);
      for (std::size_t length = std::min(kMaxFixed, text.size() - position); length > match.length; --length) {
        const auto found = fixed_texts().find(text.substr(position, length));
        if (found == fixed_texts().end()) continue;
        match.offer(found->second, length);
        break;
      }
    }
    if (match.length == 0) return std::nullopt;
    if (match.kind != kSkip) tokens.push_back({match.kind, text.substr(position, match.length)});
    position += match.length;
  }
  tokens.push_back({kEnd, text.substr(text.size())});
  return tokens;
}

}  // namespace r1::verify

// Trailing units, as the library of Open R1 drops them. A point in a unit stands for any character, as it does there.
#include <algorithm>
#include <string>
#include <string_view>

#include "verify/normalise.h"
#include "verify/text_scan.h"

namespace r1::verify {
namespace {

constexpr std::string_view kUnits[] = {
    // length, area, volume
    "m", "cm", "dm", "mm", "km", "mt", "mtr", "rd", "ft", "feet", "inch", "inches", "mile", "yard", "metre", "meter", "acre", "hectare",
    "m square", "sq", "sq m", "sq . m", "sq inch", "pi sq m", "π r 2", "square", "cube", "cubic", "cc", "cm 2", "cu cm", "cu . m", "∏ cm ³",
    "l", "lt", "gal", "gallon", "liter", "litre", "v â € ™",
    // time, speed, angle
    "s", "s .", "sec", "second", "min", "minute", "minw", "h", "hr", "hour", "day", "month", "yr", "year", "noon", "am", "pm", "a . m",
    "p . m", "kmh", "kmph", "mph", "deg", "degree", "° f",
    // mass, money, other quantities
    "g", "gm", "kg", "lb", "pound", "ohm", "cent", "coin", "rupee", "rs", "rs .", "profit of rs", "profit", "gain", "loss", "sue", "c", "d",
    "t", "o", "th", "st", "ab", "bc", "mp", "a .", "b .", "c .", "d .", "e .", "f .", "g .", "h .", "q .",
    // things and words
    "integerpoint", "digit", "number", "multiple", "prime", "ratio", "edge", "unit", "mark", "rounds", "per", "by", "are", "more", "less",
    "pure", "rise", "excess", "increase", "decrease", "no change", "Surface", "east", "west", " m east", "way", "meal", "pie", "apple",
    "toy", "tile", "monkey", "student", "soldier", "children ticket", "man", "men", "woman", "women"};

/// The text ends with the unit; 0 or the number of bytes.
std::size_t unit_length_at_end(std::string_view text, std::string_view unit) {
  std::size_t i = unit.size(), j = text.size();
  while (i > 0) {
    if (j == 0) return 0;
    --i;
    --j;
    if (unit[i] == '.')
      while (j > 0 && is_continuation(text[j])) --j;
    else if (unit[i] != text[j]) return 0;
  }
  return text.size() - j;
}

/// Where the text ends when its unit is dropped, or npos.
std::size_t end_without_unit(std::string_view text, bool strict) {
  std::size_t best = std::string_view::npos;
  // White space behind the unit belongs to it, but a unit may also be preceded by any amount of it; the shortest rest wins.
  std::size_t content_end = text.size();
  while (const std::size_t length = space_length_before(text, content_end)) content_end -= length;
  const std::string_view content = text.substr(0, content_end);
  for (const std::string_view plural : {std::string_view(""), std::string_view("s"), std::string_view("es")}) {
    if (!content.ends_with(plural)) continue;
    const std::string_view stem = content.substr(0, content.size() - plural.size());
    for (const std::string_view unit : kUnits) {
      const std::size_t length = unit_length_at_end(stem, unit);
      if (length == 0 || (strict && unit.size() == 1)) continue;
      std::size_t before = stem.size() - length;
      std::size_t first_space = before;
      while (const std::size_t space = space_length_before(stem, first_space)) first_space -= space;
      if (first_space > 0 && (is_ascii_digit(stem[first_space - 1]) || stem[first_space - 1] == '}')) best = std::min(best, first_space);
      else if (first_space < before) best = std::min(best, first_space + space_length(stem, first_space));
    }
  }
  return best;
}

/// Start of a trailing \text{…} or \mbox{…} with an optional power, or npos.
std::size_t trailing_text_begin(std::string_view text) {
  std::string_view rest = text;
  if (rest.size() >= 4 && rest.ends_with('}') && is_ascii_digit(rest[rest.size() - 2]) && rest.substr(rest.size() - 4, 2) == "{^")
    rest.remove_suffix(4);
  else if (rest.size() >= 2 && is_ascii_digit(rest.back()) && rest[rest.size() - 2] == '^') rest.remove_suffix(2);
  for (const std::string_view candidate : {rest, text}) {
    if (!candidate.ends_with('}')) continue;
    const std::size_t begin = std::min(candidate.find("\\text{"), candidate.find("\\mbox{"));
    if (begin != std::string_view::npos && begin + 6 < candidate.size()) return begin;
  }
  return std::string_view::npos;
}

}  // namespace

std::string drop_units(std::string text, bool strict) {
  if (const std::size_t begin = trailing_text_begin(text); begin != std::string_view::npos) {
    const std::string_view rest = strip_spaces(std::string_view(text).substr(0, begin));
    if (!rest.empty()) text = std::string(rest);
  } else if (const std::string_view stripped = strip_spaces(text); !stripped.empty()) {
    text = std::string(stripped);
  }
  for (int round = 0; round < 2; ++round) {
    const std::size_t end = end_without_unit(text, strict);
    if (end != std::string_view::npos && end > 0) text.resize(end);
  }
  return text;
}

}  // namespace r1::verify

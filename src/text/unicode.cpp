#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/strings.h"

namespace r1::text {
namespace {

struct ClassRange {
  char32_t first, last;
  std::uint8_t classes;
};
#include "text/unicode_additions.inc"

/// Marks that are newer than the data of the reference's normaliser: it takes them for starters, so they keep their place.
bool is_starter_of_the_reference(char32_t code_point) {
  if (code_point < 0x7FD) return false;
  const auto holds = [code_point](const ClassRange& range) { return code_point >= range.first && code_point <= range.last; };
  return std::any_of(std::begin(kStartersOfTheReference), std::end(kStartersOfTheReference), holds) ||
         std::any_of(std::begin(kAddedClasses), std::end(kAddedClasses),
                     [&](const ClassRange& range) { return range.classes == kMark && holds(range); });
}

std::uint8_t classes_of(char32_t code_point) {
  std::uint8_t classes = 0;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      classes = kLetter;
      break;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      classes = kMark;
      break;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      classes = kNumber;
      break;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      classes = kPunctuation;
      break;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      classes = kSymbol;
      break;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      classes = kWhiteSpace;
      break;
    default:
      break;
  }
  if ((code_point >= 0x09 && code_point <= 0x0D) || code_point == 0x85) classes |= kWhiteSpace;
  if (code_point == '\r' || code_point == '\n') classes |= kNewline;
  return classes;
}

/// One bit per code point: set when the code point is untouched by NFC whatever stands around it, apart from marks that
/// follow it: combining class 0, its own NFC, and never the second half of a composition.
class NfcInertTable {
 public:
  static const NfcInertTable& instance() {
    static const NfcInertTable table;
    return table;
  }
  bool inert(char32_t code_point) const { return (bits_[code_point >> 3] >> (code_point & 7) & 1) != 0; }

 private:
  NfcInertTable() : bits_(0x110000 / 8, 0xFF) {
    const auto clear = [this](char32_t code_point) { bits_[code_point >> 3] &= static_cast<std::uint8_t>(~(1u << (code_point & 7))); };
    for (char32_t code_point = 0x80; code_point < 0x110000; ++code_point) {
      const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point));
      if (property->combining_class != 0) clear(code_point);
      if (property->decomp_type != 0 || property->decomp_seqindex == UINT16_MAX) continue;
      utf8proc_int32_t parts[8];
      int boundary = 0;
      const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts, 8, UTF8PROC_DECOMPOSE, &boundary);
      if (count < 1 || count > 8) continue;
      for (utf8proc_ssize_t i = 1; i < count; ++i) clear(static_cast<char32_t>(parts[i]));
      // A code point that composition does not give back (a singleton, a composition exclusion) is never part of NFC.
      utf8proc_int32_t composed[8];
      std::memcpy(composed, parts, sizeof(parts));
      const auto length = utf8proc_normalize_utf32(composed, count, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
      if (length != 1 || composed[0] != static_cast<utf8proc_int32_t>(code_point)) clear(code_point);
    }
    for (char32_t jamo = 0x1161; jamo <= 0x11C2; ++jamo) clear(jamo);  // Hangul vowels and final consonants
  }
  std::vector<std::uint8_t> bits_;
};

/// Decomposition, canonical order and, when asked for, composition of a whole text. The library's own ordering of marks is
/// quadratic in their number, so they are ordered here with a stable sort.
std::string map_with(std::string_view text, bool compatibility, bool compose) {
  const auto options = static_cast<utf8proc_option_t>(compatibility ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE);
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    const auto code_point = static_cast<utf8proc_int32_t>(next_code_point(text, position));
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const auto count = utf8proc_decompose_char(code_point, parts, 32, options, &boundary);
    R1_ASSERT(count >= 0 && count <= 32, "a code point decomposes into more than 32");
    points.insert(points.end(), parts, parts + count);
  }
  const auto combining_class = [](utf8proc_int32_t code_point) -> int {
    const int known = utf8proc_get_property(code_point)->combining_class;
    return known != 0 && is_starter_of_the_reference(static_cast<char32_t>(code_point)) ? 0 : known;
  };
  for (std::size_t begin = 0; begin < points.size();) {
    if (combining_class(points[begin]) == 0) {
      ++begin;
      continue;
    }
    std::size_t end = begin + 1;
    while (end < points.size() && combining_class(points[end]) != 0) ++end;
    std::stable_sort(points.begin() + static_cast<std::ptrdiff_t>(begin), points.begin() + static_cast<std::ptrdiff_t>(end),
                     [&](utf8proc_int32_t a, utf8proc_int32_t b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
  std::string result;
  result.reserve(text.size());
  // Composition stops at starters that the library takes for marks: it runs on the stretches between them.
  for (std::size_t begin = 0; begin < points.size();) {
    std::size_t end = begin + 1;
    while (end < points.size() &&
           (utf8proc_get_property(points[end])->combining_class == 0 || !is_starter_of_the_reference(static_cast<char32_t>(points[end]))))
      ++end;
    auto length = static_cast<utf8proc_ssize_t>(end - begin);
    if (compose) {
      length = utf8proc_normalize_utf32(points.data() + begin, length, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
      R1_ASSERT(length >= 0, "Unicode composition failed");
    }
    for (utf8proc_ssize_t i = 0; i < length; ++i) append_utf8(result, static_cast<char32_t>(points[begin + static_cast<std::size_t>(i)]));
    begin = end;
  }
  return result;
}

/// Offset of the first code point at or after `position` that is not inert, and in `segment` the offset of the code point before it.
std::size_t find_not_inert(std::string_view text, std::size_t position, std::size_t& segment) {
  const NfcInertTable& table = NfcInertTable::instance();
  segment = position;
  std::size_t previous = position;
  while (position < text.size()) {
    if (static_cast<unsigned char>(text[position]) < 0xCC) {  // below U+0300 everything is inert
      previous = position;
      position += static_cast<unsigned char>(text[position]) < 0x80 ? 1 : 2;
      continue;
    }
    const DecodedChar character = decode_char(text.data() + position);
    if (!table.inert(character.code_point)) {
      segment = previous;
      return position;
    }
    previous = position;
    position += character.length;
  }
  return text.size();
}

}  // namespace

CharClassTable::CharClassTable() {
  std::map<std::string, std::uint16_t> known_blocks;
  std::string block(256, '\0');
  for (char32_t first = 0; first < 0x110000; first += 256) {
    for (char32_t i = 0; i < 256; ++i) block[i] = static_cast<char>(classes_of(first + i));
    for (const ClassRange& range : kAddedClasses)
      for (char32_t c = std::max(first, range.first); c <= std::min<char32_t>(first + 255, range.last); ++c)
        block[c - first] = static_cast<char>(range.classes);
    const auto [entry, is_new] = known_blocks.try_emplace(block, static_cast<std::uint16_t>(known_blocks.size()));
    R1_ASSERT(entry->second < kMaxBlocks, "more distinct Unicode blocks than the class table holds");
    if (is_new) std::memcpy(blocks_ + (std::size_t{entry->second} << 8), block.data(), 256);
    block_of_[first >> 8] = entry->second;
  }
}

const CharClassTable& CharClassTable::instance() {
  static const CharClassTable table;
  return table;
}

bool is_surely_nfc(std::string_view valid_utf8) {
  unsigned char highest = 0;
  for (const char byte : valid_utf8) highest = std::max(highest, static_cast<unsigned char>(byte));
  if (highest < 0xCC) return true;
  std::size_t segment = 0;
  return find_not_inert(valid_utf8, 0, segment) == valid_utf8.size();
}

std::string normalize(std::string_view valid_utf8, NormalizationForm form) {
  switch (form) {
    case NormalizationForm::kNfd:
      return map_with(valid_utf8, false, false);
    case NormalizationForm::kNfkc:
      return map_with(valid_utf8, true, true);
    case NormalizationForm::kNfkd:
      return map_with(valid_utf8, true, false);
    case NormalizationForm::kNfc:
      break;
  }
  // Only stretches around code points that can change are normalised: from the starter before them to the next inert one.
  std::string result;
  result.reserve(valid_utf8.size());
  const NfcInertTable& table = NfcInertTable::instance();
  std::size_t done = 0;
  while (done < valid_utf8.size()) {
    std::size_t begin = done;
    std::size_t end = find_not_inert(valid_utf8, done, begin);
    if (end == valid_utf8.size()) break;
    while (end < valid_utf8.size()) {
      const DecodedChar character = decode_char(valid_utf8.data() + end);
      if (table.inert(character.code_point)) break;
      end += character.length;
    }
    result.append(valid_utf8.substr(done, begin - done));
    result += map_with(valid_utf8.substr(begin, end - begin), false, true);
    done = end;
  }
  result.append(valid_utf8.substr(done));
  return result;
}

std::string to_lower(std::string_view valid_utf8) {
  std::string result;
  result.reserve(valid_utf8.size());
  for (std::size_t position = 0; position < valid_utf8.size();) {
    const char32_t code_point = next_code_point(valid_utf8, position);
    if (code_point == 0x130) {
      result += "i\xCC\x87";
    } else {
      append_utf8(result, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
    }
  }
  return result;
}

std::string to_upper(std::string_view valid_utf8) {
  std::string result;
  result.reserve(valid_utf8.size());
  for (std::size_t position = 0; position < valid_utf8.size();) {
    const char32_t code_point = next_code_point(valid_utf8, position);
    if (code_point == 0xDF) {
      result += "SS";
    } else {
      append_utf8(result, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code_point))));
    }
  }
  return result;
}

}  // namespace r1::text

#include "text/token_decoder.h"

#include "base/strings.h"
#include "text/bpe.h"

namespace r1::text {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string decoded_token(std::string_view content, const DecoderSettings& settings, bool& is_fallback_byte) {
  is_fallback_byte = false;
  if (settings.byte_level) {
    std::string bytes;
    for (std::size_t position = 0; position < content.size();) {
      const int byte = Bpe::char_to_byte(next_code_point(content, position));
      if (byte < 0) return std::string(content);  // not spelled in the alphabet: it stands for itself
      bytes += static_cast<char>(byte);
    }
    return bytes;
  }
  std::string text(content);
  for (const auto& [from, to] : settings.replace)
    if (!from.empty()) text = replace_all(std::move(text), from, to);
  if (settings.byte_fallback && text.size() == 6 && text.starts_with("<0x") && text[5] == '>') {
    const int high = hex_digit(text[3]), low = hex_digit(text[4]);
    if (high >= 0 && low >= 0) {
      is_fallback_byte = true;
      return std::string(1, static_cast<char>(high * 16 + low));
    }
  }
  if (settings.strip_every_token && !settings.strip_content.empty())
    for (int i = 0; i < settings.strip_start && text.starts_with(settings.strip_content); ++i) text.erase(0, settings.strip_content.size());
  return text;
}

std::size_t complete_utf8_prefix(std::string_view bytes) {
  // Only the last three bytes can belong to a sequence that is not finished.
  const std::size_t size = bytes.size();
  for (std::size_t back = 1; back <= 3 && back <= size; ++back) {
    const auto lead = static_cast<unsigned char>(bytes[size - back]);
    if ((lead & 0xC0) == 0x80) continue;
    const std::size_t needed = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xC2 && lead < 0xE0 ? 2 : 1;
    if (needed <= back) return size;
    if (back >= 2) {  // the second byte may already rule the sequence out
      const auto second = static_cast<unsigned char>(bytes[size - back + 1]);
      const bool possible = !((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second >= 0xA0) || (lead == 0xF0 && second < 0x90) ||
                              (lead == 0xF4 && second >= 0x90));
      if (!possible) return size;
    }
    return size - back;
  }
  return size;
}

}  // namespace r1::text

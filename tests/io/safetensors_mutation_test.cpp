// Random damage of a safetensors file: each mutant is opened or refused with an Error, never anything else (run it in the
// asan preset for the memory part).
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "base/rng.h"
#include "io/safetensors_header.h"

namespace r1::io {
namespace {

std::string with_length(const std::string& header, const std::string& data) {
  std::string file;
  for (std::size_t i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file + header + data;
}

const std::string kHeader =
    R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b.weight":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"c":{"dtype":"I64","shape":[],"data_offsets":[32,40]}})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

std::string mutant(RandomStream& random) {
  std::string header = kHeader, data(40, 'd');
  static const char* const kTokens[] = {"[0,24]",   "[24,32]", "[2,3]", "[4]", "\"F32\"", "\"BF16\"", "a.weight",
                                        "b.weight", "[]",      "{",     "}",   ",",       ":",        "\"pt\""};
  static const char* const kLies[] = {"[0,0]",
                                      "[24,23]",
                                      "[18446744073709551615,1]",
                                      "[-1,24]",
                                      "[1e300]",
                                      "[4294967296,4294967296]",
                                      "\"F64\"",
                                      "\"\"",
                                      "NaN",
                                      "null",
                                      "[[[[[[[[[[[[]]]]]]]]]]]]",
                                      "{\"a\":{}}",
                                      "a.weight",
                                      "\\u0000",
                                      "\xFF",
                                      "[9223372036854775807]",
                                      "[0]",
                                      "",
                                      "{{{{{{{{{{{{",
                                      "[0,9007199254740993]"};
  std::string file;
  switch (random.below(6)) {
    case 0:  // a lie in the header, the length field told the truth
      header = replaced(header, kTokens[random.below(std::size(kTokens))], kLies[random.below(std::size(kLies))]);
      file = with_length(header, data);
      break;
    case 1:  // flipped bits anywhere
      file = with_length(header, data);
      for (std::uint64_t i = 0, flips = 1 + random.below(4); i < flips; ++i) {
        file[random.below(file.size())] ^= static_cast<char>(1 << random.below(8));
      }
      break;
    case 2:  // truncated
      file = with_length(header, data);
      file.resize(random.below(file.size()));
      break;
    case 3:  // a forged length
      file = with_length(header, data);
      for (std::size_t i = 0; i < 8; ++i) {
        if (random.below(2) == 0) file[i] = static_cast<char>(random.below(256));
      }
      break;
    case 4:  // a piece of the header twice
      header.insert(random.below(header.size()), header.substr(random.below(header.size()), random.below(60)));
      file = with_length(header, data);
      break;
    default:  // another digit
      for (int i = 0; i < 3; ++i) {
        const std::size_t at = header.find_first_of("0123456789", random.below(header.size()));
        if (at != std::string::npos) header[at] = static_cast<char>('0' + random.below(10));
      }
      file = with_length(header, data);
  }
  return file;
}

TEST(SafetensorsMutation, EveryMutantIsReadSafelyOrRefused) {
  const int count = 100'000;
  RandomStream random(1, "safetensors mutants");
  int opened = 0, refused = 0;
  for (int i = 0; i < count; ++i) {
    const std::string file = mutant(random);
    try {
      const SafetensorsHeader header = parse_safetensors_header(std::as_bytes(std::span<const char>(file)), "mutant");
      std::uint64_t reached = 0;
      for (const HeaderEntry& entry : header.entries) {
        ASSERT_EQ(entry.begin, reached);
        ASSERT_EQ(*tensor_bytes(entry.shape, entry.dtype), entry.end - entry.begin);
        reached = entry.end;
      }
      ASSERT_EQ(header.data_begin + reached, file.size());
      ++opened;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kModel);
      ++refused;
    }
  }
  // Flips in tensor bytes and names are invisible: the format has no checksum. Most damage is not.
  EXPECT_GT(refused, count / 2);
  EXPECT_GT(opened, 0);
}

}  // namespace
}  // namespace r1::io

#include "base/hash.h"

#include <gtest/gtest.h>

namespace r1 {
namespace {

// FIPS 180-4's examples.
TEST(Sha256, AgreesWithTheStandard) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

// The published digest of the empty input.
TEST(Xxh3, AgreesWithThePublishedDigestOfNothing) {
  EXPECT_EQ(xxh3_64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(Xxh3Stream().hex_digest(), "99aa06d3014798d86001c324468d497f");
}

TEST(Xxh3, DependsOnEveryByteAndOnTheSeed) {
  EXPECT_NE(xxh3_64("abc"), xxh3_64("abd"));
  EXPECT_NE(xxh3_64("abc"), xxh3_64("abc", 1));
  EXPECT_NE(xxh3_64(std::string_view("a\0b", 3)), xxh3_64(std::string_view("a\0c", 3)));
}

TEST(Xxh3Stream, DoesNotDependOnHowTheInputIsCut) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 31);
  Xxh3Stream whole, pieces;
  whole.update(text);
  for (std::size_t at = 0, size = 1; at < text.size(); at += size, size = size % 97 + 1)
    pieces.update(std::string_view(text).substr(at, size));
  EXPECT_EQ(whole.hex_digest(), pieces.hex_digest());
  EXPECT_EQ(whole.hex_digest().size(), 32);
  const std::string before = pieces.hex_digest();
  pieces.update("x");
  EXPECT_NE(pieces.hex_digest(), before);
}

}  // namespace
}  // namespace r1

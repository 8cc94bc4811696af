#include "base/strings.h"

#include <gmock/gmock.h>

namespace r1 {
namespace {

using ::testing::ElementsAre;

TEST(Split, KeepsEmptyPartsAndJoinUndoesIt) {
  EXPECT_THAT(split("a,,b,", ','), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_EQ(join(split("a,,b,", ','), ","), "a,,b,");
}

TEST(Trim, TakesWhiteSpaceFromBothEnds) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n "), "");
}

TEST(ReplaceAll, DoesNotReadWhatItWrote) { EXPECT_EQ(replace_all("aXbX", "X", "XX"), "aXXbXX"); }

TEST(ParseInt, TakesTheWholeTextOrNothing) {
  EXPECT_EQ(parse_int("-12"), -12);
  EXPECT_EQ(parse_int("+12"), 12);
  EXPECT_EQ(parse_int("9223372036854775807"), INT64_MAX);
  for (const char* text : {"", "+", "-", "1.5", "12a", " 1", "9223372036854775808", "0x10"})
    EXPECT_EQ(parse_int(text), std::nullopt) << text;
}

TEST(ParseDouble, TakesTheWholeTextOrNothing) {
  EXPECT_EQ(parse_double("1e-05"), 1e-5);
  EXPECT_EQ(parse_double("-.5"), -0.5);
  EXPECT_EQ(parse_double("3"), 3.0);
  for (const char* text : {"", "1e", "1.5x", "one"}) EXPECT_EQ(parse_double(text), std::nullopt) << text;
}

TEST(NearestName, FindsATypoAndIgnoresTheKindOfDash) {
  const std::vector<std::string> names = {"learning_rate", "gradient_accumulation_steps", "seed"};
  EXPECT_EQ(nearest_name("gradient_acumulation_steps", names), "gradient_accumulation_steps");
  EXPECT_EQ(nearest_name("learning-rate", names), "learning_rate");
  EXPECT_EQ(nearest_name("sede", names), "seed");
  EXPECT_EQ(nearest_name("completely_different_thing", names), std::nullopt);
}

TEST(Format, WritesUnitsThatPeopleRead) {
  EXPECT_EQ(format_bytes(640), "640 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(25.0 * (1 << 30)), "25.0 GiB");
  EXPECT_EQ(format_seconds(0.5), "0.50 s");
  EXPECT_EQ(format_seconds(12.34), "12.3 s");
  EXPECT_EQ(format_seconds(245), "4 min 05 s");
  EXPECT_EQ(format_seconds(7380), "2 h 03 min");
  EXPECT_EQ(format_count(640), "640");
  EXPECT_EQ(format_count(25.3e6), "25.3 M");
}

TEST(Utf8, RefusesWhatRfc3629Refuses) {
  for (const char* valid :
       {"", "abc", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(first_invalid_utf8(valid), std::nullopt) << valid;
  }
  // Overlong forms, surrogates, over U+10FFFF, a lone continuation, cut sequences.
  for (const char* bad : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\x80", "\xC2", "\xE2\x82", "\xF0\x9F\x98", "\xFF"}) {
    EXPECT_EQ(first_invalid_utf8(std::string("ab") + bad), 2) << bad;
  }
}

// The practice of Unicode 15, section 3.9 (table 3-8), which Python's errors="replace" follows.
TEST(Utf8, ReplacesEachMaximalSubpartByOneMark) {
  const std::string mark = "\xEF\xBF\xBD";
  const auto marks = [&](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += mark;
    return text;
  };
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), marks(8) + "A");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), marks(8) + "A");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), marks(5) + "A" + marks(2) + "B");
  EXPECT_EQ(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), marks(4) + "A");
  EXPECT_EQ(replace_invalid_utf8("caf\xC3\xA9"), "caf\xC3\xA9");
}

TEST(Utf8, EveryCodePointComesBack) {
  for (char32_t code_point = 1; code_point <= 0x10FFFF; code_point += code_point < 0x3000 ? 1 : 257) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code_point);
    ASSERT_EQ(first_invalid_utf8(text), std::nullopt) << static_cast<std::uint32_t>(code_point);
    std::size_t position = 0;
    ASSERT_EQ(next_code_point(text, position), code_point);
    ASSERT_EQ(position, text.size());
    ASSERT_EQ(count_code_points(text), 1);
  }
}

// RFC 4648's examples.
TEST(Base64, DecodesTheVectorsAndRefusesTheRest) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("Zg=="), "f");
  EXPECT_EQ(decode_base64("Zm8="), "fo");
  EXPECT_EQ(decode_base64("Zm9vYmFy"), "foobar");
  EXPECT_EQ(decode_base64("/+8="), "\xFF\xEF");
  for (const char* text : {"Zg", "Zg=", "Z===", "Zm9v!mFy", "Zg==Zg=="}) EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

}  // namespace
}  // namespace r1

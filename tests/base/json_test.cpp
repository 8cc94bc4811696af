#include "base/json.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/support/paths.h"

namespace r1 {
namespace {

using ::testing::HasSubstr;

std::string message_of(std::string_view text, JsonLimits limits = {}) {
  try {
    parse_json(text, "model/config.json", ErrorKind::kModel, limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel);
    return error.what();
  }
  return "no error";
}

TEST(ParseJson, KeepsTheOrderOfKeys) {
  EXPECT_EQ(to_json_line(parse_json(R"({"b": 1, "a": [true, null]})", "x")), R"({"b":1,"a":[true,null]})");
}

TEST(ParseJson, SaysWhereASyntaxErrorIs) {
  EXPECT_THAT(message_of("{\n  \"a\": 1,\n  b\n}"), HasSubstr("model/config.json:3:3: not valid JSON: "));
  EXPECT_THAT(message_of(""), HasSubstr("model/config.json:1:1: "));
  EXPECT_THAT(message_of("{} x"), HasSubstr("not valid JSON"));
}

TEST(ParseJson, RefusesAKeyThatStandsTwiceInOneObject) {
  EXPECT_THAT(message_of(R"({"a": {"b": 1, "c": 2, "b": 3}})"), HasSubstr("the key 'b' stands twice"));
  EXPECT_EQ(message_of(R"({"a": {"a": 1}, "b": {"a": 2}})"), "no error");
}

TEST(ParseJson, RefusesDepthAndSizeBeforeTheParserSeesThem) {
  EXPECT_THAT(message_of(std::string(1'000'000, '[')), HasSubstr("nested deeper than 64 levels"));
  EXPECT_EQ(message_of(std::string(64, '[') + std::string(64, ']')), "no error");
  EXPECT_EQ(message_of("\"" + std::string(200, '[') + "\\\"{\""), "no error");  // brackets in a text are no depth
  EXPECT_THAT(message_of("[1,2,3]", {.max_bytes = 6}), HasSubstr("JSON of 7 bytes; at most 6"));
}

TEST(ParseJson, RefusesInvalidUtf8) { EXPECT_THAT(message_of("[\"a\xFF\"]"), HasSubstr("not valid JSON")); }

TEST(ReadJsonFile, NamesAMissingFile) {
  const test::TemporaryFolder folder;
  try {
    read_json_file(folder.file("absent.json"), ErrorKind::kConfig);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.what(), HasSubstr(folder.file("absent.json") + ": cannot read: No such file"));
  }
}

TEST(ToJsonLine, HasNoLineBreakAndNoInvalidByte) {
  const std::string line = to_json_line({{"text", "a\nb\xFF"}, {"value", std::nan("")}});
  EXPECT_EQ(line, "{\"text\":\"a\\nb\xEF\xBF\xBD\",\"value\":null}");
}

}  // namespace
}  // namespace r1

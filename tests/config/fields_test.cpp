#include "config/fields.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace r1::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Color { kRed, kGreen };
std::span<const std::string_view> enum_names(Color) {
  static constexpr std::string_view kNames[] = {"red", "green"};
  return kNames;
}

struct Options {
  std::string model = "none-yet";
  bool stream = false, think = true;
  int count = 3;
  double rate = 0.5;
  std::optional<double> temperature;
  std::optional<std::string> note;
  std::vector<std::string> names;
  std::vector<double> weights;
  Dict kwargs;
  Color color = Color::kRed;
  std::string question;
  std::vector<std::string> files;
};

FieldList fields_of(Options& options) {
  FieldList fields;
  fields.add("model", options.model, "The model.");
  fields.add("stream", options.stream, "Stream.");
  fields.add("think_more", options.think, "Think.");
  fields.add("count", options.count, "Count.").at_least(1).at_most(9);
  fields.add("rate", options.rate, "Rate.").above(0);
  fields.add("temperature", options.temperature, "Temperature.").at_least(0);
  fields.add("note", options.note, "A note.");
  fields.add("names", options.names, "Names.");
  fields.add("weights", options.weights, "Weights.");
  fields.add("kwargs", options.kwargs, "More.");
  fields.add("color", options.color, "Color.").unsupported_choice("blue", "take green");
  fields.alias("old_count", "count", "the name is now count");
  fields.ignored("vllm_device", "there is no vLLM here");
  fields.unsupported("use_peft", {"false"}, "train all parameters", true);
  return fields;
}

Options parsed(const std::vector<std::string>& arguments) {
  Options options;
  FieldList fields = fields_of(options);
  parse_arguments(arguments, fields);
  return options;
}

std::string error_of(const std::vector<std::string>& arguments) {
  try {
    parsed(arguments);
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    return error.what();
  }
  return "no error";
}

TEST(Fields, FlagsTakeBothFormsAndLaterOnesWin) {
  EXPECT_EQ(parsed({"--count", "4", "--count=5"}).count, 5);
  EXPECT_EQ(parsed({"--model=a=b"}).model, "a=b");
  EXPECT_EQ(parsed({"--model", "-x"}).model, "-x");
}

TEST(Fields, DashAndUnderscoreAreTheSameInNames) {
  EXPECT_FALSE(parsed({"--think-more=false"}).think);
  EXPECT_FALSE(parsed({"--think_more", "false"}).think);
  EXPECT_FALSE(parsed({"--no-think_more"}).think);
}

TEST(Fields, ABareBooleanIsTrueAndTakesOnlyBooleanWords) {
  EXPECT_TRUE(parsed({"--stream"}).stream);
  EXPECT_TRUE(parsed({"--stream", "--count", "1"}).stream);
  EXPECT_FALSE(parsed({"--stream", "False"}).stream);
  EXPECT_TRUE(parsed({"--stream=yes"}).stream);
  EXPECT_THAT(error_of({"--stream=maybe"}), HasSubstr("--stream: expected true or false, found 'maybe'"));
}

TEST(Fields, NumbersAreTypedAndChecked) {
  EXPECT_DOUBLE_EQ(parsed({"--rate", "1.0e-05"}).rate, 1e-5);
  EXPECT_DOUBLE_EQ(*parsed({"--temperature", "0.6"}).temperature, 0.6);
  EXPECT_FALSE(parsed({"--temperature", "0.6", "--temperature", "none"}).temperature);
  EXPECT_THAT(error_of({"--count", "2.5"}), HasSubstr("--count: expected a whole number from 1 to 9, found '2.5'"));
  EXPECT_THAT(error_of({"--count", "10"}), HasSubstr("from 1 to 9, found '10'"));
  EXPECT_THAT(error_of({"--rate", "0"}), HasSubstr("expected a number > 0, found '0'"));
  EXPECT_THAT(error_of({"--rate", "nan"}), HasSubstr("found 'nan'"));
  EXPECT_THAT(error_of({"--count", "99999999999999999999"}), HasSubstr("found '99999999999999999999'"));
}

TEST(Fields, ListsTakeSeveralTokensAndNegativeNumbers) {
  EXPECT_THAT(parsed({"--names", "a", "b", "--count", "1"}).names, ElementsAre("a", "b"));
  EXPECT_THAT(parsed({"--weights", "1.0", "-0.5"}).weights, ElementsAre(1.0, -0.5));
  EXPECT_THAT(error_of({"--names", "--count", "1"}), HasSubstr("--names: expected one value or more"));
}

TEST(Fields, DictionariesAreJsonText) {
  const Options options = parsed({"--kwargs", R"({"min_lr_rate": 0.1, "name": "x"})"});
  EXPECT_DOUBLE_EQ(*options.kwargs.number("min_lr_rate"), 0.1);
  EXPECT_EQ(*options.kwargs.text("name"), "x");
  EXPECT_EQ(to_json_text(options.kwargs.root()), R"({"min_lr_rate":0.1,"name":"x"})");
  EXPECT_THAT(error_of({"--kwargs", "{oops"}), HasSubstr("--kwargs: "));
  EXPECT_THAT(error_of({"--kwargs", "text"}), HasSubstr("expected a map"));
}

TEST(Fields, EnumsNameTheirChoices) {
  EXPECT_EQ(parsed({"--color", "green"}).color, Color::kGreen);
  EXPECT_THAT(error_of({"--color", "gren"}), HasSubstr("expected one of red, green; found 'gren' — did you mean 'green'?"));
  EXPECT_THAT(error_of({"--color", "blue"}), HasSubstr("'blue' is not supported: take green"));
}

TEST(Fields, AnUnknownFlagNamesTheNearest) {
  EXPECT_THAT(error_of({"--modle", "x"}), HasSubstr("unknown flag '--modle' — did you mean '--model'?"));
  EXPECT_THAT(error_of({"--completely-else", "x"}), HasSubstr("--help lists all flags"));
  EXPECT_THAT(error_of({"--count"}), HasSubstr("--count: expected a value (int), found the end of the command line"));
  EXPECT_THAT(error_of({"--model", "--stream"}), HasSubstr("write --model=VALUE"));
  EXPECT_EQ(parsed({"--model=--stream"}).model, "--stream");
}

TEST(Fields, AliasesAndSpecialKeysAct) {
  Options options;
  FieldList fields = fields_of(options);
  std::vector<std::string> notices;
  const std::vector<std::string> arguments = {"--old-count", "7", "--vllm_device", "auto", "--use_peft", "false"};
  apply_assignments(fields, scan_arguments(arguments, fields).assignments, notices);
  EXPECT_EQ(options.count, 7);
  EXPECT_THAT(notices, ElementsAre("--old_count: the name is now count", "--vllm_device has no effect here: there is no vLLM here"));
  EXPECT_THAT(error_of({"--use_peft"}), HasSubstr("--use_peft is not supported: train all parameters"));
}

TEST(Fields, PositionalArgumentsFillInOrder) {
  Options options;
  FieldList fields = fields_of(options);
  fields.positional("question", options.question, "The question.");
  fields.positional("files", options.files, "Files.");
  parse_arguments(std::vector<std::string>{"why?", "--count", "2", "a", "b", "--", "--c"}, fields);
  EXPECT_EQ(options.question, "why?");
  EXPECT_THAT(options.files, ElementsAre("a", "b", "--c"));

  Options other;
  FieldList none = fields_of(other);
  none.positional("question", other.question, "The question.");
  EXPECT_THROW(parse_arguments(std::vector<std::string>{}, none), Error);
  EXPECT_THAT(error_of({"stray"}), HasSubstr("unexpected argument 'stray'"));
}

TEST(Fields, HelpShowsTypeDefaultAndOneLineForEveryFlag) {
  Options options;
  FieldList fields = fields_of(options);
  const std::string help = fields.help("program [flags]", "Does things.");
  EXPECT_THAT(help, HasSubstr("--count <int; default 3>"));
  EXPECT_THAT(help, HasSubstr("--color <red|green; default red>"));
  EXPECT_THAT(help, HasSubstr("--temperature <float; default none>"));
  EXPECT_THAT(help, HasSubstr("--weights <list of float; default []>"));
  EXPECT_TRUE(parse_arguments(std::vector<std::string>{"--help"}, fields).help_requested);
  EXPECT_TRUE(parse_arguments(std::vector<std::string>{"--version"}, fields).version_requested);
}

TEST(Fields, RequiredFieldsAreNamed) {
  std::string model;
  FieldList fields;
  fields.add("model", model, "The model.").required();
  try {
    parse_arguments(std::vector<std::string>{}, fields);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "missing: --model (The model.)");
  }
}

}  // namespace
}  // namespace r1::config

#include "config/yaml_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>

#include "base/error.h"
#include "base/rng.h"
#include "tests/support/paths.h"

namespace r1::config {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string repeated(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

std::string error_of(const std::string& text) {
  try {
    parse_yaml(text, "demo.yaml");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "no error";
}

TEST(Yaml, ReadsARecipe) {
  const Value recipe = parse_yaml(
      "# Model\nmodel_name_or_path: Qwen/Qwen2.5-1.5B-Instruct\nbf16: true\nlearning_rate: 2.0e-05\nreward_funcs:\n- accuracy\n- format\n"
      "gradient_checkpointing_kwargs:\n  use_reentrant: false\nsave_strategy: \"no\"\nempty:\nnothing: ~\ntext: \"\"\n"
      "chat_template: |\n  {%- if x %}\n  \tthere\n  {%- endif %}\nlist: [1, 2]\n",
      "demo.yaml");
  ASSERT_TRUE(recipe.is_map());
  EXPECT_EQ(recipe.find("model_name_or_path")->text, "Qwen/Qwen2.5-1.5B-Instruct");
  EXPECT_EQ(recipe.find("learning_rate")->text, "2.0e-05");
  EXPECT_EQ(recipe.find("learning_rate")->line, 4);
  EXPECT_EQ(recipe.find("reward_funcs")->items[1].text, "format");
  EXPECT_EQ(recipe.find("gradient_checkpointing_kwargs")->find("use_reentrant")->text, "false");
  EXPECT_TRUE(recipe.find("save_strategy")->quoted);
  EXPECT_TRUE(recipe.find("empty")->is_null());
  EXPECT_TRUE(recipe.find("nothing")->is_null());
  EXPECT_TRUE(recipe.find("text")->is_scalar());
  EXPECT_EQ(recipe.find("chat_template")->text, "{%- if x %}\n\tthere\n{%- endif %}\n");
  EXPECT_EQ(recipe.find("list")->items.size(), 2u);
  EXPECT_TRUE(parse_yaml("", "empty.yaml").is_null());
  EXPECT_TRUE(parse_yaml("# nothing\n", "empty.yaml").is_null());
}

TEST(Yaml, MistakesAreNamedWithFileAndLine) {
  EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"), "demo.yaml:3: duplicate key 'a', first given in line 1; remove one");
  EXPECT_EQ(error_of("a:\n\tb: 1\n"), "demo.yaml:2: a tab is not allowed as indentation in YAML; use spaces");
  EXPECT_EQ(error_of("a: &x [1]\nb: *x\n"), "demo.yaml:2: aliases (*name) are not supported; write the value out");
  EXPECT_THAT(error_of("a: {b: 1}\nc:\n  <<: {b: 1}\n"), HasSubstr("demo.yaml:3: merge keys (<<)"));
  EXPECT_THAT(error_of("a: !!python/object:os.system x\n"), HasSubstr("demo.yaml:1: tags are not supported"));
  EXPECT_THAT(error_of("a: 1\n---\nb: 2\n"), HasSubstr("expected one YAML document"));
  EXPECT_THAT(error_of("a: 1\nb: \xff\n"), HasSubstr("demo.yaml:2: expected UTF-8, found the byte 0xff"));
  EXPECT_THAT(error_of(std::string("a: 1\nb: x\0y\n", 12)), HasSubstr("demo.yaml:2: expected text, found the control character 0x00"));
  EXPECT_THAT(error_of("a: [1, 2\nb: 3\n"), HasSubstr("demo.yaml:"));
  EXPECT_EQ(error_of("a: 'it''s'\nx: \"open\\\"\nb: 3\n"), "demo.yaml:2: the quote \" is never closed");
  EXPECT_EQ(error_of("\xc3\xa9: 1\r\na: 'open''\r\nb: 3\r\n"), "demo.yaml:2: the quote ' is never closed");
  EXPECT_EQ(error_of("a: \"one\n  two\"\nb: 'it''s'\n"), "no error");
  EXPECT_THAT(error_of(std::string(2 << 20, 'a')), HasSubstr("expected at most 64.0 KiB of YAML, found 2.00 MiB"));
  EXPECT_THAT(error_of(repeated("[", 65) + repeated("]", 65)), HasSubstr("at most 64 levels"));
}

TEST(Yaml, MissingFilesAndListsInPlaceOfARecipeAreNamed) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(read_yaml_file(folder.file("none.yaml")), Error);
  EXPECT_THROW(read_yaml_file(folder.path()), Error);
  const std::string path = folder.write("list.yaml", "- a\n- b\n");
  try {
    assignments_of(read_yaml_file(path), path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), path + ":1: expected 'key: value' lines, found a list");
  }
}

TEST(Yaml, AssignmentsCarryTheirPlace) {
  const auto assignments = assignments_of(parse_yaml("a: 1\n\nb:\n- x\n", "r.yaml"), "r.yaml");
  ASSERT_EQ(assignments.size(), 2u);
  EXPECT_EQ(assignments[1].key, "b");
  EXPECT_EQ(assignments[1].where, "r.yaml:3");
}

#ifdef __SANITIZE_ADDRESS__
constexpr double kMaxMilliseconds = 1000;  // the sanitizers slow yaml-cpp down by more than ten
#else
// 50 ms in the full run. Elsewhere the machine may be busy with anything: there only a blow-up is to be found.
const double kMaxMilliseconds = std::getenv("R1_TEST_FULL") != nullptr ? 50 : 1000;
#endif

double thread_milliseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

// Processor time to read or refuse the text; anything but a result or an Error(kConfig) fails the test.
double milliseconds(const std::string& text) {
  const double start = thread_milliseconds();
  try {
    assignments_of(parse_yaml(text, "bomb.yaml"), "bomb.yaml");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig) << error.what();
  }
  return thread_milliseconds() - start;
}

TEST(Yaml, BombsAreRefusedInMilliseconds) {
  const int limit = 64 << 10;
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    laughs += fmt::format("a{}: &a{} [{}x]\n", i, i, repeated(fmt::format("*a{}, ", i - 1), 8));
  }
  std::string staircase, many_keys;
  for (int i = 0; i < 350; ++i) staircase += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  for (int i = 0; i < 5'000; ++i) many_keys += fmt::format("k{}: 1\n", i);
  const std::vector<std::string> bombs = {
      repeated("[", limit),
      repeated("{", limit),
      repeated("[", limit / 2) + repeated("]", limit / 2),
      repeated("{a: ", limit / 4),
      repeated("- ", limit / 2),
      repeated("? ", limit / 2),
      repeated("a: ", limit / 3),
      repeated("[\n", limit / 2),
      repeated("- - - -\n", limit / 8),
      repeated("&a ", limit / 3),
      repeated("!a ", limit / 3),
      repeated("*a ", limit / 3),
      laughs,
      staircase,
      many_keys,
      "a: \"" + repeated("\\u0041", limit / 6 - 2) + "\"\n",
      "a: |\n" + repeated("  x\n", limit / 4 - 8),
      "a: >\n" + repeated("\n", limit - 16),
      repeated("#", limit),
      repeated("\n", limit),
      repeated("'", limit),
      repeated("\"", limit),
      repeated("a\n", limit / 2),
      repeated("%TAG ! tag:x,2000:\n", limit / 19),
      repeated("---\n", limit / 4),
      "a: " + repeated("x", limit - 8),
      "a: " + repeated("x ", limit / 2 - 8),
      "a: " + repeated("x\n ", limit / 3 - 8),
      repeated("x: {y: [", limit / 8),
      repeated("a,", limit / 2),
      "[" + repeated("a,", limit / 2 - 8) + "]",
      repeated(" ", limit),
      repeated(": ", limit / 2),
      repeated("\t", limit),
      "a: '" + repeated("''", limit / 2 - 8) + "'\n",
  };
  double worst = 0;
  for (std::size_t i = 0; i < bombs.size(); ++i) {
    double taken = milliseconds(bombs[i]);
    for (int again = 0; again < 3 && taken > kMaxMilliseconds; ++again)
      taken = std::min(taken, milliseconds(bombs[i]));  // another process ran
    worst = std::max(worst, taken);
    EXPECT_LE(taken, kMaxMilliseconds) << "bomb " << i << " begins with " << bombs[i].substr(0, 20);
  }
  RecordProperty("worst_milliseconds", std::to_string(worst));
}

TEST(Yaml, MutantsOfARecipeNeverCrashAndAreQuick) {
  const std::string recipe =
      "# Model arguments\nmodel_name_or_path: Qwen/Qwen2.5-1.5B-Instruct\ntorch_dtype: bfloat16\nbf16: true\nlearning_rate: 2.0e-05\n"
      "reward_funcs:\n- accuracy\n- format\nlr_scheduler_kwargs: {min_lr_rate: 0.1}\nsave_strategy: \"no\"\n"
      "dataset_mixture:\n  datasets:\n    - id: a/b\n      columns: [x, 'y']\n      weight: 0.5\n  seed: 42\n"
      "chat_template: |\n  {%- if messages %}\n  text\n  {%- endif %}\nsystem_prompt: >-\n  You are\n  \"helpful\"\n&a b: *a\n";
  static constexpr std::string_view kParts[] = {"[",   "]",   "{",   "}",        ": ", "- ",  "\n",  "\n  ", "\t",  "\"",
                                                "'",   "&x ", "*x ", "!!s ",     "? ", "|\n", ">\n", "---",  "...", "%",
                                                "<<:", "\\",  "\r",  "\xc3\xa9", "#",  ",",   "~",   "@",    "`",   "\xff"};
  const int count = std::getenv("R1_TEST_FULL") != nullptr ? 50'000 : 2'500;
  RandomStream random(7, "yaml mutants");
  double worst = 0;
  for (int i = 0; i < count; ++i) {
    std::string mutant = recipe;
    for (std::uint64_t edit = 0, edits = 1 + random.below(6); edit < edits; ++edit) {
      const std::size_t at = random.below(mutant.size() + 1);
      switch (random.below(5)) {
        case 0:
          mutant.resize(at);
          break;
        case 1:
          mutant.erase(at, random.below(20));
          break;
        case 2:
          mutant.insert(at, kParts[random.below(std::size(kParts))]);
          break;
        case 3:
          mutant.insert(at, mutant.substr(random.below(mutant.size() + 1), random.below(60)));
          break;
        default:
          if (at < mutant.size()) mutant[at] = static_cast<char>(random.below(256));
      }
    }
    worst = std::max(worst, milliseconds(mutant));
  }
  EXPECT_LE(worst, kMaxMilliseconds);
  RecordProperty("worst_milliseconds", std::to_string(worst));
}

}  // namespace
}  // namespace r1::config

// Mutated tokenizer files and chat templates: whatever they hold, loading and using them ends in a result or in an Error that
// names the file, soon. 50,000 mutants with R1_TEST_FULL=1, a twentieth by default; run them under the asan preset.
#include <gtest/gtest.h>
#include <time.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "tests/support/paths.h"
#include "tests/text/small_tokenizers.h"
#include "text/chat_template.h"
#include "text/piece_scanners.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace r1 {
namespace {

int num_mutants(int full) { return std::getenv("R1_TEST_FULL") != nullptr ? full : full / 20; }

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, std::vector<std::string> dictionary)
      : seeds_(std::move(seeds)), dictionary_(std::move(dictionary)) {}

  /// Half of the mutants stay well-formed enough to get behind the parser.
  std::string next() {
    std::string text = seeds_[random(seeds_.size())];
    const bool is_json = text.starts_with('{') && text.ends_with('}') && text[1] == '"';
    const std::size_t num_changes = 1 + random(3);
    if (random(2) == 0) {
      if (is_json) {
        Json json = Json::parse(text);
        for (std::size_t i = 0; i < num_changes; ++i) change_node(json);
        return json.dump(-1, ' ', false, Json::error_handler_t::replace);
      }
      for (std::size_t i = 0; i < num_changes; ++i) insert_tag(text);
      return text;
    }
    for (std::size_t i = 0; i < num_changes; ++i) change(text);
    return text;
  }

 private:
  std::size_t random(std::size_t bound) {  // splitmix64
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::size_t>((z ^ (z >> 31)) % bound);
  }
  void change(std::string& text) {
    if (text.empty()) text = "x";
    const std::size_t at = random(text.size()), length = 1 + random(std::min<std::size_t>(text.size() - at, std::size_t{1} << random(8)));
    switch (random(8)) {
      case 0:
        text[at] = static_cast<char>(random(256));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(at, length));
        break;
      case 3:
      case 4:
        text.insert(at, dictionary_[random(dictionary_.size())]);
        break;
      case 5:
        text.replace(at, length, dictionary_[random(dictionary_.size())]);
        break;
      case 6: {  // a piece of another seed
        const std::string& other = seeds_[random(seeds_.size())];
        const std::size_t from = random(other.size());
        text.insert(at, other.substr(from, 1 + random(200)));
        break;
      }
      default: {  // a digit
        const std::size_t digit = text.find_first_of("0123456789", at);
        if (digit != std::string::npos) text[digit] = static_cast<char>('0' + random(10));
      }
    }
    if (text.size() > 200'000) text.resize(200'000);
  }

  /// Changes one value somewhere below: another value, gone, twice, or exchanged with its neighbour.
  void change_node(Json& root) {
    Json* node = &root;
    for (int depth = 0; depth < 6; ++depth) {
      if (!node->is_structured() || node->empty()) break;
      Json& child = *std::next(node->begin(), static_cast<std::ptrdiff_t>(random(node->size())));
      if (child.size() > 50 && random(4) != 0) continue;  // not always into the vocabulary
      if (child.is_structured() && random(3) != 0) {
        node = &child;
        continue;
      }
      switch (random(5)) {
        case 0:
          child = Json::parse(dictionary_[random(dictionary_.size())], nullptr, false);
          break;
        case 1:
          child = dictionary_[random(dictionary_.size())];
          break;
        case 2:
          child = child.is_boolean() ? Json(!child.get<bool>()) : Json(static_cast<int>(random(400)) - 2);
          break;
        case 3:
          node->erase(std::next(node->begin(), static_cast<std::ptrdiff_t>(random(node->size()))));
          break;
        default:
          std::swap(child, *std::next(node->begin(), static_cast<std::ptrdiff_t>(random(node->size()))));
          break;
      }
      if (child.is_discarded()) child = nullptr;
      return;
    }
  }

  /// A whole tag before another one.
  void insert_tag(std::string& text) {
    static const std::vector<std::string> values = {"messages", "ns",       "loop",   "m",        "none",       "missing",
                                                    "'a b'",    "1.5",      "-3",     "[1, 'x']", "{'k': [1]}", "messages[0].content",
                                                    "tools",    "range(5)", "(1, 2)", "x"};
    static const std::vector<std::string> suffixes = {"",
                                                      " | length",
                                                      " | list",
                                                      " | tojson",
                                                      "[0]",
                                                      "[::-1]",
                                                      ".items()",
                                                      ".split()",
                                                      " | join('-')",
                                                      " | map('string') | list",
                                                      " | first",
                                                      " is string",
                                                      " + 'x'",
                                                      " ~ 1",
                                                      " * 3",
                                                      " | sort",
                                                      " | sum",
                                                      " in 'abc'",
                                                      "['role']",
                                                      ".content.split('a')[-1]",
                                                      " % 7",
                                                      " | default('d')",
                                                      " | int",
                                                      " | upper",
                                                      ".strip()",
                                                      " | reverse | list",
                                                      " | batch(2) | list",
                                                      " | indent(3)",
                                                      "(1)",
                                                      " < 2",
                                                      " | unique | list"};
    const std::string expression =
        values[random(values.size())] + suffixes[random(suffixes.size())] + (random(2) == 0 ? suffixes[random(suffixes.size())] : "");
    const std::vector<std::string> tags = {"{{ " + expression + " }}",
                                           "{{- " + expression + " -}}",
                                           "{% set x = " + expression + " %}",
                                           "{% set ns.k = " + expression + " %}",
                                           "{% if " + expression + " %}y{% endif %}",
                                           "{% for m in " + expression + " %}{{ m }}{{ loop.index }}{% endfor %}",
                                           "{% set x %}" + expression + "{{ x }}{% endset %}"};
    std::size_t at = text.find(random(2) == 0 ? "{{" : "{%", random(text.size()));
    if (at == std::string::npos) at = text.size();
    text.insert(at, tags[random(tags.size())]);
  }

  std::vector<std::string> seeds_, dictionary_;
  std::uint64_t state_ = 2025;
};

struct Outcome {
  int accepted = 0, rejected = 0;
  double slowest = 0;
};

/// Runs `use` on every mutant; anything but an Error that names `file` is a failure, and so is a mutant that takes too long.
template <typename Use>
Outcome run_mutants(Mutator mutator, int count, const std::string& file, const Use& use) {
  Outcome outcome;
  for (int i = 0; i < count; ++i) {
    const std::string mutant = mutator.next();
    const double begin = cpu_seconds();
    try {
      use(mutant);
      ++outcome.accepted;
    } catch (const Error& error) {
      ++outcome.rejected;
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what() << "\nmutant " << i << ":\n" << mutant;
      EXPECT_NE(std::string(error.what()).find(file), std::string::npos) << error.what();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "mutant " << i << ": " << error.what() << "\n" << mutant;
    }
    const double seconds = cpu_seconds() - begin;
    // 100 ms in the full run. Elsewhere the machine may be busy with anything: there only a blow-up is to be found.
    if (seconds > (std::getenv("R1_TEST_FULL") != nullptr ? 0.1 : 2.0))
      ADD_FAILURE() << "mutant " << i << " took " << seconds << " s:\n" << mutant.substr(0, 3000);
    outcome.slowest = std::max(outcome.slowest, seconds);
    if (testing::Test::HasFailure()) break;
  }
  std::printf("[ mutants  ] %d accepted, %d rejected, slowest %.1f ms\n", outcome.accepted, outcome.rejected, outcome.slowest * 1e3);
  return outcome;
}

TEST(TokenizerMutants, EndInATokenizerThatWorksOrInAnErrorThatNamesTheFile) {
  std::string deepseek = test::byte_level_tokenizer(text::kDeepSeekExpressions[2]).dump();
  std::vector<std::string> seeds = {test::byte_level_tokenizer(text::kQwenExpression).dump(),
                                    test::byte_level_tokenizer("\\p{L}+(?=x)|\\s").dump(), deepseek,
                                    test::byte_fallback_tokenizer().dump()};
  for (std::string& seed : seeds)
    seed = replace_all(seed, "\"normalized\":false,\"special\":false", "\"normalized\":true,\"special\":false,\"lstrip\":true");
  const std::vector<std::string> dictionary = {"null",
                                               "true",
                                               "false",
                                               "-1",
                                               "4294967296",
                                               "99999999999999999999",
                                               "1e308",
                                               "\"\"",
                                               "{}",
                                               "[]",
                                               "[[[[[[",
                                               "\"type\":\"Sequence\",",
                                               "\"type\":\"NFKC\"",
                                               "\"Removed\"",
                                               "\"MergedWithNext\"",
                                               "\"MergedWithPrevious\"",
                                               "\"Contiguous\"",
                                               "\"invert\":true,",
                                               "(a+)+b",
                                               "(?R)",
                                               "[^",
                                               "\\\\p{L}*",
                                               "()",
                                               "\"ignore_merges\":true,",
                                               "\"byte_fallback\":true,",
                                               "\"fuse_unk\":true,",
                                               "\"Metaspace\"",
                                               "\"add_prefix_space\":true,",
                                               "\"lstrip\":true,",
                                               "\"single_word\":true,",
                                               "\\ud800",
                                               "\\u0000",
                                               "\xF0\x9F\x98\x80",
                                               "\xFF",
                                               "\"h e\",",
                                               "[\"h\",\"e\"],",
                                               "\"unk_token\":\"h\","};
  const std::vector<std::string> texts = {"hello world 12 <think>x<|end|> hello\n\n  caf\xC3\xA9 \xF0\x9F\x98\x80\xFF",
                                          std::string(400, 'l'), "", "e\xCC\x81\xCC\xA7 '\xC5\xBF"};
  const Outcome outcome = run_mutants(Mutator(seeds, dictionary), num_mutants(25'000), "folder", [&](const std::string& mutant) {
    const auto tokenizer = text::Tokenizer::from_text(mutant, "", "", "folder");
    for (const std::string& text : texts) {
      std::vector<text::TokenId> ids;
      try {
        ids = tokenizer.encode(text);
        tokenizer.encode_with_mask(text, std::vector<std::pair<std::size_t, std::size_t>>{{1, 3}, {5, 30}});
      } catch (const Error& error) {  // a pattern that backtracks without end shows only here
        if (error.kind() != ErrorKind::kModel) throw;
        continue;
      }
      ids.push_back(-1);
      ids.push_back(1 << 30);
      EXPECT_FALSE(first_invalid_utf8(tokenizer.decode(ids)));
      text::StreamDecoder stream(tokenizer, {.skip_special_tokens = true});
      std::string streamed;
      for (const text::TokenId id : ids) streamed += stream.add(id);
      EXPECT_FALSE(first_invalid_utf8(streamed + stream.flush()));
    }
  });
  EXPECT_GT(outcome.accepted, outcome.rejected / 10);  // the mutants reach behind the parser
}

TEST(TemplateMutants, EndInATextOrInAnErrorThatNamesTheTemplate) {
  std::vector<std::string> seeds = {
      "{%- macro show(x, y=2, *z) -%}{{ x ~ y }}{% if caller %}{{ caller(x) }}{% endif %}{%- endmacro -%}{{ show(1) }}{% call(v) show('a', "
      "y=[1, {'k': none}]) %}<{{ v }}>{% endcall %}",
      "{% set ns = namespace(n=0, t='') %}{% for m in messages[::-1] if m.role != 'x' %}{% if loop.index0 > 3 %}{% break %}{% elif not "
      "loop.last %}{% continue %}{% endif %}"
      "{% set ns.t = ns.t + m['content'] | trim | upper %}{{ loop.cycle('a', 'b') }}{% else %}none{% endfor %}{{ ns.t[1:-1] }}",
      "{% filter upper | replace('A', 'b') %}x{{ messages | map(attribute='role') | unique | join(', ') }}{% endfilter %}{% with a = 1, b "
      "= a %}{{ a ** 3 // 2 % 5 - 1.5e3 }}{% endwith %}"
      "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ {'a': 1}.items() | list | tojson(indent=2) }}",
      "{% raw %}{{ x }}{% endraw %}{# c -#} {% generation %}{{ messages[0].content.split('a', 1)[-1].lstrip('x') }}{% endgeneration %}{{ "
      "'%s-%05.2f' % ('a', 2.5) }}{{ 'x' if add_generation_prompt else tools }}",
      "{% for k, v in {'a': [1, 2], 'b': 'c'} | dictsort recursive %}{{ k }}{{ loop(v) if v is mapping }}{% endfor %}{{ range(10) | "
      "batch(3, 0) | list }}{{ strftime_now('%Y') }}{{ raise_exception('e') if false }}"};
  if (const auto shared = test::shared_folder())
    for (const auto& entry : std::filesystem::directory_iterator(*shared + "/tokenizers/templates"))
      seeds.push_back(read_file(entry.path().string()));
  const std::vector<std::string> dictionary = {"{%",
                                               "%}",
                                               "{{",
                                               "}}",
                                               "{#",
                                               "#}",
                                               "{%-",
                                               "-%}",
                                               "{% for x in range(99999) %}",
                                               "{% endfor %}",
                                               "{% if x %}",
                                               "{% endif %}",
                                               "{% set x = [x, x] %}",
                                               "{% set ns.a = [ns, ns.a] %}",
                                               "* 999999999",
                                               "** 99",
                                               "'x' * 100000",
                                               "((((((((((",
                                               "[[[[[[[[",
                                               "not not ",
                                               "-",
                                               "+",
                                               "~",
                                               " is not ",
                                               " in ",
                                               " | ",
                                               "loop",
                                               "self",
                                               "__class__",
                                               "messages",
                                               "[::-1]",
                                               "[:",
                                               ".x",
                                               "()",
                                               "\\u00e9",
                                               "\xF0\x9F\x98\x80",
                                               "\xC3",
                                               "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                                               "{% set x = x ~ x %}",
                                               "| tojson(indent=9)",
                                               "| list",
                                               "| map('upper')",
                                               "| sum",
                                               "| center(99999999)",
                                               ".replace('', 'aaaa')",
                                               ".join(messages)",
                                               "{% generation %}",
                                               "{% endgeneration %}",
                                               "{% raw %}",
                                               "\"",
                                               "'",
                                               "\n"};
  const Json messages = Json::parse(R"([{"role":"system","content":"Be brief."},{"role":"user","content":"2+2? é 😀"},
    {"role":"assistant","content":"<think>a</think>4","tool_calls":[{"type":"function","function":{"name":"add","arguments":{"a":1.5,"b":null}}}]},{"role":"tool","content":"5"},{"role":"user","content":"x"}])");
  text::RenderOptions options{.tools = nullptr,
                              .add_generation_prompt = true,
                              .special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}},
                              .now = text::parse_time("2025-01-31"),
                              .max_steps = 60'000};
  const Outcome outcome = run_mutants(Mutator(seeds, dictionary), num_mutants(25'000), "mutant.jinja", [&](const std::string& mutant) {
    const auto rendered = text::ChatTemplate::from_text(mutant, "mutant.jinja").render(messages, options);
    EXPECT_FALSE(first_invalid_utf8(rendered.text));
    for (const auto& [begin, end] : rendered.generation_spans) EXPECT_LE(begin, end);
  });
  EXPECT_GT(outcome.accepted, outcome.rejected / 10);
}

}  // namespace
}  // namespace r1

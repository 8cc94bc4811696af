#include "text/chat_template.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "tests/support/paths.h"
#include "tests/text/small_tokenizers.h"
#include "tests/text/vectors.h"
#include "text/piece_scanners.h"

namespace r1 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using text::ChatTemplate;

std::string render(const std::string& source, const Json& arguments = Json::object(), const Json& messages = Json::array()) {
  return ChatTemplate::from_text(source, "t.jinja")
      .render(messages, {.arguments = arguments, .now = text::parse_time("2025-01-31T09:05:07")})
      .text;
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ChatTemplate, RendersWhatJinjaRendersAndFailsWhereItFails) {
  const std::string folder = test::source_folder() + "/tests/text/";
  const Json context = read_json_file(folder + "template_context.json");
  int num_rendered = 0, num_errors = 0;
  for (const Json& row : test::rows_of(read_file(folder + "template_cases.jsonl"))) {
    const auto source = row["template"].get<std::string>();
    std::string rendered;
    const std::string error = error_of([&] { rendered = render(source, context); });
    if (row.contains("error")) {
      ++num_errors;
      EXPECT_NE(error, "no error") << source << "\n gives " << rendered << "\n Jinja raises " << row["error"];
    } else {
      ++num_rendered;
      EXPECT_EQ(error, "no error") << source;
      EXPECT_EQ(rendered, row["rendered"].get<std::string>()) << source;
    }
  }
  EXPECT_GT(num_rendered, 50);
  EXPECT_GT(num_errors, 20);
}

TEST(ChatTemplate, AgreesWithAllPublicConversations) {
  R1_REQUIRE_SHARED(shared);
  int num_rows = 0;
  for (const auto& entry : std::filesystem::directory_iterator(shared + "/tokenizers/chat")) {
    const auto rows = test::rows_of(test::read_gzip(entry.path().string()));
    const auto name = rows[0]["template"].get<std::string>();
    const auto chat_template = ChatTemplate::from_setting(shared + "/tokenizers/templates/" + name + ".jinja");
    for (const Json& row : rows) {
      ++num_rows;
      text::RenderOptions options{.tools = row["tools"],
                                  .add_generation_prompt = row["add_generation_prompt"].get<bool>(),
                                  .arguments = row["kwargs"],
                                  .now = text::parse_time("2025-01-31T09:05:07")};
      for (const auto& [key, value] : row["special"].items()) options.special_tokens.emplace_back(key, value.get<std::string>());
      text::RenderedChat rendered;
      const std::string error = error_of([&] { rendered = chat_template.render(row["messages"], options); });
      if (row.contains("error")) {
        EXPECT_NE(error, "no error") << name << " row " << row["i"];
        continue;
      }
      EXPECT_EQ(error, "no error") << name << " row " << row["i"];
      EXPECT_EQ(rendered.text, row["rendered"].get<std::string>()) << name << " row " << row["i"];
      if (!row.contains("generation_spans")) continue;
      Json spans = Json::array();
      for (const auto& [begin, end] : rendered.generation_spans)
        spans.push_back({count_code_points(std::string_view(rendered.text).substr(0, begin)),
                         count_code_points(std::string_view(rendered.text).substr(0, end))});
      EXPECT_EQ(spans, row["generation_spans"]) << name << " row " << row["i"];
    }
  }
  EXPECT_EQ(num_rows, 22 * 32);
}

TEST(ChatTemplate, ShowsTheChosenTimeToStrftimeNow) {
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y %a %H:%M') }}"), "31 Jan 2025 Fri 09:05");
}

TEST(ChatTemplate, NamesFileLineAndReasonOfAnError) {
  EXPECT_EQ(error_of([] { render("a\n{% if x %}"); }), "t.jinja:2: expected '{% endif %}', found the end of the template");
  EXPECT_EQ(error_of([] { render("a\n\n{{ x.y }}"); }), "t.jinja:3: 'x' is undefined");
  EXPECT_EQ(error_of([] { render("{{ 'a' | uper }}"); }), "t.jinja:1: no filter named 'uper'; did you mean 'upper'?");
  EXPECT_THAT(error_of([] { render("{% include 'x' %}"); }), HasSubstr("'include' is not supported in chat templates"));
  EXPECT_THAT(error_of([] { render("{{ raise_exception('roles must alternate') }}"); }), HasSubstr("roles must alternate"));
}

TEST(ChatTemplate, StopsTemplatesThatNeverEndOrGrowWithoutBound) {
  EXPECT_THAT(error_of([] { render("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"); }),
              HasSubstr("endless loop"));
  EXPECT_THAT(error_of([] { render("{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"); }),
              HasSubstr("steps"));
  EXPECT_THAT(error_of([] { render("{{ 'x' * 99999999999 }}"); }), HasSubstr("steps"));
  EXPECT_THAT(error_of([] { render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"); }), HasSubstr("nested too deep"));
  EXPECT_THAT(error_of([] { render("{% set ns = namespace(x=[]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}"); }),
              HasSubstr("nested more than"));
  EXPECT_THAT(error_of([] { render(std::string("{{ ") + std::string(5000, '(') + "1"); }), HasSubstr("nested more than"));
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = [ns] %}ok"), "ok");  // a cycle is let go at the end
}

TEST(ChatTemplate, IsFoundInEveryPlaceOfAModelFolder) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(ChatTemplate::load(folder.path()));
  EXPECT_THAT(error_of([&] { ChatTemplate::load_or_setting(folder.path(), std::nullopt); }), HasSubstr("has no chat template"));
  folder.write("tokenizer_config.json", R"({"chat_template": "config {{ messages | length }}"})");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(Json::array()).text, "config 0");
  folder.write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}, {"name": "rag", "template": "r"}]})");
  const auto named = *ChatTemplate::load(folder.path());
  EXPECT_THAT(named.variant_names(), ElementsAre("default", "tool_use", "rag"));
  EXPECT_EQ(named.render(Json::array()).text, "d");
  EXPECT_EQ(named.render(Json::array(), {.tools = Json::array({Json::object()})}).text, "t");
  EXPECT_EQ(named.variant("rag").render(Json::array(), {.tools = Json::array({Json::object()})}).text, "r");
  EXPECT_THAT(error_of([&] { named.variant("nobody"); }), HasSubstr("default, tool_use, rag"));
  folder.write("chat_template.jinja", "file");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(Json::array()).text, "file");
  EXPECT_EQ(ChatTemplate::load_or_setting(folder.path(), "{{ 'text' }}").render(Json::array()).text, "text");
  EXPECT_EQ(ChatTemplate::load_or_setting(folder.path(), folder.file("chat_template.jinja")).render(Json::array()).text, "file");
  EXPECT_THAT(error_of([] { ChatTemplate::from_setting("no/such/file.jinja"); }), HasSubstr("neither an existing file nor a template"));
}

TEST(ApplyChatTemplate, AddsNoSecondBosAndMasksTheAssistantsTokens) {
  const auto tokenizer = text::Tokenizer::from_text(test::byte_fallback_tokenizer().dump(), "", "", "folder");
  const auto chat_template = ChatTemplate::from_text(
      "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}{% endgeneration "
      "%}{% else %}{{ m.content }}{% endif %}{% endfor %}");
  const auto encoded = text::apply_chat_template(
      tokenizer, chat_template,
      Json::parse(R"([{"role":"user","content":"hello"},{"role":"assistant","content":" world"},{"role":"user","content":"hello"}])"));
  // The text is "<s>hello world</s>hello"; blanks are part of the word behind them.
  std::string marked;
  for (std::size_t i = 0; i < encoded.ids.size(); ++i)
    if (encoded.assistant_mask[i] != 0) marked += tokenizer.token_bytes(encoded.ids[i]);
  EXPECT_EQ(marked, " world</s>");
  EXPECT_EQ(std::count(encoded.ids.begin(), encoded.ids.end(), *tokenizer.bos_token_id()), 1);
}

}  // namespace
}  // namespace r1

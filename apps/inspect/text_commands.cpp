#include "apps/inspect/text_commands.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "apps/inspect/jsonl_rows.h"
#include "base/strings.h"
#include "config/fields.h"
#include "text/chat_template.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace r1::apps {
namespace {

/// bytes_b64 (any bytes) comes before text, as rows with invalid UTF-8 carry both.
std::string text_of_row(const Json& row) {
  if (const auto encoded = text_field(row, "bytes_b64")) {
    const auto bytes = decode_base64(*encoded);
    if (!bytes) fail(ErrorKind::kData, "field 'bytes_b64': not base64: '{}'", encoded->substr(0, 60));
    return *bytes;
  }
  if (auto text = text_field(row, "text")) return *text;
  fail(ErrorKind::kData, "expected a field 'text' or 'bytes_b64'");
}

std::vector<text::TokenId> ids_of_row(const Json& row) {
  const auto member = row.find("ids");
  if (member == row.end() || !member->is_array()) fail(ErrorKind::kData, "expected a field 'ids' with a list of token ids");
  std::vector<text::TokenId> ids;
  for (const Json& id : *member) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > INT32_MAX)
      fail(ErrorKind::kData, "field 'ids': {} is not a token id", id.dump());
    ids.push_back(id.get<text::TokenId>());
  }
  return ids;
}

struct TokenizeOptions {
  std::string model;
  bool file_special_tokens = false;
};

}  // namespace

int run_tokenize(std::span<const std::string> arguments) {
  TokenizeOptions options;
  config::FieldList fields;
  fields.add("model", options.model, "Folder with the tokenizer files.").required();
  fields.add("file_special_tokens", options.file_special_tokens,
             "Special tokens as tokenizer.json alone says, whatever add_bos_token says.");
  if (parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect tokenize --model DIR",
                                 "Rows {\"text\" or \"bytes_b64\", \"add_special_tokens\": false} to {\"ids\"}."));
    return 0;
  }
  const auto tokenizer = text::Tokenizer::load(
      options.model,
      {.special_tokens_rule = options.file_special_tokens ? text::SpecialTokensRule::kFile : text::SpecialTokensRule::kConfig});
  return run_jsonl_rows([&](const Json& row) -> Json {
    return {{"ids", tokenizer.encode(text_of_row(row), {.add_special_tokens = bool_field(row, "add_special_tokens").value_or(false)})}};
  });
}

int run_detokenize(std::span<const std::string> arguments) {
  std::string model;
  bool stream = false;
  config::FieldList fields;
  fields.add("model", model, "Folder with the tokenizer files.").required();
  fields.add("stream", stream, "Text that each id completes (deltas), and what the end of the stream adds (flush).");
  if (parse_arguments(arguments, fields).help_requested) {
    fmt::print(
        "{}", fields.help("r1_inspect detokenize --model DIR [--stream]", "Rows {\"ids\", \"skip_special_tokens\": false} to {\"text\"}."));
    return 0;
  }
  const auto tokenizer = text::Tokenizer::load(model);
  return run_jsonl_rows([&](const Json& row) -> Json {
    const auto ids = ids_of_row(row);
    const text::DecodeOptions decode_options{.skip_special_tokens = bool_field(row, "skip_special_tokens").value_or(false)};
    if (!stream) return {{"text", tokenizer.decode(ids, decode_options)}};
    text::StreamDecoder decoder(tokenizer, decode_options);
    Json deltas = Json::array();
    for (const text::TokenId id : ids) deltas.push_back(decoder.add(id));
    std::string flush = decoder.flush();
    return {{"text", tokenizer.decode(ids, decode_options)}, {"deltas", std::move(deltas)}, {"flush", std::move(flush)}};
  });
}

namespace {

/// Byte ranges of a text as ranges of code points, which is what other tools count.
Json code_point_spans(std::string_view text, const std::vector<std::pair<std::size_t, std::size_t>>& spans) {
  Json result = Json::array();
  for (const auto& [begin, end] : spans)
    result.push_back({count_code_points(text.substr(0, begin)), count_code_points(text.substr(0, end))});
  return result;
}

text::RenderOptions render_options_of_row(const Json& row, const text::SpecialTokens& absent) {
  text::RenderOptions options;
  const auto member = [&row](const char* name) { return row.contains(name) ? row[name] : Json(); };
  options.tools = member("tools");
  options.add_generation_prompt = bool_field(row, "add_generation_prompt").value_or(false);
  for (const char* name : {"kwargs", "special"})
    if (const Json value = member(name); !value.is_null() && !value.is_object())
      fail(ErrorKind::kData, "field '{}': expected an object, found {}", name, value.type_name());
  if (const Json kwargs = member("kwargs"); kwargs.is_object()) options.arguments = kwargs;
  const Json special = member("special");
  if (special.is_null()) options.special_tokens = absent;
  for (const auto& [name, value] : special.items())
    if (value.is_string()) options.special_tokens.emplace_back(name, value.get<std::string>());
  return options;
}

}  // namespace

int run_chat(std::span<const std::string> arguments) {
  std::string model;
  std::optional<std::string> chat_template, now, variant;
  bool tokenize = false;
  config::FieldList fields;
  fields.add("model", model, "Folder with the tokenizer files.").required();
  fields.add("chat_template", chat_template, "Template file or text in place of the folder's.");
  fields.add("template_name", variant, "Variant of a folder with several named templates.");
  fields.add("now", now, "What strftime_now sees, such as 2025-01-31T09:05:07.").shown_default("the clock");
  fields.add("tokenize", tokenize, "Also the token ids of the text.");
  if (parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect chat --model DIR [--chat-template FILE]",
                                 "Rows {\"messages\", \"tools\", \"add_generation_prompt\", \"kwargs\", \"special\"} to {\"text\"}."));
    return 0;
  }
  const auto tokenizer = text::Tokenizer::load(model);
  auto renderer = text::ChatTemplate::load_or_setting(model, chat_template);
  if (variant) renderer = renderer.variant(*variant);
  const auto fixed_now = now ? std::optional(text::parse_time(*now)) : std::nullopt;
  return run_jsonl_rows([&](const Json& row) -> Json {
    if (!row.contains("messages") || !row["messages"].is_array())
      fail(ErrorKind::kData, "expected a field 'messages' with a list of messages");
    text::RenderOptions options = render_options_of_row(row, tokenizer.special_tokens());
    options.now = fixed_now;
    const text::RenderedChat rendered = renderer.render(row["messages"], options);
    Json result = {{"text", rendered.text}};
    if (renderer.has_generation_blocks()) result["generation_spans"] = code_point_spans(rendered.text, rendered.generation_spans);
    if (tokenize) {
      const text::EncodedChat encoded = text::apply_chat_template(tokenizer, renderer, row["messages"], options);
      result["ids"] = encoded.ids;
      if (renderer.has_generation_blocks()) result["assistant_mask"] = encoded.assistant_mask;
    }
    return result;
  });
}

}  // namespace r1::apps

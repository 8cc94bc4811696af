#include "apps/inspect/text_commands.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "apps/inspect/jsonl_rows.h"
#include "base/strings.h"
#include "config/fields.h"
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

}  // namespace r1::apps

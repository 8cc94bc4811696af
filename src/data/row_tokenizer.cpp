#include "data/row_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"

namespace r1::data {
namespace {

// Part of the cache key: raise it when the rules below change.
constexpr int kRulesVersion = 1;

TokenRow all_learnt(std::vector<std::int32_t> ids) {
  TokenRow tokens;
  tokens.labels = ids;
  tokens.input_ids = std::move(ids);
  return tokens;
}

void mask_before(TokenRow& tokens, std::size_t end) {
  std::fill_n(tokens.labels.begin(), std::min(end, tokens.labels.size()), kIgnoredLabel);
}

std::vector<std::int32_t> integer_list(const Json& value, std::string_view column, const std::string& where, std::int64_t lowest) {
  if (!value.is_array()) fail(ErrorKind::kData, "{}: {}: expected a list of token ids, found {}", where, column, value.type_name());
  std::vector<std::int32_t> ids;
  ids.reserve(value.size());
  for (const Json& item : value) {
    const std::int64_t id = item.is_number_integer() ? item.get<std::int64_t>() : std::numeric_limits<std::int64_t>::min();
    if (id < lowest || id > std::numeric_limits<std::int32_t>::max()) {
      fail(ErrorKind::kData, "{}: {}: element {}: expected a token id, found {}", where, column, ids.size(), to_json_line(item));
    }
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

bool is_chat(const Json& value) { return value.is_array(); }

}  // namespace

std::int64_t TokenRow::num_targets() const {
  if (labels.empty()) return 0;
  return std::count_if(labels.begin() + 1, labels.end(), [](std::int32_t label) { return label != kIgnoredLabel; });
}

RowTokenizer::RowTokenizer(DatasetPtr dataset, std::string dataset_name, text::Tokenizer tokenizer,
                           std::shared_ptr<const ChatRenderer> chat, TokenizeOptions options)
    : dataset_(std::move(dataset)),
      dataset_name_(std::move(dataset_name)),
      tokenizer_(std::move(tokenizer)),
      chat_(std::move(chat)),
      options_(std::move(options)),
      kind_(detect_row_kind(*dataset_, dataset_name_, options_.text_column)) {
  if (options_.assistant_only_loss && (kind_ == RowKind::kText || kind_ == RowKind::kInputIds)) {
    fail(ErrorKind::kConfig, "assistant_only_loss: needs rows with messages, found rows with {} in {}", row_kind_name(kind_),
         dataset_name_);
  }
  if (options_.completion_only_loss.value_or(false) && kind_ != RowKind::kPromptCompletion) {
    fail(ErrorKind::kConfig, "completion_only_loss: needs rows with prompt and completion, found rows with {} in {}", row_kind_name(kind_),
         dataset_name_);
  }
  if (!options_.eos_token.empty()) {
    if (!tokenizer_.token_to_id(options_.eos_token)) {
      fail(ErrorKind::kConfig, "eos_token: '{}' is not a token of the tokenizer", options_.eos_token);
    }
    eos_token_ = options_.eos_token;
  } else if (const auto eos = tokenizer_.eos_token_id()) {
    eos_token_ = tokenizer_.id_to_token(*eos);
  }
}

const ChatRenderer& RowTokenizer::chat_for(std::int64_t index) const {
  if (chat_ == nullptr) {
    fail(ErrorKind::kModel, "{}: a row of messages needs a chat template, and the tokenizer has none; give one with --chat_template",
         dataset_->where(index));
  }
  return *chat_;
}

std::string RowTokenizer::with_eos(std::string text) const {
  if (options_.append_eos && !eos_token_.empty() && !text.ends_with(eos_token_)) text += eos_token_;
  return text;
}

Json RowTokenizer::template_variables(const Json& row, std::int64_t index) const {
  Json variables = options_.chat_template_kwargs.empty()
                       ? Json()
                       : parse_json(options_.chat_template_kwargs, "chat_template_kwargs", ErrorKind::kConfig);
  if (const auto own = row.find("chat_template_kwargs"); own != row.end() && !own->is_null()) {
    if (!own->is_object()) {
      fail(ErrorKind::kData, "{}: chat_template_kwargs: expected an object, found {}", dataset_->where(index), own->type_name());
    }
    if (variables.is_null()) variables = Json::object();
    variables.update(*own);
  }
  return variables;
}

TokenRow RowTokenizer::ready_ids(const Json& row, std::int64_t index) const {
  const std::string where = dataset_->where(index);
  TokenRow tokens = all_learnt(integer_list(column_value(*dataset_, index, row, "input_ids"), "input_ids", where, 0));
  const auto labels = row.find("labels");
  if (labels == row.end() || labels->is_null()) return tokens;
  tokens.labels = integer_list(*labels, "labels", where, kIgnoredLabel);
  if (tokens.labels.size() != tokens.input_ids.size()) {
    fail(ErrorKind::kData, "{}: expected as many labels as input_ids ({}), found {}", where, tokens.input_ids.size(), tokens.labels.size());
  }
  for (std::size_t i = 0; i < tokens.labels.size(); ++i) {
    if (tokens.labels[i] < 0 && tokens.labels[i] != kIgnoredLabel) {
      fail(ErrorKind::kData, "{}: labels: element {}: expected a token id or {}, found {}", where, i, kIgnoredLabel, tokens.labels[i]);
    }
  }
  return tokens;
}

TokenRow RowTokenizer::chat_row(const Json& messages, const Json& row, std::int64_t index) const {
  const std::string where = dataset_->where(index);
  check_messages(messages, where);
  const ChatRenderer& chat = chat_for(index);
  const auto tools = row.find("tools");
  const Json no_tools;
  const Json& tool_list = tools == row.end() ? no_tools : *tools;
  const Json variables = template_variables(row, index);
  if (!options_.assistant_only_loss) {
    const std::string text = chat.render(messages, false, tool_list, variables).text;
    return all_learnt(tokenizer_.encode(text, {.add_special_tokens = options_.special_tokens_in_chat}));
  }
  const RenderedChat rendered = render_with_assistant_spans(chat, messages, tool_list, variables, where);
  text::Tokenizer::Masked masked = tokenizer_.encode_with_mask(rendered.text, rendered.generation_spans);
  TokenRow tokens = all_learnt(std::move(masked.ids));
  for (std::size_t i = 0; i < tokens.labels.size(); ++i) {
    if (masked.mask[i] == 0) tokens.labels[i] = kIgnoredLabel;
  }
  return tokens;
}

TokenRow RowTokenizer::prompt_completion(const Json& row, std::int64_t index) const {
  const Json& prompt = column_value(*dataset_, index, row, "prompt");
  const Json& completion = column_value(*dataset_, index, row, "completion");
  const std::string where = dataset_->where(index);
  TokenRow tokens;
  std::vector<std::int32_t> prompt_ids;
  if (is_chat(prompt) && is_chat(completion)) {
    check_messages(prompt, where);
    check_messages(completion, where);
    const auto tools = row.find("tools");
    const bool continues = prompt.back().at("role") == "assistant";
    const std::string prompt_text =
        chat_for(index).render(prompt, !continues, tools == row.end() ? Json() : *tools, template_variables(row, index)).text;
    prompt_ids = tokenizer_.encode(prompt_text, {.add_special_tokens = options_.special_tokens_in_chat});
    Json messages = prompt;
    for (const Json& message : completion) messages.push_back(message);
    tokens = chat_row(messages, row, index);
  } else if (prompt.is_string() && completion.is_string()) {
    if (options_.assistant_only_loss) fail(ErrorKind::kConfig, "assistant_only_loss: needs messages; {} holds texts", where);
    const std::string prompt_text = prompt.get<std::string>();
    prompt_ids = tokenizer_.encode(prompt_text);
    // A tokenizer that ends each text with EOS would put one between prompt and completion.
    const auto& suffix = tokenizer_.suffix_ids();
    if (!suffix.empty() && prompt_ids.size() >= suffix.size()) prompt_ids.resize(prompt_ids.size() - suffix.size());
    tokens = plain_text(prompt_text + completion.get<std::string>());
  } else {
    fail(ErrorKind::kData, "{}: expected prompt and completion both as texts or both as lists of messages, found {} and {}", where,
         prompt.type_name(), completion.type_name());
  }
  if (!std::equal(prompt_ids.begin(),
                  prompt_ids.begin() + static_cast<std::ptrdiff_t>(std::min(prompt_ids.size(), tokens.input_ids.size())),
                  tokens.input_ids.begin())) {
    log::notice_once("prompt tokens change",
                     fmt::format("{}: the prompt's tokens change when the completion follows (a token spans the border, or the "
                                 "template rewrites the prompt): the loss begins behind as many tokens as the prompt alone has",
                                 where));
  }
  if (options_.completion_only_loss.value_or(true)) mask_before(tokens, prompt_ids.size());
  return tokens;
}

TokenRow RowTokenizer::plain_text(std::string text) const { return all_learnt(tokenizer_.encode(with_eos(std::move(text)))); }

TokenRow RowTokenizer::tokenize(std::int64_t index) const {
  const Json row = dataset_->row(index);
  try {
    return tokenize_row(row, index);
  } catch (const Error& error) {
    // A template that raises does not know which row it was given.
    const std::string where = dataset_->where(index);
    if (std::string_view(error.what()).find(where) != std::string_view::npos) throw;
    throw Error(error.kind(), where + ": " + error.what());
  }
}

TokenRow RowTokenizer::tokenize_row(const Json& row, std::int64_t index) const {
  switch (kind_) {
    case RowKind::kInputIds:
      return ready_ids(row, index);
    case RowKind::kPromptCompletion:
      return prompt_completion(row, index);
    case RowKind::kMessages:
      return chat_row(column_value(*dataset_, index, row, "messages"), row, index);
    case RowKind::kConversations: {
      const auto system = row.find("system");
      const std::string system_text = system != row.end() && system->is_string() ? system->get<std::string>() : "";
      return chat_row(conversations_to_messages(column_value(*dataset_, index, row, "conversations"), system_text, dataset_->where(index)),
                      row, index);
    }
    case RowKind::kText: {
      const Json& text = column_value(*dataset_, index, row, options_.text_column);
      if (!text.is_string()) {
        fail(ErrorKind::kData, "{}: {}: expected a text, found {}", dataset_->where(index), options_.text_column, text.type_name());
      }
      return plain_text(text.get<std::string>());
    }
  }
  R1_ASSERT(false, "a row kind without a rule");
}

std::string RowTokenizer::describe(std::int64_t index, std::size_t max_characters) const {
  const TokenRow tokens = tokenize(index);
  std::string text;
  for (std::size_t begin = 0; begin < tokens.labels.size();) {
    const bool learnt = tokens.labels[begin] != kIgnoredLabel;
    std::size_t end = begin;
    while (end < tokens.labels.size() && (tokens.labels[end] != kIgnoredLabel) == learnt) ++end;
    const std::string part = tokenizer_.decode(std::span<const std::int32_t>(tokens.input_ids).subspan(begin, end - begin));
    text += learnt ? "⟦" + part + "⟧" : part;
    begin = end;
  }
  if (count_code_points(text) <= max_characters) return text;
  std::size_t position = 0;
  for (std::size_t i = 0; i < max_characters; ++i) next_code_point(text, position);
  return text.substr(0, position) + "…";
}

std::string RowTokenizer::content_hash() const {
  Xxh3Stream hash;
  hash.update(fmt::format("{}\n{}\n{}\n{}\n", kRulesVersion, dataset_->content_hash(), tokenizer_.content_hash(),
                          chat_ ? chat_->content_hash() : std::string("no template")));
  hash.update(fmt::format("{} {} {} {} {} {}\n{}\n{}\n{}", static_cast<int>(kind_), options_.assistant_only_loss,
                          options_.completion_only_loss.value_or(kind_ == RowKind::kPromptCompletion), options_.append_eos,
                          options_.special_tokens_in_chat, eos_token_.size(), eos_token_, options_.text_column,
                          options_.chat_template_kwargs));
  return hash.hex_digest();
}

}  // namespace r1::data

// Reading of tokenizer.json and the config files beside it.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/strings.h"
#include "text/json_reader.h"
#include "text/tokenizer_components.h"
#include "text/tokenizer_impl.h"

namespace r1::text {
namespace {

// Changes when the meaning of ids for the same files changes: part of the content hash.
constexpr std::string_view kFormatVersion = "r1-text-1";

// Spellings that end a turn or a text in the published chat formats.
constexpr std::array<std::string_view, 11> kEndOfTurn = {
    "<|im_end|>",    "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<｜end▁of▁sentence｜>", "<|end|>",
    "<end_of_turn>", "<|return|>", "</s>",       "<|EOT|>"};
constexpr std::array<std::string_view, 3> kBeginOfText = {"<|begin_of_text|>", "<｜begin▁of▁sentence｜>", "<s>"};
constexpr std::array<std::string_view, 5> kEndOfText = {"<｜end▁of▁sentence｜>", "<|end_of_text|>", "</s>", "<|endoftext|>", "<|im_end|>"};
// Candidates for padding in a folder that names none: tokens that no text contains.
constexpr std::array<std::string_view, 8> kPadding = {
    "<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>", "<｜▁pad▁｜>", "<|endoftext|>", "<|reserved_special_token_0|>", "<unk>"};

struct VocabularyEntry {
  std::string_view text;
  std::uint32_t id;
};

std::vector<VocabularyEntry> read_vocabulary(const JsonNode& node, std::int64_t num_added) {
  std::vector<VocabularyEntry> entries;
  const simdjson::dom::object object = node.object();
  entries.reserve(object.size());
  for (const auto field : object) {
    std::int64_t id = 0;
    if (field.value.get(id) != simdjson::SUCCESS || id < 0)
      node.reject(fmt::format("token '{}': expected an id (an integer from 0)", field.key));
    entries.push_back({field.key, static_cast<std::uint32_t>(std::min<std::int64_t>(id, UINT32_MAX))});
  }
  const std::int64_t limit = 4 * (static_cast<std::int64_t>(entries.size()) + num_added) + 65'536;
  for (const VocabularyEntry& entry : entries)
    if (entry.id >= limit)
      node.reject(fmt::format("token '{}': id {} is far beyond the number of tokens ({})", entry.text, entry.id, entries.size()));
  return entries;
}

std::vector<AddedToken> read_added_tokens(const std::optional<JsonNode>& node) {
  std::vector<AddedToken> tokens;
  if (!node) return tokens;
  std::size_t index = 0;
  for (const auto element : node->array()) {
    const JsonNode item = node->item(element, index++);
    AddedToken token;
    const std::int64_t id = item.at("id").integer();
    if (id < 0 || id > 100'000'000) item.reject(fmt::format("token id {} is out of range", id));
    token.id = static_cast<TokenId>(id);
    token.content = item.at("content").string();
    token.special = item.flag("special", false);
    token.single_word = item.flag("single_word", false);
    token.lstrip = item.flag("lstrip", false);
    token.rstrip = item.flag("rstrip", false);
    token.normalized = item.flag("normalized", !token.special);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// Both spellings: "left right" and ["left", "right"].
MergeTable read_merges(const JsonNode& node, const StringTable& ids) {
  MergeTable merges;
  const simdjson::dom::array list = node.array();
  merges.reserve(list.size());
  std::string merged_text;
  std::size_t index = 0;
  std::uint32_t rank = 0;
  for (const auto element : list) {
    std::string_view left, right, line;
    if (element.get(line) == simdjson::SUCCESS) {
      if (line.starts_with("#version")) {
        ++index;
        continue;
      }
      const std::size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
        node.item(element, index).reject(fmt::format("expected two tokens with one space between them, found '{}'", line));
      left = line.substr(0, space);
      right = line.substr(space + 1);
    } else {
      simdjson::dom::array pair;
      if (element.get(pair) != simdjson::SUCCESS || pair.size() != 2 || pair.at(0).get(left) != simdjson::SUCCESS ||
          pair.at(1).get(right) != simdjson::SUCCESS)
        node.item(element, index).expected("\"left right\" or [\"left\", \"right\"]");
    }
    merged_text.assign(left).append(right);
    const auto left_id = ids.find(left), right_id = ids.find(right), merged_id = ids.find(merged_text);
    if (!left_id || !right_id || !merged_id) {
      const std::string_view missing = !left_id ? left : !right_id ? right : std::string_view(merged_text);
      node.item(element, index).reject(fmt::format("token '{}' is not in model.vocab", missing));
    }
    merges.insert(*left_id, *right_id, {rank, *merged_id});
    ++rank;
    ++index;
  }
  return merges;
}

std::string text_of_special_token(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
  return "";
}

/// tokenizer_config.json first, then special_tokens_map.json for what it does not say.
SpecialTokens read_special_tokens(const Json& config, const Json& map) {
  SpecialTokens tokens;
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    for (const Json* source : {&config, &map}) {
      if (!source->contains(name)) continue;
      const std::string text = text_of_special_token((*source)[name]);
      if (text.empty()) continue;
      tokens.emplace_back(name, text);
      break;
    }
  }
  return tokens;
}

Json parse_config(std::string_view text, const std::string& file) {
  if (text.empty()) return Json::object();
  Json config = parse_json(text, file, ErrorKind::kModel);
  if (!config.is_object()) fail(ErrorKind::kModel, "{}: expected an object at the top", file);
  return config;
}

bool config_flag(const Json& config, const char* key, bool absent) {
  return config.contains(key) && config[key].is_boolean() ? config[key].get<bool>() : absent;
}

class Loader {
 public:
  Loader(const std::string& where, const TokenizerOptions& options) : file_(where + "/tokenizer.json"), where_(where), options_(options) {}

  std::shared_ptr<const Tokenizer::Impl> load(std::string_view json, std::string_view config_text, std::string_view map_text) {
    simdjson::dom::parser parser;
    simdjson::dom::element document;
    const simdjson::padded_string padded(json);
    if (const auto error = parser.parse(padded).get(document); error != simdjson::SUCCESS)
      fail(ErrorKind::kModel, "{}: not valid JSON: {}; is the file complete ({} bytes)?", file_, simdjson::error_message(error),
           json.size());
    const JsonNode root(document, file_, "");
    const Json config = parse_config(config_text, where_ + "/tokenizer_config.json");
    const Json map = parse_config(map_text, where_ + "/special_tokens_map.json");

    added_ = read_added_tokens(root.find("added_tokens"));
    append_added_tokens_of_config(config);
    impl_->normalizer = read_normalizer(root.find("normalizer"));
    PretokenizerParts pretokenizer = read_pretokenizer(root.find("pre_tokenizer"));
    impl_->pretokenizer = std::move(pretokenizer.cuts);
    impl_->pretokenizer_changes = std::move(pretokenizer.changes);
    impl_->decoder = read_decoder(root.find("decoder"));
    read_model(root.at("model"), pretokenizer.byte_level);
    build_matchers();
    PostProcessor post_processor = read_post_processor(root.find("post_processor"));
    impl_->prefix_ids = std::move(post_processor.prefix);
    impl_->suffix_ids = std::move(post_processor.suffix);

    impl_->special_tokens = read_special_tokens(config, map);
    choose_special_ids();
    apply_config_rule(config);
    check_post_processor(root);

    Xxh3Stream hash;
    for (const std::string_view part : {kFormatVersion, json, config_text, map_text}) {
      const std::uint64_t size = part.size();
      hash.update(&size, sizeof(size));
      hash.update(part);
    }
    hash.update(options_.special_tokens_rule == SpecialTokensRule::kConfig ? "config" : "file");
    impl_->content_hash = hash.hex_digest();
    return impl_;
  }

 private:
  void read_model(const JsonNode& model, bool byte_level) {
    const auto type = model.find("type");
    if (type && type->string() != "BPE") type->reject(fmt::format("model '{}' is not supported; supported is BPE", type->string()));
    if (const auto dropout = model.find("dropout")) {
      double rate = 0;
      if (dropout->value().get(rate) != simdjson::SUCCESS || rate != 0) dropout->reject("merge dropout is not supported; set it to null");
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (const auto affix = model.find(key); affix && !affix->string().empty())
        affix->reject("affixes are not supported; expected null or an empty text");

    const JsonNode vocab = model.at("vocab");
    const auto entries = read_vocabulary(vocab, static_cast<std::int64_t>(added_.size()));
    std::size_t num_bytes = 0;
    for (const auto& entry : entries) num_bytes += entry.text.size();
    impl_->ids.reserve(entries.size() + added_.size(), num_bytes);
    std::uint32_t max_id = 0;
    for (const auto& entry : entries) {
      if (!impl_->ids.insert(entry.text, entry.id)) vocab.reject(fmt::format("token '{}' is there twice", entry.text));
      max_id = std::max(max_id, entry.id);
    }
    MergeTable merges = read_merges(model.at("merges"), impl_->ids);

    Bpe::Settings settings;
    settings.byte_level = byte_level;
    settings.ignore_merges = model.flag("ignore_merges", false);
    settings.byte_fallback = model.flag("byte_fallback", false);
    settings.fuse_unk = model.flag("fuse_unk", false);
    if (const auto unknown = model.find("unk_token")) {
      const auto id = impl_->ids.find(unknown->string());
      if (!id) unknown->reject(fmt::format("'{}' is not in model.vocab", unknown->string()));
      settings.unknown_token = *id;
    }
    std::vector<std::pair<std::string_view, std::uint32_t>> tokens;
    tokens.reserve(entries.size());
    for (const auto& entry : entries) tokens.emplace_back(entry.text, entry.id);
    impl_->model.emplace(settings, tokens, std::move(merges), mergeable(entries, settings));
    fill_columns(entries, max_id, vocab);
  }

  /// Tokens that merging can make: all of them but the added ones, a superset that needs no bookkeeping.
  std::vector<std::string_view> mergeable(const std::vector<VocabularyEntry>& entries, const Bpe::Settings& settings) const {
    std::vector<std::string_view> texts;
    if (settings.byte_level || !settings.byte_fallback) return texts;
    std::set<std::string_view> added;
    for (const AddedToken& token : added_) added.insert(token.content);
    for (const auto& entry : entries)
      if (!added.contains(entry.text)) texts.push_back(entry.text);
    return texts;
  }

  void fill_columns(const std::vector<VocabularyEntry>& entries, std::uint32_t max_id, const JsonNode& vocab) {
    const std::int64_t limit = 4 * static_cast<std::int64_t>(entries.size() + added_.size()) + 65'536;
    for (const AddedToken& token : added_) {
      if (token.id >= limit)
        fail(ErrorKind::kModel, "{}: added_tokens: token '{}': id {} is far beyond the number of tokens ({})", file_, token.content,
             token.id, entries.size());
      max_id = std::max(max_id, static_cast<std::uint32_t>(token.id));
    }
    const std::size_t size = std::size_t{max_id} + 1;
    std::vector<std::string_view> spellings(size);
    impl_->flags.assign(size, 0);
    for (const auto& entry : entries) {
      if (impl_->flags[entry.id] != 0)
        vocab.reject(fmt::format("tokens '{}' and '{}' share the id {}", spellings[entry.id], entry.text, entry.id));
      spellings[entry.id] = entry.text;
      impl_->flags[entry.id] = Tokenizer::Impl::kExists;
    }
    for (AddedToken& token : added_) {
      // A token that the vocabulary holds keeps the id it has there, as in the reference.
      if (const auto known = impl_->ids.find(token.content)) token.id = static_cast<TokenId>(*known);
      const auto id = static_cast<std::size_t>(token.id);
      if (impl_->flags[id] != 0 && spellings[id] != token.content)
        fail(ErrorKind::kModel, "{}: added_tokens: token '{}' has the id {} of token '{}'", file_, token.content, token.id, spellings[id]);
      spellings[id] = token.content;
      impl_->flags[id] |= Tokenizer::Impl::kExists | (token.special ? Tokenizer::Impl::kSpecial : 0);
      impl_->ids.insert(token.content, static_cast<std::uint32_t>(token.id));
    }
    std::vector<std::string> decoded(size);
    for (std::size_t id = 0; id < size; ++id) {
      if ((impl_->flags[id] & Tokenizer::Impl::kExists) == 0) continue;
      bool is_fallback_byte = false;
      decoded[id] = decoded_token(spellings[id], impl_->decoder, is_fallback_byte);
      if (is_fallback_byte) impl_->flags[id] |= Tokenizer::Impl::kFallbackByte;
    }
    impl_->spellings.assign(spellings);
    impl_->decoded.assign(decoded);
  }

  /// added_tokens_decoder may hold tokens that tokenizer.json lacks.
  void append_added_tokens_of_config(const Json& config) {
    if (!config.contains("added_tokens_decoder") || !config["added_tokens_decoder"].is_object()) return;
    std::set<std::string> known;
    std::set<TokenId> taken;
    for (const AddedToken& token : added_) {
      known.insert(token.content);
      taken.insert(token.id);
    }
    const auto flag = [](const Json& entry, const char* key) { return config_flag(entry, key, false); };
    for (const auto& [id_text, entry] : config["added_tokens_decoder"].items()) {
      const auto id = parse_int(id_text);
      const std::string content = text_of_special_token(entry);
      if (!id || *id < 0 || *id > 100'000'000 || content.empty())
        fail(ErrorKind::kModel, "{}/tokenizer_config.json: added_tokens_decoder.{}: expected an id with an object that has a content",
             where_, id_text);
      if (known.contains(content) || taken.contains(static_cast<TokenId>(*id))) continue;
      AddedToken token;
      token.id = static_cast<TokenId>(*id);
      token.content = content;
      token.special = flag(entry, "special");
      token.single_word = flag(entry, "single_word");
      token.lstrip = flag(entry, "lstrip");
      token.rstrip = flag(entry, "rstrip");
      token.normalized = config_flag(entry, "normalized", !token.special);
      added_.push_back(std::move(token));
    }
  }

  void build_matchers() {
    std::vector<AddedToken> raw, normalized;
    std::vector<std::string> raw_patterns, normalized_patterns;
    std::string buffer;
    for (const AddedToken& token : added_) {
      if (token.content.empty()) continue;
      if (token.normalized) {
        normalized.push_back(token);
        normalized_patterns.emplace_back(impl_->normalizer.apply(token.content, true, buffer));
      } else {
        raw.push_back(token);
        raw_patterns.push_back(token.content);
      }
    }
    impl_->raw_tokens = AddedTokenMatcher(raw, raw_patterns);
    impl_->normalized_tokens = AddedTokenMatcher(normalized, normalized_patterns);
  }

  std::optional<TokenId> id_of(std::string_view content) const {
    const auto id = impl_->ids.find(content);
    return id ? std::optional(static_cast<TokenId>(*id)) : std::nullopt;
  }
  std::optional<TokenId> configured(std::string_view name) const {
    for (const auto& [key, content] : impl_->special_tokens)
      if (key == name) return id_of(content);
    return std::nullopt;
  }
  template <std::size_t N>
  std::optional<TokenId> first_added(const std::array<std::string_view, N>& names) const {
    for (const std::string_view name : names)
      if (const auto id = id_of(name); id && is_added(*id)) return id;
    return std::nullopt;
  }
  bool is_added(TokenId id) const {
    return std::any_of(added_.begin(), added_.end(), [&](const AddedToken& token) { return token.id == id; });
  }

  void choose_special_ids() {
    impl_->bos = configured("bos_token");
    impl_->eos = configured("eos_token");
    // Without any config the known names decide; a config without a BOS token means that there is none.
    if (impl_->special_tokens.empty()) {
      impl_->bos = first_added(kBeginOfText);
      impl_->eos = first_added(kEndOfText);
      for (const auto& [name, id] : {std::pair{"bos_token", impl_->bos}, std::pair{"eos_token", impl_->eos}})
        if (id) impl_->special_tokens.emplace_back(name, std::string(impl_->spellings[static_cast<std::size_t>(*id)]));
    }
    std::set<TokenId> ends;
    if (impl_->eos) ends.insert(*impl_->eos);
    for (const std::string_view name : kEndOfTurn)
      if (const auto id = id_of(name); id && is_added(*id)) ends.insert(*id);
    impl_->end_of_turn_ids.assign(ends.begin(), ends.end());

    if (const auto pad = configured("pad_token")) {
      impl_->pad = *pad;
      return;
    }
    for (const std::string_view name : kPadding) {
      const auto id = id_of(name);
      if (!id || !is_added(*id) || id == impl_->eos || id == impl_->bos) continue;
      impl_->pad = *id;
      return;
    }
    impl_->pad = impl_->eos.value_or(0);
  }

  /// Classes of the reference that write BOS and EOS as the config says, whatever tokenizer.json holds.
  void apply_config_rule(const Json& config) {
    if (options_.special_tokens_rule == SpecialTokensRule::kFile || !config.contains("add_bos_token")) return;
    const std::string name =
        config.contains("tokenizer_class") && config["tokenizer_class"].is_string() ? config["tokenizer_class"].get<std::string>() : "";
    constexpr std::array<std::string_view, 6> kClasses = {"LlamaTokenizer",         "LlamaTokenizerFast", "CodeLlamaTokenizer",
                                                          "CodeLlamaTokenizerFast", "GemmaTokenizer",     "GemmaTokenizerFast"};
    if (std::find(kClasses.begin(), kClasses.end(), name) == kClasses.end()) return;
    impl_->prefix_ids.clear();
    impl_->suffix_ids.clear();
    if (config_flag(config, "add_bos_token", true) && impl_->bos) impl_->prefix_ids.push_back(*impl_->bos);
    if (config_flag(config, "add_eos_token", false) && impl_->eos) impl_->suffix_ids.push_back(*impl_->eos);
  }

  void check_post_processor(const JsonNode& root) const {
    for (const auto* ids : {&impl_->prefix_ids, &impl_->suffix_ids})
      for (const TokenId id : *ids)
        if ((impl_->flags_of(id) & Tokenizer::Impl::kExists) == 0) root.at("post_processor").reject(fmt::format("id {} has no token", id));
  }

  std::string file_, where_;
  TokenizerOptions options_;
  std::vector<AddedToken> added_;
  std::shared_ptr<Tokenizer::Impl> impl_ = std::make_shared<Tokenizer::Impl>();
};

}  // namespace

Tokenizer Tokenizer::from_text(std::string_view tokenizer_json, std::string_view tokenizer_config, std::string_view special_tokens_map,
                               const std::string& where, const TokenizerOptions& options) {
  return Tokenizer(Loader(where, options).load(tokenizer_json, tokenizer_config, special_tokens_map));
}

Tokenizer Tokenizer::load(const std::string& path, const TokenizerOptions& options) {
  namespace fs = std::filesystem;
  const std::string folder = fs::path(path).filename() == "tokenizer.json" ? fs::path(path).parent_path().string() : path;
  const auto text_of = [&](const char* name) {
    const std::string file = folder + "/" + name;
    return fs::exists(file) ? read_file(file, ErrorKind::kModel) : std::string();
  };
  const std::string file = folder + "/tokenizer.json";
  if (!fs::exists(file)) {
    const bool old_layout = fs::exists(folder + "/vocab.json") || fs::exists(folder + "/tokenizer.model");
    fail(ErrorKind::kModel, "{}: expected a tokenizer.json in the model's folder, found none{}", folder,
         old_layout ? " (vocab.json or tokenizer.model alone is not enough; every published model also has a tokenizer.json)" : "");
  }
  return from_text(read_file(file, ErrorKind::kModel), text_of("tokenizer_config.json"), text_of("special_tokens_map.json"), folder,
                   options);
}

}  // namespace r1::text

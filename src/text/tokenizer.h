// A Hugging Face tokenizer folder: text to token ids and back, exactly as the reference library does it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/bpe.h"

namespace r1 {
class ThreadPool;
}

namespace r1::text {

class StreamDecoder;

/// Where the special tokens around a text come from when add_special_tokens is set.
enum class SpecialTokensRule {
  kConfig,  // add_bos_token / add_eos_token of tokenizer_config.json where its tokenizer_class honours them, else the file's
  kFile,    // tokenizer.json's post_processor alone
};

struct TokenizerOptions {
  SpecialTokensRule special_tokens_rule = SpecialTokensRule::kConfig;
};

struct EncodeOptions {
  /// BOS/EOS as the post-processor says. Text rendered by a chat template is encoded without: the template writes its own.
  bool add_special_tokens = true;
};

struct DecodeOptions {
  bool skip_special_tokens = false;
};

/// The special tokens of tokenizer_config.json and special_tokens_map.json as texts, in the order of Hugging Face's map
/// (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token); absent ones are left out.
using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

/// An immutable tokenizer; copies share their tables, all functions may run on several threads at once.
///
/// Invalid UTF-8 in a text becomes U+FFFD per maximal subpart before encoding; decoded text is always valid UTF-8.
class Tokenizer {
 public:
  /// Reads tokenizer.json and, when present, tokenizer_config.json and special_tokens_map.json of a folder (or of the folder of
  /// a tokenizer.json given by path). Throws Error(kModel) that names file, key and reason.
  static Tokenizer load(const std::string& folder, const TokenizerOptions& options = {});

  /// From the texts of the files; empty config texts mean "no such file". `where` stands for the folder in messages.
  static Tokenizer from_text(std::string_view tokenizer_json, std::string_view tokenizer_config, std::string_view special_tokens_map,
                             const std::string& where, const TokenizerOptions& options = {});

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;
  /// Appends to ids.
  void encode_to(std::string_view text, const EncodeOptions& options, std::vector<TokenId>& ids) const;

  /// One list of ids per text; texts are dealt to the pool's threads, the result does not depend on their number.
  std::vector<std::vector<TokenId>> encode_batch(std::span<const std::string_view> texts, ThreadPool& pool,
                                                 const EncodeOptions& options = {}) const;
  std::vector<std::vector<TokenId>> encode_batch(std::span<const std::string> texts, ThreadPool& pool,
                                                 const EncodeOptions& options = {}) const;

  /// Ids and, for each, whether its text overlaps one of the byte ranges [begin, end) of `text` (ascending, disjoint).
  /// Special tokens are not added. For assistant-only loss masks.
  struct Masked {
    std::vector<TokenId> ids;
    std::vector<std::uint8_t> mask;
  };
  Masked encode_with_mask(std::string_view text, std::span<const std::pair<std::size_t, std::size_t>> ranges) const;

  /// Text of the ids; ids without a token (a model may have more rows than tokens) contribute nothing.
  std::string decode(std::span<const TokenId> ids, const DecodeOptions& options = {}) const;

  /// The bytes a token stands for in decoded text (perhaps a part of a UTF-8 sequence); empty for an id without a token.
  std::string_view token_bytes(TokenId id) const;
  /// The token's spelling in tokenizer.json; empty for an id without a token.
  std::string_view id_to_token(TokenId id) const;
  std::optional<TokenId> token_to_id(std::string_view token) const;
  /// True for added tokens marked special, which skip_special_tokens leaves out.
  bool is_special(TokenId id) const;

  /// Highest id + 1, added tokens included. A model may have more rows.
  std::int64_t vocab_size() const;

  std::optional<TokenId> bos_token_id() const;
  std::optional<TokenId> eos_token_id() const;
  /// The configured pad token; else one that no text contains (a reserved or padding token); else EOS, else 0. Never asks the user.
  TokenId pad_token_id() const;
  /// Tokens that end a turn or a text: EOS and the known ends of turns among the added tokens, ascending. They always stay in the loss.
  const std::vector<TokenId>& end_of_turn_ids() const;
  const SpecialTokens& special_tokens() const;

  /// Ids that add_special_tokens puts before and after a text.
  const std::vector<TokenId>& prefix_ids() const;
  const std::vector<TokenId>& suffix_ids() const;

  /// 32 hexadecimal digits over the files' contents and the options: the key for caches of encoded text.
  const std::string& content_hash() const;

  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl);

 private:
  friend class StreamDecoder;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace r1::text

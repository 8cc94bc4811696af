// What a loaded tokenizer consists of; for the files of this folder only.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/string_table.h"
#include "text/token_decoder.h"
#include "text/tokenizer.h"

namespace r1::text {

/// Strings behind each other with their ends: the texts of all ids, without an allocation each.
class TextColumn {
 public:
  template <typename Text>
  void assign(const std::vector<Text>& texts) {
    for (const auto& text : texts) {
      bytes_ += text;
      ends_.push_back(bytes_.size());
    }
  }
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

/// Hands a scratch to each encoding thread and takes it back with its warm cache.
class ScratchPool {
 public:
  std::unique_ptr<BpeScratch> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<BpeScratch>();
    auto scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<BpeScratch> scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<BpeScratch>> free_;
};

struct Tokenizer::Impl {
  Normalizer normalizer;
  Normalizer pretokenizer_changes;  // prefixes and the like that pre-tokenizers add, after the added tokens are out
  Pretokenizer pretokenizer;
  AddedTokenMatcher raw_tokens, normalized_tokens;
  std::optional<Bpe> model;
  DecoderSettings decoder;

  StringTable ids;                // spelling → id, model and added tokens
  TextColumn spellings, decoded;  // by id
  enum : std::uint8_t { kExists = 1, kSpecial = 2, kFallbackByte = 4 };
  std::vector<std::uint8_t> flags;  // by id

  std::vector<TokenId> prefix_ids, suffix_ids, end_of_turn_ids;
  SpecialTokens special_tokens;
  std::optional<TokenId> bos, eos;
  TokenId pad = 0;
  std::string content_hash;

  mutable ScratchPool scratches;

  std::uint8_t flags_of(TokenId id) const {
    return id >= 0 && static_cast<std::size_t>(id) < flags.size() ? flags[static_cast<std::size_t>(id)] : std::uint8_t{0};
  }
};

}  // namespace r1::text

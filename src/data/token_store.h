// All rows of a data set as tokens, in memory or mapped from the token cache.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/packing.h"
#include "data/row_tokenizer.h"

namespace r1 {
class ThreadPool;
}

namespace r1::data {

/// Immutable; rows are not truncated here (packing does that), so one cache serves every max_length.
class TokenStore {
 public:
  TokenStore() = default;
  TokenStore(TokenStore&&) = default;  // the spans stay valid: vectors and mappings keep their memory when moved
  TokenStore& operator=(TokenStore&&) = default;

  /// Tokenises every row; rows are dealt to the pool's threads, the result does not depend on their number.
  static TokenStore build(const RowTokenizer& rows, ThreadPool& pool);

  /// From `cache_folder`/<key>.tokens when it is there and whole; else builds it and writes that file. A damaged file is
  /// replaced with a notice, a folder that cannot be written is a notice too. An empty folder name: no cache.
  static TokenStore load_or_build(const RowTokenizer& rows, ThreadPool& pool, const std::string& cache_folder);

  std::int64_t num_rows() const { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  std::int64_t num_tokens() const { return offsets_.back(); }
  /// Labels that are not ignored.
  std::int64_t num_labelled_tokens() const { return num_labelled_; }
  std::span<const std::int32_t> input_ids(std::int64_t row) const { return part(ids_, row); }
  std::span<const std::int32_t> labels(std::int64_t row) const { return part(labels_, row); }
  std::vector<std::int64_t> row_lengths() const;
  std::int32_t largest_id() const { return largest_id_; }
  bool from_cache() const { return from_cache_; }
  /// The key of the cache entry: RowTokenizer::content_hash().
  const std::string& content_hash() const { return hash_; }

 private:
  friend class TokenCacheFile;
  std::span<const std::int32_t> part(std::span<const std::int32_t> tokens, std::int64_t row) const {
    const auto begin = static_cast<std::size_t>(offsets_[static_cast<std::size_t>(row)]);
    return tokens.subspan(begin, static_cast<std::size_t>(offsets_[static_cast<std::size_t>(row) + 1]) - begin);
  }

  std::vector<std::int32_t> owned_ids_, owned_labels_;
  std::vector<std::int64_t> owned_offsets_;
  MappedFile mapped_;
  std::span<const std::int32_t> ids_, labels_;
  std::span<const std::int64_t> offsets_;
  std::int64_t num_labelled_ = 0;
  std::int32_t largest_id_ = 0;
  bool from_cache_ = false;
  std::string hash_;
};

/// R1_CACHE, else $XDG_CACHE_HOME/open_r1_hpc/tokens, else ~/.cache/open_r1_hpc/tokens.
std::string default_token_cache_folder();

/// The tokens of a block, pieces one behind another.
struct BlockTokens {
  std::vector<std::int32_t> input_ids, labels;
  std::vector<std::int64_t> piece_lengths;
};

/// How the pieces of a block see each other, and with it what their first tokens may be a target of.
enum class PieceAttention {
  kBlockDiagonal,  // each piece alone: its first token has no context, so its label is ignored
  kCausal,         // the block is one text: labels stay
};
BlockTokens block_tokens(const TokenStore& store, const Block& block, PieceAttention attention);

/// Targets of all blocks: labels that are not ignored and have a token before them to be predicted from.
std::int64_t count_targets(const TokenStore& store, std::span<const Block> blocks, PieceAttention attention);

}  // namespace r1::data

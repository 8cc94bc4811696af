#include "data/token_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/profile.h"
#include "base/strings.h"
#include "base/thread_pool.h"

namespace r1::data {
namespace {

namespace fs = std::filesystem;

std::int64_t count_labelled(std::span<const std::int32_t> labels) {
  return std::count_if(labels.begin(), labels.end(), [](std::int32_t label) { return label != kIgnoredLabel; });
}

}  // namespace

/// Layout, little-endian: FileHeader, offsets i64 [num_rows + 1], ids i32 [num_tokens], labels i32 [num_tokens]; the checksum
/// in the header is over everything behind it.
class TokenCacheFile {
 public:
  static void write(const std::string& path, const TokenStore& store) {
    Header header;
    header.num_rows = store.num_rows();
    header.num_tokens = store.num_tokens();
    header.num_labelled = store.num_labelled_;
    header.largest_id = store.largest_id_;
    header.checksum = checksum(store);
    AtomicFile file(path);
    file.write(&header, sizeof header);
    file.write(store.offsets_.data(), store.offsets_.size_bytes());
    file.write(store.ids_.data(), store.ids_.size_bytes());
    file.write(store.labels_.data(), store.labels_.size_bytes());
    file.commit();
  }

  /// False when the file is not a whole cache entry.
  static bool read(const std::string& path, std::int64_t expected_rows, TokenStore& store) {
    MappedFile mapped(path);
    const auto bytes = mapped.bytes();
    Header header;
    if (bytes.size() < sizeof header) return false;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.magic != Header{}.magic || header.num_rows != expected_rows || header.num_tokens < 0) return false;
    const std::uint64_t rows = static_cast<std::uint64_t>(header.num_rows), tokens = static_cast<std::uint64_t>(header.num_tokens);
    if (tokens > bytes.size() || rows > bytes.size() || bytes.size() != sizeof header + (rows + 1) * 8 + tokens * 8) return false;
    store.mapped_ = std::move(mapped);
    const std::byte* data = store.mapped_.bytes().data() + sizeof header;  // mappings are page-aligned, the header is 48 bytes
    store.offsets_ = {reinterpret_cast<const std::int64_t*>(data), rows + 1};
    store.ids_ = {reinterpret_cast<const std::int32_t*>(data + (rows + 1) * 8), tokens};
    store.labels_ = {store.ids_.data() + tokens, tokens};
    store.num_labelled_ = header.num_labelled;
    store.largest_id_ = header.largest_id;
    return checksum(store) == header.checksum;
  }

 private:
  struct Header {
    std::array<char, 8> magic = {'R', '1', 'T', 'O', 'K', 'E', 'N', '1'};
    std::int64_t num_rows = 0, num_tokens = 0, num_labelled = 0;
    std::int32_t largest_id = 0, unused = 0;
    std::uint64_t checksum = 0;
  };
  static_assert(sizeof(Header) == 48);

  static std::uint64_t checksum(const TokenStore& store) {
    std::uint64_t hash = xxh3_64(store.offsets_.data(), store.offsets_.size_bytes());
    hash = xxh3_64(store.ids_.data(), store.ids_.size_bytes(), hash);
    return xxh3_64(store.labels_.data(), store.labels_.size_bytes(), hash);
  }
};

TokenStore TokenStore::build(const RowTokenizer& rows, ThreadPool& pool) {
  const std::int64_t num_rows = rows.dataset().num_rows();
  struct Part {
    std::vector<std::int32_t> ids, labels;
    std::vector<std::int64_t> lengths;
  };
  std::vector<Part> parts(static_cast<std::size_t>(pool.num_threads()));
  pool.parallel_for(num_rows, [&](std::int64_t begin, std::int64_t end, int thread) {
    Part& part = parts[static_cast<std::size_t>(thread)];
    for (std::int64_t index = begin; index < end; ++index) {
      const TokenRow row = rows.tokenize(index);
      part.ids.insert(part.ids.end(), row.input_ids.begin(), row.input_ids.end());
      part.labels.insert(part.labels.end(), row.labels.begin(), row.labels.end());
      part.lengths.push_back(static_cast<std::int64_t>(row.input_ids.size()));
    }
  });
  TokenStore store;
  store.owned_offsets_.push_back(0);
  for (Part& part : parts) {
    store.owned_ids_.insert(store.owned_ids_.end(), part.ids.begin(), part.ids.end());
    store.owned_labels_.insert(store.owned_labels_.end(), part.labels.begin(), part.labels.end());
    for (const std::int64_t length : part.lengths) store.owned_offsets_.push_back(store.owned_offsets_.back() + length);
    part = {};
  }
  store.ids_ = store.owned_ids_;
  store.labels_ = store.owned_labels_;
  store.offsets_ = store.owned_offsets_;
  store.num_labelled_ = count_labelled(store.labels_);
  store.largest_id_ = store.ids_.empty() ? 0 : *std::max_element(store.ids_.begin(), store.ids_.end());
  store.hash_ = rows.content_hash();
  return store;
}

TokenStore TokenStore::load_or_build(const RowTokenizer& rows, ThreadPool& pool, const std::string& cache_folder) {
  if (cache_folder.empty()) return build(rows, pool);
  const std::string path = (fs::path(cache_folder) / (rows.content_hash() + ".tokens")).string();
  std::error_code error;
  if (fs::is_regular_file(path, error)) {
    TokenStore store;
    if (TokenCacheFile::read(path, rows.dataset().num_rows(), store)) {
      store.from_cache_ = true;
      store.hash_ = rows.content_hash();
      return store;
    }
    log::notice("{}: a damaged entry of the token cache; tokenising again", path);
  }
  const double begin = now_seconds();
  TokenStore store = build(rows, pool);
  const double seconds = now_seconds() - begin;
  if (seconds > 1) {
    log::info("tokenised {} rows ({} tokens) in {}; cached in {}", store.num_rows(), format_count(static_cast<double>(store.num_tokens())),
              format_seconds(seconds), cache_folder);
  }
  try {
    make_directories(cache_folder);
    TokenCacheFile::write(path, store);
  } catch (const Error& failure) {
    log::notice("the token cache was not written ({}); the next start tokenises again", failure.what());
  }
  return store;
}

std::vector<std::int64_t> TokenStore::row_lengths() const {
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(num_rows()));
  for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = offsets_[i + 1] - offsets_[i];
  return lengths;
}

std::string default_token_cache_folder() {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string folder = environment("R1_CACHE"); !folder.empty()) return folder;
  std::string cache = environment("XDG_CACHE_HOME");
  if (cache.empty() && !environment("HOME").empty()) cache = environment("HOME") + "/.cache";
  return cache.empty() ? "" : cache + "/open_r1_hpc/tokens";
}

BlockTokens block_tokens(const TokenStore& store, const Block& block, PieceAttention attention) {
  BlockTokens tokens;
  const auto size = static_cast<std::size_t>(block.length());
  tokens.input_ids.reserve(size);
  tokens.labels.reserve(size);
  for (const Piece& piece : block.pieces) {
    const auto begin = static_cast<std::size_t>(piece.begin), length = static_cast<std::size_t>(piece.length());
    const auto ids = store.input_ids(piece.row).subspan(begin, length);
    const auto labels = store.labels(piece.row).subspan(begin, length);
    const std::size_t first = tokens.labels.size();
    tokens.input_ids.insert(tokens.input_ids.end(), ids.begin(), ids.end());
    tokens.labels.insert(tokens.labels.end(), labels.begin(), labels.end());
    if (attention == PieceAttention::kBlockDiagonal && length > 0) tokens.labels[first] = kIgnoredLabel;
    tokens.piece_lengths.push_back(piece.length());
  }
  return tokens;
}

std::int64_t count_targets(const TokenStore& store, std::span<const Block> blocks, PieceAttention attention) {
  std::int64_t targets = 0;
  for (const Block& block : blocks) {
    bool first_of_block = true;
    for (const Piece& piece : block.pieces) {
      auto labels = store.labels(piece.row).subspan(static_cast<std::size_t>(piece.begin), static_cast<std::size_t>(piece.length()));
      if (!labels.empty() && (first_of_block || attention == PieceAttention::kBlockDiagonal)) labels = labels.subspan(1);
      first_of_block = false;
      targets += count_labelled(labels);
    }
  }
  return targets;
}

}  // namespace r1::data

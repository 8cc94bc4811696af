#include "text/tokenizer.h"

#include <simdjson.h>

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "base/thread_pool.h"
#include "text/tokenizer_impl.h"

namespace r1::text {
namespace {

using Range = std::pair<std::size_t, std::size_t>;

/// Where tokens go; lengths are collected only for masks.
struct Sink {
  std::vector<TokenId>* ids = nullptr;
  std::vector<std::uint8_t>* mask = nullptr;
  std::vector<std::uint32_t> lengths;
};

bool overlaps(const std::vector<Range>& ranges, std::size_t begin, std::size_t end) {
  for (const auto& [from, to] : ranges)
    if (from < end && begin < to) return true;
  return false;
}

/// The parts of the ranges inside [begin, end), relative to begin.
std::vector<Range> clipped(const std::vector<Range>& ranges, std::size_t begin, std::size_t end) {
  std::vector<Range> result;
  for (const auto& [from, to] : ranges)
    if (from < end && begin < to) result.emplace_back(std::max(from, begin) - begin, std::min(to, end) - begin);
  return result;
}

/// Ranges of the raw text as ranges of its changed form, by changing the text up to each border.
std::vector<Range> mapped(const std::vector<Range>& ranges, std::string_view raw, std::string_view changed, const Normalizer& normalizer,
                          bool at_start) {
  if (changed.data() == raw.data()) return ranges;
  std::vector<Range> result;
  std::string buffer;
  const auto map_border = [&](std::size_t border) {
    if (border == 0) return std::size_t{0};
    if (border >= raw.size()) return changed.size();
    return std::min(changed.size(), normalizer.apply(raw.substr(0, border), at_start, buffer).size());
  };
  for (const auto& [from, to] : ranges) result.emplace_back(map_border(from), map_border(to));
  return result;
}

/// Encodes text in which no added token is left; ranges refer to it.
void encode_plain(const Tokenizer::Impl& impl, std::string_view raw, bool at_start, BpeScratch& scratch,
                  const std::vector<Range>& raw_ranges, Sink& sink) {
  const std::string_view text = impl.pretokenizer_changes.apply(raw, at_start, scratch.prepared);
  const char* readable_end = text.data() + text.size();
  std::vector<Range> ranges;
  if (sink.mask != nullptr) ranges = mapped(raw_ranges, raw, text, impl.pretokenizer_changes, at_start);
  const auto encode_piece = [&](std::size_t begin, std::size_t end) {
    const std::string_view piece = text.substr(begin, end - begin);
    if (sink.mask == nullptr) {
      impl.model->encode(piece, readable_end, scratch, *sink.ids);
      return;
    }
    sink.lengths.clear();
    impl.model->encode_with_lengths(piece, scratch, *sink.ids, sink.lengths);
    std::size_t token_begin = begin;
    for (const std::uint32_t length : sink.lengths) {
      sink.mask->push_back(overlaps(ranges, token_begin, token_begin + length) ? 1 : 0);
      token_begin += length;
    }
  };
  const std::string_view cut_before = impl.model->cut_before();
  if (impl.pretokenizer.empty() && !cut_before.empty()) {
    std::size_t begin = 0;
    for (std::size_t at = text.find(cut_before, 1); at != std::string_view::npos; at = text.find(cut_before, at + 1)) {
      if (at >= cut_before.size() && text.substr(at - cut_before.size(), cut_before.size()) == cut_before) continue;
      encode_piece(begin, at);
      begin = at;
    }
    if (begin < text.size()) encode_piece(begin, text.size());
    return;
  }
  impl.pretokenizer.cut(text, scratch.piece_ends);
  std::size_t begin = 0;
  for (const std::size_t marked_end : scratch.piece_ends) {
    const std::size_t end = marked_end & ~Pretokenizer::kDropped;
    if ((marked_end & Pretokenizer::kDropped) == 0) encode_piece(begin, end);
    begin = end;
  }
}

void push_added(const Stretch& stretch, const std::vector<Range>& ranges, Sink& sink) {
  sink.ids->push_back(stretch.id);
  if (sink.mask != nullptr) sink.mask->push_back(overlaps(ranges, stretch.begin, stretch.end) ? 1 : 0);
}

/// A stretch between the added tokens of the raw text: normalise, take out the added tokens that are found in normal form.
void encode_stretch(const Tokenizer::Impl& impl, std::string_view raw, bool at_start, BpeScratch& scratch,
                    const std::vector<Range>& raw_ranges, Sink& sink) {
  const std::string_view text = impl.normalizer.apply(raw, at_start, scratch.normalized);
  const std::vector<Range> ranges = sink.mask == nullptr ? std::vector<Range>{} : mapped(raw_ranges, raw, text, impl.normalizer, at_start);
  if (impl.normalized_tokens.empty()) {
    encode_plain(impl, text, at_start, scratch, ranges, sink);
    return;
  }
  std::vector<Stretch> stretches;
  impl.normalized_tokens.split(text, 0, text.size(), stretches);
  for (const Stretch& stretch : stretches) {
    if (stretch.id >= 0) {
      push_added(stretch, ranges, sink);
    } else {
      encode_plain(impl, text.substr(stretch.begin, stretch.end - stretch.begin), at_start && stretch.begin == 0, scratch,
                   clipped(ranges, stretch.begin, stretch.end), sink);
    }
  }
}

void encode_valid(const Tokenizer::Impl& impl, std::string_view text, BpeScratch& scratch, const std::vector<Range>& ranges, Sink& sink) {
  if (text.size() >= std::size_t{1} << 31)
    fail(ErrorKind::kData, "a text of {} bytes is too long to encode in one piece (at most 2 GiB); cut it", text.size());
  std::vector<Stretch> stretches;
  impl.raw_tokens.split(text, 0, text.size(), stretches);
  for (const Stretch& stretch : stretches) {
    if (stretch.id >= 0) {
      push_added(stretch, ranges, sink);
    } else {
      encode_stretch(impl, text.substr(stretch.begin, stretch.end - stretch.begin), stretch.begin == 0, scratch,
                     clipped(ranges, stretch.begin, stretch.end), sink);
    }
  }
}

bool is_valid_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

/// Takes a scratch for the time of one call and gives it back even when encoding throws.
class ScratchLease {
 public:
  explicit ScratchLease(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;
  ~ScratchLease() { pool_.give_back(std::move(scratch_)); }
  BpeScratch& operator*() { return *scratch_; }

 private:
  ScratchPool& pool_;
  std::unique_ptr<BpeScratch> scratch_;
};

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

void Tokenizer::encode_to(std::string_view text, const EncodeOptions& options, std::vector<TokenId>& ids) const {
  ScratchLease scratch(impl_->scratches);
  if (options.add_special_tokens) ids.insert(ids.end(), impl_->prefix_ids.begin(), impl_->prefix_ids.end());
  Sink sink{.ids = &ids, .mask = nullptr, .lengths = {}};
  if (is_valid_utf8(text)) {
    encode_valid(*impl_, text, *scratch, {}, sink);
  } else {
    encode_valid(*impl_, replace_invalid_utf8(text), *scratch, {}, sink);
  }
  if (options.add_special_tokens) ids.insert(ids.end(), impl_->suffix_ids.begin(), impl_->suffix_ids.end());
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 3 + 4);
  encode_to(text, options, ids);
  return ids;
}

namespace {

template <typename Text>
std::vector<std::vector<TokenId>> encode_all(const Tokenizer& tokenizer, std::span<const Text> texts, ThreadPool& pool,
                                             const EncodeOptions& options) {
  std::vector<std::vector<TokenId>> ids(texts.size());
  // Parts of nearly equal bytes, not texts: one long document must not leave the other threads idle.
  std::vector<std::size_t> bytes_before(texts.size() + 1, 0);
  for (std::size_t i = 0; i < texts.size(); ++i) bytes_before[i + 1] = bytes_before[i] + texts[i].size() + 64;
  const auto num_threads = static_cast<std::size_t>(pool.num_threads());
  const auto first_of = [&](std::size_t part) {
    const std::size_t border = bytes_before.back() / num_threads * part;
    return static_cast<std::size_t>(std::lower_bound(bytes_before.begin(), bytes_before.end(), border) - bytes_before.begin());
  };
  pool.parallel_for(pool.num_threads(), [&](std::int64_t begin_part, std::int64_t end_part, int) {
    const std::size_t end = end_part == pool.num_threads() ? texts.size() : first_of(static_cast<std::size_t>(end_part));
    for (std::size_t i = first_of(static_cast<std::size_t>(begin_part)); i < end; ++i) ids[i] = tokenizer.encode(texts[i], options);
  });
  return ids;
}

}  // namespace

std::vector<std::vector<TokenId>> Tokenizer::encode_batch(std::span<const std::string_view> texts, ThreadPool& pool,
                                                          const EncodeOptions& options) const {
  return encode_all(*this, texts, pool, options);
}
std::vector<std::vector<TokenId>> Tokenizer::encode_batch(std::span<const std::string> texts, ThreadPool& pool,
                                                          const EncodeOptions& options) const {
  return encode_all(*this, texts, pool, options);
}

Tokenizer::Masked Tokenizer::encode_with_mask(std::string_view text, std::span<const std::pair<std::size_t, std::size_t>> ranges) const {
  Masked result;
  ScratchLease scratch(impl_->scratches);
  Sink sink{.ids = &result.ids, .mask = &result.mask, .lengths = {}};
  std::vector<Range> wanted(ranges.begin(), ranges.end());
  if (is_valid_utf8(text)) {
    encode_valid(*impl_, text, *scratch, wanted, sink);
    return result;
  }
  for (auto& [from, to] : wanted) {
    from = replace_invalid_utf8(text.substr(0, from)).size();
    to = replace_invalid_utf8(text.substr(0, to)).size();
  }
  encode_valid(*impl_, replace_invalid_utf8(text), *scratch, wanted, sink);
  return result;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, const DecodeOptions& options) const {
  const Impl& impl = *impl_;
  const DecoderSettings& decoder = impl.decoder;
  std::string text;
  text.reserve(ids.size() * 5);
  const std::uint8_t unwanted = options.skip_special_tokens ? Impl::kSpecial : 0;
  if (decoder.byte_level) {
    for (const TokenId id : ids) {
      const std::uint8_t flags = impl.flags_of(id);
      if ((flags & Impl::kExists) == 0 || (flags & unwanted) != 0) continue;
      text += impl.decoded[static_cast<std::size_t>(id)];
    }
    return is_valid_utf8(text) ? text : replace_invalid_utf8(text);
  }
  std::size_t run_begin = std::string::npos;  // of a run of fallback bytes
  const auto close_run = [&] {
    if (run_begin == std::string::npos) return;
    if (first_invalid_utf8(std::string_view(text).substr(run_begin))) {
      const std::size_t num_bytes = text.size() - run_begin;
      text.resize(run_begin);
      for (std::size_t i = 0; i < num_bytes; ++i) text += "\xEF\xBF\xBD";
    }
    run_begin = std::string::npos;
  };
  bool first = true;
  for (const TokenId id : ids) {
    const std::uint8_t flags = impl.flags_of(id);
    if ((flags & Impl::kExists) == 0 || (flags & unwanted) != 0) continue;
    if ((flags & Impl::kFallbackByte) != 0) {
      if (run_begin == std::string::npos) run_begin = text.size();
    } else {
      close_run();
    }
    if (!first) text += decoder.separator;
    first = false;
    text += impl.decoded[static_cast<std::size_t>(id)];
  }
  close_run();
  if (!decoder.strip_every_token && !decoder.strip_content.empty()) {
    std::size_t begin = 0;
    for (int i = 0; i < decoder.strip_start && std::string_view(text).substr(begin).starts_with(decoder.strip_content); ++i)
      begin += decoder.strip_content.size();
    text.erase(0, begin);
  }
  return text;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  return (impl_->flags_of(id) & Impl::kExists) != 0 ? impl_->decoded[static_cast<std::size_t>(id)] : std::string_view{};
}
std::string_view Tokenizer::id_to_token(TokenId id) const {
  return (impl_->flags_of(id) & Impl::kExists) != 0 ? impl_->spellings[static_cast<std::size_t>(id)] : std::string_view{};
}
std::optional<TokenId> Tokenizer::token_to_id(std::string_view token) const {
  const auto id = impl_->ids.find(token);
  return id ? std::optional(static_cast<TokenId>(*id)) : std::nullopt;
}
bool Tokenizer::is_special(TokenId id) const { return (impl_->flags_of(id) & Impl::kSpecial) != 0; }
std::int64_t Tokenizer::vocab_size() const { return static_cast<std::int64_t>(impl_->flags.size()); }
std::optional<TokenId> Tokenizer::bos_token_id() const { return impl_->bos; }
std::optional<TokenId> Tokenizer::eos_token_id() const { return impl_->eos; }
TokenId Tokenizer::pad_token_id() const { return impl_->pad; }
const std::vector<TokenId>& Tokenizer::end_of_turn_ids() const { return impl_->end_of_turn_ids; }
const SpecialTokens& Tokenizer::special_tokens() const { return impl_->special_tokens; }
const std::vector<TokenId>& Tokenizer::prefix_ids() const { return impl_->prefix_ids; }
const std::vector<TokenId>& Tokenizer::suffix_ids() const { return impl_->suffix_ids; }
const std::string& Tokenizer::content_hash() const { return impl_->content_hash; }

}  // namespace r1::text

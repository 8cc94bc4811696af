#include "text/stream_decoder.h"

#include "base/strings.h"
#include "text/tokenizer_impl.h"

namespace r1::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

StreamDecoder::StreamDecoder(Tokenizer tokenizer, const DecodeOptions& options) : tokenizer_(std::move(tokenizer)), options_(options) {
  strips_left_ = tokenizer_.impl_->decoder.strip_every_token ? 0 : tokenizer_.impl_->decoder.strip_start;
}

std::string StreamDecoder::strip_beginning(std::string text) {
  const std::string& content = tokenizer_.impl_->decoder.strip_content;
  while (strips_left_ > 0 && !content.empty() && text.starts_with(content)) {
    text.erase(0, content.size());
    --strips_left_;
  }
  if (!text.empty()) strips_left_ = 0;
  return text;
}

std::string StreamDecoder::add(TokenId id) {
  const Tokenizer::Impl& impl = *tokenizer_.impl_;
  const std::uint8_t flags = impl.flags_of(id);
  if ((flags & Tokenizer::Impl::kExists) == 0) return "";
  if (options_.skip_special_tokens && (flags & Tokenizer::Impl::kSpecial) != 0) return "";
  const std::string_view bytes = impl.decoded[static_cast<std::size_t>(id)];
  const bool first = !any_token_;
  any_token_ = true;
  if (impl.decoder.byte_level) {
    pending_bytes_ += bytes;
    const std::size_t complete = complete_utf8_prefix(pending_bytes_);
    std::string text = replace_invalid_utf8(std::string_view(pending_bytes_).substr(0, complete));
    pending_bytes_.erase(0, complete);
    return text;
  }
  if ((flags & Tokenizer::Impl::kFallbackByte) != 0) {
    pending_bytes_ += bytes;
    const auto invalid = first_invalid_utf8(pending_bytes_);
    if (!invalid) {
      pending_text_ += pending_bytes_;
      pending_bytes_.clear();
    } else if (complete_utf8_prefix(pending_bytes_) > *invalid) {  // no byte that follows can make it valid
      for (std::size_t i = 0; i < pending_bytes_.size(); ++i) pending_text_ += kReplacement;
      pending_bytes_.clear();
    }
  } else {
    for (std::size_t i = 0; i < pending_bytes_.size(); ++i) pending_text_ += kReplacement;
    pending_bytes_.clear();
    if (!first) pending_text_ += impl.decoder.separator;
    pending_text_ += bytes;
  }
  if (!pending_bytes_.empty() || pending_text_.ends_with(kReplacement)) return "";
  return take_pending_text();
}

std::string StreamDecoder::take_pending_text() {
  std::string text = strip_beginning(std::move(pending_text_));
  pending_text_.clear();
  return text;
}

std::string StreamDecoder::flush() {
  std::string text;
  if (tokenizer_.impl_->decoder.byte_level) {
    text = replace_invalid_utf8(pending_bytes_);
  } else {
    for (std::size_t i = 0; i < pending_bytes_.size(); ++i) pending_text_ += kReplacement;
    text = take_pending_text();
  }
  pending_bytes_.clear();
  any_token_ = false;
  strips_left_ = tokenizer_.impl_->decoder.strip_every_token ? 0 : tokenizer_.impl_->decoder.strip_start;
  return text;
}

}  // namespace r1::text

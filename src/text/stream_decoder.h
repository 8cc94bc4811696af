// Text of tokens as they are generated.
#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace r1::text {

/// Turns ids into text piece by piece: every piece is valid UTF-8, an unfinished sequence is held back, invalid bytes become
/// U+FFFD (one per maximal subpart; for byte-fallback vocabularies one per byte). The pieces and the final flush() together are
/// Tokenizer::decode() of all ids, except that a byte-fallback run that turns invalid late keeps what was already handed out.
/// One stream, one thread.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, const DecodeOptions& options = {});

  /// Text that this id completes; may be empty.
  std::string add(TokenId id);
  /// What is still held back, a cut sequence as U+FFFD. The decoder is then at the start of a new text.
  std::string flush();

 private:
  std::string take_pending_text();
  std::string strip_beginning(std::string text);

  Tokenizer tokenizer_;
  DecodeOptions options_;
  std::string pending_bytes_;  // byte-level: an unfinished sequence; byte fallback: a run that is not complete
  std::string pending_text_;   // byte fallback: text that ends with U+FFFD waits for what follows, as in the reference
  int strips_left_ = 0;
  bool any_token_ = false;
};

}  // namespace r1::text

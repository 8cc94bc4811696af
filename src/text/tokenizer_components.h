// Reads the normalizer, pre-tokenizer, decoder and post-processor of a tokenizer.json.
#pragma once

#include <optional>
#include <vector>

#include "text/bpe.h"
#include "text/json_reader.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/token_decoder.h"

namespace r1::text {

/// All functions throw Error(kModel) with file, key and reason for anything that they do not know.
Normalizer read_normalizer(const std::optional<JsonNode>& node);

struct PretokenizerParts {
  Pretokenizer cuts;
  Normalizer changes;       // prefixes that pre-tokenizers add to a stretch of text
  bool byte_level = false;  // the model sees bytes in GPT-2's alphabet
};
PretokenizerParts read_pretokenizer(const std::optional<JsonNode>& node);

DecoderSettings read_decoder(const std::optional<JsonNode>& node);

/// Ids that the post-processor puts before and after a single text.
struct PostProcessor {
  std::vector<TokenId> prefix, suffix;
};
PostProcessor read_post_processor(const std::optional<JsonNode>& node);

}  // namespace r1::text

// How one completion is drawn and when it ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/sampling.h"

namespace r1::engine {

struct SamplingParams {
  ops::SamplingSettings settings;  // temperature, top_k, top_p, min_p, repetition_penalty

  std::int64_t max_new_tokens = 0;  // at least 1
  std::int64_t min_new_tokens = 0;  // ids of stop_token_ids are not drawn before; stop texts do not end it either

  /// Ids that end a completion; all EOS ids of the model's generation_config belong here. The id stays in the completion.
  std::vector<std::int32_t> stop_token_ids;
  bool ignore_eos = false;  // stop_token_ids do not end a completion

  /// Texts that end a completion. The completion's text is cut before the first of them, its ids keep what was generated.
  std::vector<std::string> stop_texts;
};

}  // namespace r1::engine

// r1_train sft: TRL's SFTConfig with Open R1's additions.
#pragma once

#include <optional>
#include <string>

#include "config/trainer_config.h"

namespace r1::config {

/// bfd: best-fit decreasing, whole rows; wrapped: rows concatenated and cut, per 1,000 rows.
enum class PackingStrategy { kBfd, kWrapped };
std::span<const std::string_view> enum_names(PackingStrategy);

/// block_diagonal: tokens see their own row, positions restart with it; causal: the whole block, positions run through.
enum class PackingAttention { kBlockDiagonal, kCausal };
std::span<const std::string_view> enum_names(PackingAttention);

struct SftConfig : CommonConfig, ModelArgs, DatasetArgs, TrainerConfig {
  SftConfig() { learning_rate = 2e-5; }

  std::optional<std::int64_t> max_length = 1024;  // tokens of a row, or of a packed block; none: no limit
  bool packing = false;
  PackingStrategy packing_strategy = PackingStrategy::kBfd;
  PackingAttention packing_attention = PackingAttention::kBlockDiagonal;
  std::optional<bool> eval_packing;  // none: as packing
  std::string dataset_text_field = "text";
  std::optional<bool> completion_only_loss;  // none: true for prompt-completion rows, false for others
  bool assistant_only_loss = false;
  std::optional<std::string> eos_token, pad_token;
};

/// Every field of the program, its legacy names included.
FieldList sft_fields(SftConfig& config);

}  // namespace r1::config

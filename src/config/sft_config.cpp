#include "config/sft_config.h"

#include "config/legacy_keys.h"

namespace r1::config {

std::span<const std::string_view> enum_names(PackingStrategy) {
  static constexpr std::string_view kNames[] = {"bfd", "wrapped"};
  return kNames;
}

std::span<const std::string_view> enum_names(PackingAttention) {
  static constexpr std::string_view kNames[] = {"block_diagonal", "causal"};
  return kNames;
}

FieldList sft_fields(SftConfig& config) {
  FieldList fields;
  add_model_fields(fields, config);
  add_dataset_fields(fields, config);
  fields.group("Rows and loss", "data/packing");
  fields.add("max_length", config.max_length, "Tokens of a row, or of a packed block; null: no limit.").at_least(1);
  fields.add("packing", config.packing, "Put several rows into one block of max_length tokens.");
  fields.add("packing_strategy", config.packing_strategy, "bfd: whole rows, best fit; wrapped: concatenate and cut.")
      .feb25("wrapped")
      .unsupported_choice("ffd", "use bfd");
  fields.add("packing_attention", config.packing_attention, "block_diagonal: rows do not see each other; causal: the whole block.")
      .feb25("causal");
  fields.add("eval_packing", config.eval_packing, "Packing of the evaluation rows; none: as packing.");
  fields.add("dataset_text_field", config.dataset_text_field, "Column that holds the text of text rows.").used_by("data/dataset");
  fields.add("completion_only_loss", config.completion_only_loss, "Loss on the completion alone; none: yes for prompt-completion rows.")
      .used_by("data/sft_rows");
  fields.add("assistant_only_loss", config.assistant_only_loss, "Loss on the assistant's turns alone (template with generation marks).")
      .used_by("data/sft_rows");
  fields.add("eos_token", config.eos_token, "End-of-sequence token in place of the tokenizer's.").used_by("text/tokenizer");
  fields.add("pad_token", config.pad_token, "Padding token to record in the saved tokenizer; masks never look at it.")
      .used_by("text/tokenizer");
  add_trainer_fields(fields, config);
  add_common_fields(fields, config);
  add_training_legacy_keys(fields);
  add_sft_legacy_keys(fields);
  return fields;
}

}  // namespace r1::config

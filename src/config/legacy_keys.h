// The one place for keys of the original's Python stack: those that have another name here, those without meaning here (accepted
// with one notice) and those that are not supported (exit 2 with the nearest way).
#pragma once

#include "config/fields.h"

namespace r1::config {

/// Keys of transformers' TrainingArguments, TRL's ModelConfig and Open R1's scripts that both trainers know.
void add_training_legacy_keys(FieldList& fields);
/// Keys of TRL's SFTConfig.
void add_sft_legacy_keys(FieldList& fields);
/// Keys of TRL's GRPOConfig and Open R1's GRPOScriptArguments.
void add_grpo_legacy_keys(FieldList& fields);
/// Flags of Open R1's generate script that talk to a server.
void add_generate_legacy_keys(FieldList& fields);

}  // namespace r1::config

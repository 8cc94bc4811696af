#include "config/model_args.h"

namespace r1::config {

void add_model_fields(FieldList& fields, ModelArgs& args) {
  fields.group("Model", "hub/resolve, models");
  fields.add("model_name_or_path", args.model_name_or_path, "Local folder, or a name under R1_MODELS or the Hugging Face cache.")
      .required();
  fields.add("model_revision", args.model_revision, "Revision to look for in the Hugging Face cache.").used_by("hub/resolve");
  fields.add("torch_dtype", args.torch_dtype, "Precision of the saved weights, unless save_dtype is given; auto: as in the source model.")
      .used_by("checkpoint/hf_export");
  fields.add("save_dtype", args.save_dtype, "Precision of the saved weights.").used_by("checkpoint/hf_export");
  fields.add("chat_template", args.chat_template, "Chat template in place of the tokenizer's: a text, or the path of a file.")
      .used_by("text/chat_template");
}

}  // namespace r1::config

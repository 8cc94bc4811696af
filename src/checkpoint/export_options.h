// How a model is written as a Hugging Face folder.
#pragma once

#include <string>

#include "tensor/dtype.h"

namespace r1::checkpoint {

struct ExportOptions {
  DType dtype = DType::kF32;  // of the saved weights; config.json says the same
  std::string source_folder;  // where tokenizer files and generation_config.json come from; empty: none
  std::string chat_template;  // written as chat_template.jinja; empty: the source folder's
};

}  // namespace r1::checkpoint

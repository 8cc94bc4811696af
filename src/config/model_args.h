// Which model, and in which precision. TRL's ModelConfig, without what only its Python stack can use (config/legacy_keys.cpp).
#pragma once

#include <optional>
#include <string>

#include "config/common_config.h"
#include "config/fields.h"

namespace r1::config {

struct ModelArgs {
  std::string model_name_or_path;
  std::string model_revision = "main";
  std::optional<DTypeChoice> torch_dtype;
  std::optional<DTypeChoice> save_dtype;
  std::optional<std::string> chat_template;  // a text, or the path of a file
};

void add_model_fields(FieldList& fields, ModelArgs& args);

}  // namespace r1::config

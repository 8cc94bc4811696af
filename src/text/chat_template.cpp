#include "text/chat_template.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/strings.h"
#include "text/template_interpreter.h"
#include "text/template_parser.h"

namespace r1::text {
namespace {

using Value = TemplateValue;

/// Counts what a rendering is allowed to do: it grows with the input.
struct InputSize {
  std::size_t num_values = 0, num_bytes = 0;
};

Value to_value(const Json& json, InputSize& size) {
  ++size.num_values;
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      return number <= INT64_MAX ? Value::integer(static_cast<std::int64_t>(number)) : Value::number(static_cast<double>(number));
    }
    case Json::value_t::number_float:
      return Value::number(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      size.num_bytes += text.size();
      return Value::string(text);
    }
    case Json::value_t::array: {
      Value::Items items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(to_value(item, size));
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      Value::Entries entries;
      entries.reserve(json.size());
      for (const auto& [key, item] : json.items()) entries.emplace_back(Value::string(key), to_value(item, size));
      return Value::dict(std::move(entries));
    }
    default:
      return Value::none();
  }
}

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm result{};
  localtime_r(&now, &result);
  return result;
}

}  // namespace

struct ChatTemplate::Impl {
  struct Variant {
    std::string name, source;
    std::shared_ptr<const ParsedTemplate> parsed;
  };
  std::vector<Variant> variants;
  std::size_t chosen = 0;
  bool chosen_by_user = false;
  std::string content_hash;

  void add(std::string name, std::string source, const std::string& where) {
    auto parsed = parse_template(source, where);
    variants.push_back({std::move(name), std::move(source), std::move(parsed)});
  }
  std::optional<std::size_t> find(std::string_view name) const {
    for (std::size_t i = 0; i < variants.size(); ++i)
      if (variants[i].name == name) return i;
    return std::nullopt;
  }
  std::shared_ptr<const Impl> finished(std::size_t choice) {
    chosen = choice;
    Xxh3Stream hash;
    for (const Variant& variant : variants) {
      for (const std::string* part : {&variant.name, &variant.source}) {
        const std::uint64_t size = part->size();
        hash.update(&size, sizeof(size));
        hash.update(*part);
      }
    }
    hash.update(variants[chosen].name);
    content_hash = hash.hex_digest();
    return std::make_shared<Impl>(std::move(*this));
  }
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

ChatTemplate ChatTemplate::from_text(std::string_view source, const std::string& name) {
  Impl impl;
  impl.add("default", std::string(source), name);
  return ChatTemplate(impl.finished(0));
}

ChatTemplate ChatTemplate::from_setting(const std::string& text_or_path) {
  // A template has braces and line ends; a path that is none of a file is more likely a typo than a template.
  std::error_code ignored;
  const bool may_be_path =
      text_or_path.size() < 4096 && text_or_path.find('\n') == std::string::npos && text_or_path.find('\0') == std::string::npos;
  if (may_be_path && std::filesystem::is_regular_file(text_or_path, ignored))
    return from_text(read_file(text_or_path, ErrorKind::kModel), text_or_path);
  if (may_be_path && text_or_path.find("{{") == std::string::npos && text_or_path.find("{%") == std::string::npos)
    fail(ErrorKind::kConfig, "chat_template: '{}' is neither an existing file nor a template (it has no '{{{{' and no '{{%')",
         text_or_path);
  return from_text(text_or_path, "chat_template");
}

std::optional<ChatTemplate> ChatTemplate::load(const std::string& folder) {
  namespace fs = std::filesystem;
  Impl impl;
  const auto add_setting = [&impl](const Json& setting, const std::string& where) {
    if (setting.is_string()) {
      impl.add("default", setting.get<std::string>(), where);
      return;
    }
    if (!setting.is_array())
      fail(ErrorKind::kModel, "{}: chat_template: expected a text or a list of {{name, template}}, found {}", where, setting.type_name());
    for (const Json& entry : setting) {
      if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() || !entry.contains("template") ||
          !entry["template"].is_string())
        fail(ErrorKind::kModel, "{}: chat_template: expected {{name, template}} in the list, found {}", where, entry.type_name());
      const auto name = entry["name"].get<std::string>();
      if (impl.find(name)) fail(ErrorKind::kModel, "{}: chat_template: two templates are named '{}'", where, name);
      impl.add(name, entry["template"].get<std::string>(), where + " (" + name + ")");
    }
  };
  if (const std::string file = folder + "/chat_template.jinja"; fs::exists(file)) {
    impl.add("default", read_file(file, ErrorKind::kModel), file);
    const fs::path more = fs::path(folder) / "additional_chat_templates";
    if (fs::is_directory(more)) {
      std::vector<fs::path> files;
      for (const auto& entry : fs::directory_iterator(more))
        if (entry.path().extension() == ".jinja") files.push_back(entry.path());
      std::sort(files.begin(), files.end());
      for (const fs::path& path : files)
        if (!impl.find(path.stem().string())) impl.add(path.stem().string(), read_file(path.string(), ErrorKind::kModel), path.string());
    }
  } else {
    for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
      const std::string config_file = folder + "/" + name;
      if (!impl.variants.empty() || !fs::exists(config_file)) continue;
      const Json config = read_json_file(config_file, ErrorKind::kModel);
      if (config.is_object() && config.contains("chat_template") && !config["chat_template"].is_null())
        add_setting(config["chat_template"], config_file);
    }
  }
  if (impl.variants.empty()) return std::nullopt;
  return ChatTemplate(impl.finished(impl.find("default").value_or(0)));
}

ChatTemplate ChatTemplate::load_or_setting(const std::string& folder, const std::optional<std::string>& setting) {
  if (setting && !setting->empty()) return from_setting(*setting);
  if (auto loaded = load(folder)) return *loaded;
  fail(ErrorKind::kModel,
       "{}: the tokenizer has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); give one with "
       "--chat_template",
       folder);
}

RenderedChat ChatTemplate::render(const Json& messages, const RenderOptions& options) const {
  std::size_t chosen = impl_->chosen;
  if (!impl_->chosen_by_user && !options.tools.is_null())
    if (const auto tool_use = impl_->find("tool_use")) chosen = *tool_use;
  const ParsedTemplate& parsed = *impl_->variants[chosen].parsed;

  InputSize size;
  std::vector<std::pair<std::string, Value>> variables;
  variables.emplace_back("messages", to_value(messages, size));
  variables.emplace_back("tools", to_value(options.tools, size));
  variables.emplace_back("documents", Value::none());
  variables.emplace_back("add_generation_prompt", Value::boolean(options.add_generation_prompt));
  for (const auto& [name, text] : options.special_tokens) variables.emplace_back(name, Value::string(text));
  if (!options.arguments.is_object() && !options.arguments.is_null())
    fail(ErrorKind::kData, "the arguments of a chat template must be an object, found {}", options.arguments.type_name());
  for (const auto& [name, item] : options.arguments.items()) variables.emplace_back(name, to_value(item, size));

  RenderLimits limits;
  limits.max_steps = options.max_steps != 0 ? options.max_steps : limits.max_steps + 2'000 * size.num_values + size.num_bytes;
  RenderedChat rendered;
  TemplateInterpreter interpreter(parsed, limits, options.now ? *options.now : local_time());
  for (auto& [name, value] : variables) interpreter.set_variable(name, std::move(value));
  rendered.text = interpreter.run(rendered.generation_spans);
  return rendered;
}

std::vector<std::string> ChatTemplate::variant_names() const {
  std::vector<std::string> names;
  for (const auto& variant : impl_->variants) names.push_back(variant.name);
  return names;
}

ChatTemplate ChatTemplate::variant(const std::string& name) const {
  const auto index = impl_->find(name);
  if (!index) {
    const std::vector<std::string> names = variant_names();
    fail(ErrorKind::kModel, "the chat template has no variant '{}'; it has: {}", name, join(names, ", "));
  }
  Impl copy = *impl_;
  copy.chosen_by_user = true;
  return ChatTemplate(copy.finished(*index));
}

const std::string& ChatTemplate::source() const { return impl_->variants[impl_->chosen].source; }
bool ChatTemplate::has_generation_blocks() const { return impl_->variants[impl_->chosen].parsed->has_generation; }
const std::string& ChatTemplate::content_hash() const { return impl_->content_hash; }

EncodedChat apply_chat_template(const Tokenizer& tokenizer, const ChatTemplate& chat_template, const Json& messages,
                                RenderOptions options) {
  if (options.special_tokens.empty()) options.special_tokens = tokenizer.special_tokens();
  const RenderedChat rendered = chat_template.render(messages, options);
  EncodedChat encoded;
  if (!chat_template.has_generation_blocks()) {
    encoded.ids = tokenizer.encode(rendered.text, {.add_special_tokens = false});
    return encoded;
  }
  auto spans = rendered.generation_spans;
  std::sort(spans.begin(), spans.end());
  Tokenizer::Masked masked = tokenizer.encode_with_mask(rendered.text, spans);
  return {std::move(masked.ids), std::move(masked.mask)};
}

std::tm parse_time(const std::string& text) {
  std::tm time{};
  int consumed = 0;
  const int fields = std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &time.tm_year, &time.tm_mon, &time.tm_mday, &consumed);
  bool valid = fields == 3;
  if (valid && static_cast<std::size_t>(consumed) < text.size()) {
    int used = 0;
    valid = (text[static_cast<std::size_t>(consumed)] == 'T' || text[static_cast<std::size_t>(consumed)] == ' ') &&
            std::sscanf(text.c_str() + consumed + 1, "%2d:%2d:%2d%n", &time.tm_hour, &time.tm_min, &time.tm_sec, &used) == 3 &&
            static_cast<std::size_t>(consumed + 1 + used) == text.size();
  }
  valid = valid && time.tm_mon >= 1 && time.tm_mon <= 12 && time.tm_mday >= 1 && time.tm_mday <= 31 && time.tm_hour >= 0 &&
          time.tm_hour < 24 && time.tm_min >= 0 && time.tm_min < 60 && time.tm_sec >= 0 && time.tm_sec < 61;
  if (!valid) fail(ErrorKind::kUsage, "'{}' is no time such as 2025-01-31T09:05:07", text);
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  std::tm filled = time;
  filled.tm_isdst = -1;
  timegm(&filled);  // day of the week and of the year
  return filled;
}

}  // namespace r1::text

#include "text/tokenizer_components.h"

#include <limits>
#include <utility>

#include "text/piece_scanners.h"

namespace r1::text {
namespace {

constexpr int kMaxNesting = 16;

void check_nesting(const JsonNode& node, int depth) {
  if (depth > kMaxNesting) node.reject(fmt::format("Sequences nested more than {} deep", kMaxNesting));
}

std::string type_of(const JsonNode& node) { return std::string(node.at("type").string()); }

/// {"String": …} or {"Regex": …}, as a regular expression.
Regex read_pattern(const JsonNode& node) {
  if (node.is_object()) {
    if (const auto regex = node.find("Regex")) return Regex(regex->string(), regex->where());
    if (const auto literal = node.find("String")) return Regex(escape_regex(literal->string()), literal->where());
  }
  node.expected("{\"String\": …} or {\"Regex\": …}");
}

void append_normalizer(const JsonNode& node, int depth, std::vector<NormalizerStep>& steps) {
  check_nesting(node, depth);
  const std::string type = type_of(node);
  if (type == "Sequence") {
    const JsonNode list = node.at("normalizers");
    std::size_t index = 0;
    for (const auto element : list.array()) append_normalizer(list.item(element, index++), depth + 1, steps);
  } else if (type == "NFC") {
    steps.emplace_back(UnicodeStep{NormalizationForm::kNfc});
  } else if (type == "NFD") {
    steps.emplace_back(UnicodeStep{NormalizationForm::kNfd});
  } else if (type == "NFKC") {
    steps.emplace_back(UnicodeStep{NormalizationForm::kNfkc});
  } else if (type == "NFKD") {
    steps.emplace_back(UnicodeStep{NormalizationForm::kNfkd});
  } else if (type == "Lowercase") {
    steps.emplace_back(LowercaseStep{});
  } else if (type == "Prepend") {
    steps.emplace_back(PrependStep{std::string(node.at("prepend").string())});
  } else if (type == "Replace") {
    const JsonNode pattern = node.at("pattern");
    const std::string to(node.at("content").string());
    if (const auto literal = pattern.is_object() ? pattern.find("String") : std::nullopt) {
      steps.emplace_back(ReplaceStep{std::string(literal->string()), to});
    } else {
      steps.emplace_back(RegexReplaceStep{read_pattern(pattern), to});
    }
  } else if (type == "Strip") {
    steps.emplace_back(StripStep{node.flag("strip_left", true), node.flag("strip_right", true)});
  } else {
    node.reject(fmt::format(
        "normalizer '{}' is not supported; supported are Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip", type));
  }
}

SplitBehavior read_behavior(const JsonNode& node) {
  const std::string_view name = node.string();
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  node.reject(fmt::format("behavior '{}' is not one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous", name));
}

/// What is collected before known expressions are replaced by scanners.
struct PretokenizerDraft {
  std::vector<PretokenizerStep> steps;
  std::vector<std::string> isolated_expressions;  // one per step; empty for steps that are no plain Isolated split
  std::vector<NormalizerStep> changes;
  bool byte_level = false;
};

void append_split(const JsonNode& node, PretokenizerDraft& draft) {
  const SplitBehavior behavior = read_behavior(node.at("behavior"));
  const bool invert = node.flag("invert", false);
  const JsonNode pattern = node.at("pattern");
  draft.steps.emplace_back(SplitStep{read_pattern(pattern), behavior, invert});
  const auto regex = pattern.find("Regex");
  draft.isolated_expressions.emplace_back(regex && behavior == SplitBehavior::kIsolated && !invert ? std::string(regex->string())
                                                                                                   : std::string());
}

void append_pretokenizer(const JsonNode& node, int depth, PretokenizerDraft& draft) {
  check_nesting(node, depth);
  const std::string type = type_of(node);
  const auto add_expression = [&](const char* expression, SplitBehavior behavior) {
    draft.steps.emplace_back(SplitStep{Regex(expression, node.where()), behavior, false});
    draft.isolated_expressions.emplace_back();
  };
  const auto require_first = [&](const char* what) {
    if (!draft.steps.empty()) node.reject(fmt::format("{} after another pre-tokenizer that cuts is not supported", what));
  };
  if (type == "Sequence") {
    const JsonNode list = node.at("pretokenizers");
    std::size_t index = 0;
    for (const auto element : list.array()) append_pretokenizer(list.item(element, index++), depth + 1, draft);
  } else if (type == "Split") {
    append_split(node, draft);
  } else if (type == "ByteLevel") {
    if (draft.byte_level) node.reject("a second ByteLevel would spell bytes twice; not supported");
    draft.byte_level = true;
    if (node.flag("add_prefix_space", true)) {
      require_first("add_prefix_space");
      draft.changes.emplace_back(PrefixUnlessThereStep{" ", false});
    }
    if (node.flag("use_regex", true)) add_expression(kGpt2Expression, SplitBehavior::kIsolated);
  } else if (type == "Digits") {
    const bool individual = node.flag("individual_digits", false);
    add_expression(individual ? R"(\p{N})" : R"(\p{N}+)", individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  } else if (type == "Metaspace") {
    require_first("Metaspace");
    const std::string replacement(node.at("replacement").string());
    const auto scheme = node.find("prepend_scheme");
    const std::string name = scheme ? std::string(scheme->string()) : node.flag("add_prefix_space", true) ? "always" : "never";
    if (name != "always" && name != "never" && name != "first")
      scheme->reject(fmt::format("'{}' is not one of always, never, first", name));
    draft.changes.emplace_back(ReplaceStep{" ", replacement});
    if (name != "never") draft.changes.emplace_back(PrefixUnlessThereStep{replacement, name == "first"});
    if (node.flag("split", true)) {
      draft.steps.emplace_back(SplitStep{Regex(escape_regex(replacement), node.where()), SplitBehavior::kMergedWithNext, false});
      draft.isolated_expressions.emplace_back();
    }
  } else if (type == "WhitespaceSplit") {
    add_expression(R"(\s+)", SplitBehavior::kRemoved);
  } else {
    node.reject(fmt::format(
        "pre-tokenizer '{}' is not supported; supported are Sequence, Split, ByteLevel, Digits, Metaspace, WhitespaceSplit", type));
  }
}

/// Known expressions give way to scanners.
std::vector<PretokenizerStep> with_scanners(const PretokenizerDraft& draft) {
  std::vector<PretokenizerStep> steps;
  const auto& expressions = draft.isolated_expressions;
  for (std::size_t i = 0; i < draft.steps.size(); ++i) {
    if (expressions[i] == kQwenExpression) {
      steps.emplace_back(ScannerStep{ScannerStep::Kind::kWords, 1});
    } else if (expressions[i] == kLlama3Expression) {
      steps.emplace_back(ScannerStep{ScannerStep::Kind::kWords, 3});
    } else if (i + 2 < expressions.size() && expressions[i] == kDeepSeekExpressions[0] && expressions[i + 1] == kDeepSeekExpressions[1] &&
               expressions[i + 2] == kDeepSeekExpressions[2]) {
      steps.emplace_back(ScannerStep{ScannerStep::Kind::kDeepSeek, 3});
      i += 2;
    } else {
      steps.push_back(draft.steps[i]);
    }
  }
  return steps;
}

void append_decoder(const JsonNode& node, int depth, DecoderSettings& settings, bool& fused) {
  check_nesting(node, depth);
  const std::string type = type_of(node);
  const auto require = [&](bool condition, const char* reason) {
    if (!condition) node.reject(reason);
  };
  if (type == "Sequence") {
    const JsonNode list = node.at("decoders");
    std::size_t index = 0;
    for (const auto element : list.array()) append_decoder(list.item(element, index++), depth + 1, settings, fused);
  } else if (type == "ByteLevel") {
    require(settings.replace.empty() && !settings.byte_fallback && settings.strip_start == 0,
            "ByteLevel together with other decoders is not supported");
    settings.byte_level = true;
  } else if (type == "Replace") {
    require(!settings.byte_level && !settings.byte_fallback && !fused && settings.strip_start == 0,
            "Replace must come before ByteFallback, Fuse and Strip");
    const JsonNode pattern = node.at("pattern");
    settings.replace.emplace_back(std::string(pattern.at("String").string()), std::string(node.at("content").string()));
  } else if (type == "ByteFallback") {
    require(!settings.byte_level && !fused && settings.strip_start == 0,
            "ByteFallback must come before Fuse and Strip and not with ByteLevel");
    settings.byte_fallback = true;
  } else if (type == "Fuse") {
    fused = true;
  } else if (type == "Strip") {
    require(!settings.byte_level && settings.strip_start == 0, "a second Strip, or Strip with ByteLevel, is not supported");
    const std::int64_t start = node.at("start").integer();
    require(start >= 0 && start <= 1000, "start must be between 0 and 1000");
    require(node.at("stop").integer() == 0, "stop other than 0 is not supported");
    settings.strip_content = node.at("content").string();
    settings.strip_start = static_cast<int>(start);
    settings.strip_every_token = !fused;
  } else if (type == "Metaspace") {
    require(!settings.byte_level && !settings.byte_fallback && settings.strip_start == 0,
            "Metaspace together with other decoders is not supported");
    settings.replace.emplace_back(std::string(node.at("replacement").string()), " ");
    const auto scheme = node.find("prepend_scheme");
    if (scheme ? scheme->string() != "never" : node.flag("add_prefix_space", true)) {
      settings.strip_content = " ";
      settings.strip_start = 1;
    }
  } else {
    node.reject(fmt::format(
        "decoder '{}' is not supported; supported are Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace", type));
  }
}

TokenId read_id(const JsonNode& node) {
  const std::int64_t id = node.integer();
  if (id < 0 || id > std::numeric_limits<TokenId>::max()) node.reject(fmt::format("token id {} is out of range", id));
  return static_cast<TokenId>(id);
}

void append_template(const JsonNode& node, PostProcessor& result) {
  PostProcessor around;
  bool behind_text = false;
  const JsonNode list = node.at("single");
  std::size_t index = 0;
  for (const auto element : list.array()) {
    const JsonNode item = list.item(element, index++);
    if (const auto special = item.find("SpecialToken")) {
      const JsonNode ids = node.at("special_tokens").at(special->at("id").string()).at("ids");
      std::size_t id_index = 0;
      for (const auto id : ids.array()) (behind_text ? around.suffix : around.prefix).push_back(read_id(ids.item(id, id_index++)));
    } else if (item.find("Sequence")) {
      if (behind_text) item.reject("a template that repeats the text is not supported");
      behind_text = true;
    } else {
      item.expected("a SpecialToken or a Sequence");
    }
  }
  if (!behind_text) list.reject("the template leaves the text out");
  result.prefix.insert(result.prefix.begin(), around.prefix.begin(), around.prefix.end());
  result.suffix.insert(result.suffix.end(), around.suffix.begin(), around.suffix.end());
}

void append_post_processor(const JsonNode& node, int depth, PostProcessor& result) {
  check_nesting(node, depth);
  const std::string type = type_of(node);
  if (type == "Sequence") {
    const JsonNode list = node.at("processors");
    std::size_t index = 0;
    for (const auto element : list.array()) append_post_processor(list.item(element, index++), depth + 1, result);
  } else if (type == "TemplateProcessing") {
    append_template(node, result);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto id_of = [&](const char* key) {  // ["</s>", 2]
      const JsonNode pair = node.at(key);
      const auto items = pair.array();
      if (items.size() != 2) pair.expected("a token and its id");
      return read_id(pair.item(items.at(1).value(), 1));
    };
    result.prefix.insert(result.prefix.begin(), id_of("cls"));
    result.suffix.push_back(id_of("sep"));
  } else if (type != "ByteLevel") {  // ByteLevel changes offsets only
    node.reject(fmt::format(
        "post-processor '{}' is not supported; supported are Sequence, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing",
        type));
  }
}

}  // namespace

Normalizer read_normalizer(const std::optional<JsonNode>& node) {
  std::vector<NormalizerStep> steps;
  if (node) append_normalizer(*node, 0, steps);
  return Normalizer(std::move(steps));
}

PretokenizerParts read_pretokenizer(const std::optional<JsonNode>& node) {
  PretokenizerDraft draft;
  if (node) append_pretokenizer(*node, 0, draft);
  return {Pretokenizer(with_scanners(draft)), Normalizer(std::move(draft.changes)), draft.byte_level};
}

DecoderSettings read_decoder(const std::optional<JsonNode>& node) {
  DecoderSettings settings;
  bool fused = false;
  if (node) append_decoder(*node, 0, settings, fused);
  else settings.separator = " ";
  return settings;
}

PostProcessor read_post_processor(const std::optional<JsonNode>& node) {
  PostProcessor result;
  if (node) append_post_processor(*node, 0, result);
  return result;
}

}  // namespace r1::text

// Tokenizer files of a few hundred tokens for tests that need no published model.
#pragma once

#include <string>

#include "base/json.h"
#include "base/strings.h"
#include "text/bpe.h"

namespace r1::test {

/// The byte alphabet, merges for a few English words, three added tokens. expression: of the pre-tokenizer.
inline Json byte_level_tokenizer(const std::string& expression) {
  Json vocab = Json::object();
  const auto add = [&vocab](const std::string& token) { vocab[token] = vocab.size(); };
  for (int byte = 0; byte < 256; ++byte) {
    std::string token;
    append_utf8(token, text::Bpe::byte_to_char(static_cast<std::uint8_t>(byte)));
    add(token);
  }
  Json merges = Json::array();
  for (const auto& [left, right] :
       {std::pair{"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {"Ġ", "w"}, {"o", "r"}, {"Ġw", "or"}, {"1", "2"}, {"Ã", "©"}}) {
    merges.push_back(Json::array({left, right}));
    add(std::string(left) + right);
  }
  Json added = Json::array();
  int id = 300;  // a gap: ids without a token
  for (const char* content : {"<|end|>", "<|user|>", "<think>"}) {
    added.push_back({{"id", id++},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", content[1] == '|'}});
  }
  Json split = {{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}, {"invert", false}};
  Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}}},
          {"post_processor", nullptr},
          {"decoder", bytes},
          {"model", {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"vocab", vocab}, {"merges", merges}}}};
}

/// Llama-2's layout: no pre-tokenizer, U+2581 for blanks, byte fallback, BOS by template.
inline Json byte_fallback_tokenizer() {
  Json vocab = Json::object();
  const auto add = [&vocab](const std::string& token) { vocab[token] = vocab.size(); };
  for (const char* token : {"<unk>", "<s>", "</s>"}) add(token);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte));
  for (const char* token : {"▁", "h", "e", "l", "o", "w", "r", "d", "he", "ll", "hell", "hello", "▁hello", "▁w", "or", "▁wor", "�"})
    add(token);
  Json merges = Json::array({"h e", "l l", "he ll", "hell o", "▁ hello", "▁ w", "o r", "▁w or"});
  Json added = Json::array();
  for (int id = 0; id < 3; ++id)
    added.push_back({{"id", id},
                     {"content", id == 0   ? "<unk>"
                                 : id == 1 ? "<s>"
                                           : "</s>"},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  const Json special = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers", Json::array({{{"type", "Prepend"}, {"prepend", "▁"}},
                                         {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}})}}},
          {"pre_tokenizer", nullptr},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", Json::array({special, sequence})},
            {"pair", Json::array({special, sequence})},
            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", Json::array({1})}, {"tokens", Json::array({"<s>"})}}}}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders", Json::array({{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                                      {{"type", "ByteFallback"}},
                                      {{"type", "Fuse"}},
                                      {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}})}}},
          {"model",
           {{"type", "BPE"}, {"unk_token", "<unk>"}, {"fuse_unk", true}, {"byte_fallback", true}, {"vocab", vocab}, {"merges", merges}}}};
}

}  // namespace r1::test

#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <time.h>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/thread_pool.h"
#include "tests/support/paths.h"
#include "tests/text/small_tokenizers.h"
#include "tests/text/vectors.h"
#include "text/piece_scanners.h"
#include "text/pretokenizer.h"
#include "text/stream_decoder.h"
#include "text/unicode.h"

namespace r1 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using text::Tokenizer;
using Ids = std::vector<text::TokenId>;

Tokenizer small(const Json& json, const std::string& config = "") { return Tokenizer::from_text(json.dump(), config, "", "folder"); }
std::string error_of(const Json& json) {
  try {
    small(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// Random text of the kinds that the expressions tell apart.
std::string random_text(std::uint64_t& state, std::size_t num_chars) {
  const std::vector<std::string> kinds = {
      "a",  "Z",        "é", "中", "あ",  "゙",   "・", "7", "٣", "½",  " ",        "  ",   "\t",           "\n", "\r\n",         "\xC2\xA0",
      "　", "\xC2\x85", "'", "'s", "'LL", "'ſ", "!",  "$", "€", "。", "\xCC\x81", "\x01", "\xE2\x80\x8B", "😀",  "\xEE\x80\x80", "_",
      "-",  "ǅ"};
  std::string text;
  for (std::size_t i = 0; i < num_chars; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    text += kinds[(state >> 33) % kinds.size()];
  }
  return text;
}

TEST(Tokenizer, AgreesWithThePublicVectorsOfFiveFamilies) {
  R1_REQUIRE_SHARED(shared);
  const std::vector<std::pair<const char*, const char*>> families = {{"qwen2.5", "<|endoftext|>"},
                                                                     {"llama-3.1", "<|finetune_right_pad_id|>"},
                                                                     {"deepseek-v3", "<｜end▁of▁sentence｜>"},
                                                                     {"deepseek-r1-distill-qwen", "<｜end▁of▁sentence｜>"},
                                                                     {"llama-2", "<unk>"}};
  for (const auto& [family, pad] : families) {
    const std::string folder = shared + "/tokenizers/" + family, config_path = folder + "/tokenizer_config.json";
    const std::string json = test::read_gzip(folder + "/tokenizer.json.gz");
    const std::string config = std::string(family) == "llama-2" ? "" : read_file(config_path);
    const auto tokenizer = Tokenizer::from_text(json, config, "", folder);
    const auto by_file = Tokenizer::from_text(json, config, "", folder, {.special_tokens_rule = text::SpecialTokensRule::kFile});
    const auto rows = test::rows_of(test::read_gzip(shared + "/tokenizers/vectors/" + family + ".encode.jsonl.gz"));
    EXPECT_EQ(rows.size(), 319u);
    for (const Json& row : rows) {
      const auto ids = row["ids"].get<Ids>();
      const std::string text =
          row.contains("bytes_b64") ? *decode_base64(row["bytes_b64"].get<std::string>()) : row["text"].get<std::string>();
      const auto where = std::string(family) + " row " + std::to_string(row["i"].get<int>());
      EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false}), ids) << where;
      EXPECT_EQ(tokenizer.encode(text), row["ids_with_specials"].get<Ids>()) << where;
      EXPECT_EQ(by_file.encode(text), row["ids_with_specials_file"].get<Ids>()) << where;
      EXPECT_EQ(tokenizer.decode(ids), row["decoded"].get<std::string>()) << where;
      EXPECT_EQ(tokenizer.decode(ids, {.skip_special_tokens = true}), row["decoded_skip"].get<std::string>()) << where;
      EXPECT_EQ(tokenizer.encode_with_mask(text, {}).ids, ids) << where;  // the path without caches
    }
    for (const Json& row : test::rows_of(test::read_gzip(shared + "/tokenizers/vectors/" + family + ".stream.jsonl.gz"))) {
      text::StreamDecoder decoder(tokenizer);
      std::vector<std::string> deltas;
      for (const auto id : row["ids"].get<Ids>()) deltas.push_back(decoder.add(id));
      EXPECT_EQ(deltas, row["deltas"].get<std::vector<std::string>>()) << family << " stream row " << row["i"];
      EXPECT_EQ(decoder.flush(), row["flush"].get<std::string>()) << family << " stream row " << row["i"];
    }
    EXPECT_EQ(tokenizer.id_to_token(tokenizer.pad_token_id()), pad) << family;
  }
}

TEST(PieceScanners, CutAsTheirExpressionsDo) {
  const auto isolated = [](const char* expression) {
    return text::SplitStep{text::Regex(expression, "test"), text::SplitBehavior::kIsolated, false};
  };
  const text::Pretokenizer words({text::ScannerStep{text::ScannerStep::Kind::kWords, 1}}), words_slow({isolated(text::kQwenExpression)});
  const text::Pretokenizer llama({text::ScannerStep{text::ScannerStep::Kind::kWords, 3}}), llama_slow({isolated(text::kLlama3Expression)});
  const text::Pretokenizer deepseek({text::ScannerStep{text::ScannerStep::Kind::kDeepSeek, 3}});
  const text::Pretokenizer deepseek_slow(
      {isolated(text::kDeepSeekExpressions[0]), isolated(text::kDeepSeekExpressions[1]), isolated(text::kDeepSeekExpressions[2])});
  std::uint64_t state = 42;
  std::vector<std::size_t> fast, slow;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_text(state, 1 + static_cast<std::size_t>(i) % 24);
    for (const auto& [scanner, reference] : {std::pair{&words, &words_slow}, {&llama, &llama_slow}, {&deepseek, &deepseek_slow}}) {
      scanner->cut(text, fast);
      reference->cut(text, slow);
      ASSERT_EQ(fast, slow) << text;
    }
  }
}

TEST(Tokenizer, EncodesAndDecodesASmallByteLevelModel) {
  const auto tokenizer = small(test::byte_level_tokenizer(text::kQwenExpression));
  const auto text_of = [&](const Ids& ids) {
    std::vector<std::string> tokens;
    for (const auto id : ids) tokens.emplace_back(tokenizer.id_to_token(id));
    return tokens;
  };
  EXPECT_THAT(text_of(tokenizer.encode("hello world12")), ElementsAre("hello", "Ġwor", "l", "d", "1", "2"));  // digits one by one
  EXPECT_THAT(text_of(tokenizer.encode("e\xCC\x81")), ElementsAre("Ã©"));                                     // NFC first
  EXPECT_THAT(text_of(tokenizer.encode("a<|user|><think>b")), ElementsAre("a", "<|user|>", "<think>", "b"));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("hello <|user|>é\xFF"), {.skip_special_tokens = true}), "hello é\xEF\xBF\xBD");
  EXPECT_EQ(tokenizer.decode(Ids{290, 9999, -1}), "");  // ids without a token
  EXPECT_EQ(tokenizer.vocab_size(), 303);
}

TEST(Tokenizer, GivesTheSameIdsWithAnyNumberOfThreads) {
  const auto tokenizer = small(test::byte_level_tokenizer(text::kQwenExpression));
  std::vector<std::string> texts;
  std::uint64_t state = 7;
  for (std::size_t i = 0; i < 50; ++i) texts.push_back(random_text(state, i * 3));
  ThreadPool one(1), three(3);
  const auto ids = tokenizer.encode_batch(std::span<const std::string>(texts), three);
  EXPECT_EQ(ids, tokenizer.encode_batch(std::span<const std::string>(texts), one));
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(ids[i], tokenizer.encode(texts[i]));
}

TEST(Tokenizer, ChoosesPadAndEndOfTurnTokensByItself) {
  Json json = test::byte_level_tokenizer(text::kQwenExpression);
  EXPECT_THAT(small(json, R"({"eos_token": "<|end|>"})").end_of_turn_ids(), ElementsAre(300));
  EXPECT_EQ(small(json, R"({"eos_token": "<|end|>"})").pad_token_id(), 300);  // nothing else would do
  EXPECT_EQ(small(json, R"({"eos_token": "<|end|>", "pad_token": {"content": "<|user|>"}})").pad_token_id(), 301);
  json["added_tokens"].push_back({{"id", 303}, {"content", "<|finetune_right_pad_id|>"}, {"special", true}, {"normalized", false}});
  EXPECT_EQ(small(json, R"({"eos_token": "<|end|>"})").pad_token_id(), 303);
}

TEST(Tokenizer, ReadsMergesInBothSpellingsAndNamesTheBadOne) {
  Json json = test::byte_level_tokenizer(text::kQwenExpression);
  const auto ids = small(json).encode("hello world");
  for (Json& merge : json["model"]["merges"]) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  EXPECT_EQ(small(json).encode("hello world"), ids);
  json["model"]["merges"][3] = "hell q";
  EXPECT_EQ(error_of(json), "folder/tokenizer.json: model.merges[3]: token 'hellq' is not in model.vocab");
}

TEST(Tokenizer, NamesFileKeyAndReasonOfWhatItCannotRead) {
  const Json good = test::byte_level_tokenizer(text::kQwenExpression);
  const auto with = [&good](const char* pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return json;
  };
  EXPECT_EQ(error_of(good), "no error");
  EXPECT_THAT(error_of(with("/model/type", "Unigram")), HasSubstr("tokenizer.json: model.type: model 'Unigram' is not supported"));
  EXPECT_THAT(error_of(with("/normalizer/type", "Nmt")), HasSubstr("tokenizer.json: normalizer: normalizer 'Nmt' is not supported"));
  EXPECT_THAT(error_of(with("/pre_tokenizer/pretokenizers/0/pattern/Regex", "(")),
              HasSubstr("pre_tokenizer.pretokenizers[0].pattern.Regex: not a regular expression"));
  EXPECT_THAT(error_of(with("/model/vocab/a", "x")), HasSubstr("model.vocab: token 'a': expected an id"));
  EXPECT_THAT(error_of(with("/model/vocab/zz", 5)), HasSubstr("share the id 5"));
  EXPECT_THAT(error_of(with("/added_tokens/1/id", "x")), HasSubstr("added_tokens[1].id: expected an integer, found a string"));
  EXPECT_THAT(error_of(with("/model/merges", 3)), HasSubstr("model.merges: expected a list, found a number"));
  try {
    Tokenizer::from_text("{\"model\": ", "", "", "folder");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("folder/tokenizer.json: not valid JSON"));
  }
}

TEST(Tokenizer, TakesTimeThatGrowsWithTheTextAlone) {
  const auto tokenizer = small(test::byte_level_tokenizer(text::kQwenExpression));
  const auto cpu_seconds = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  std::string marks = "a";
  for (int i = 0; i < 100'000; ++i) marks += i % 2 == 0 ? "\xCC\x81" : "\xCC\xA7";  // alternating classes: the worst case of ordering
  for (const std::string& text : {std::string(1'000'000, 'l'), std::string(1'000'000, ' '), marks}) {
    const double begin = cpu_seconds();
    tokenizer.encode(text);
    EXPECT_LT(cpu_seconds() - begin, 5.0);  // quadratic work would take minutes
  }
}

TEST(Tokenizer, HashesWhatChangesIds) {
  Json json = test::byte_level_tokenizer(text::kQwenExpression);
  const std::string hash = small(json).content_hash();
  EXPECT_EQ(small(json).content_hash(), hash);
  EXPECT_NE(small(json, R"({"eos_token": "<|end|>"})").content_hash(), hash);
  json["normalizer"] = nullptr;
  EXPECT_NE(small(json).content_hash(), hash);
}

TEST(StreamDecoder, HoldsBackWhatIsNotComplete) {
  const auto tokenizer = small(test::byte_level_tokenizer("\\p{L}"));
  text::StreamDecoder decoder(tokenizer);
  std::vector<std::string> deltas;
  for (const unsigned char byte : std::string("\xF0\x9F\x98\x80\xF0\x9F"
                                              "a\xE2\x82"))
    deltas.push_back(decoder.add(byte));
  EXPECT_THAT(deltas, ElementsAre("", "", "", "😀", "", "",
                                  "\xEF\xBF\xBD"
                                  "a",
                                  "", ""));
  EXPECT_EQ(decoder.flush(), "\xEF\xBF\xBD");
}

TEST(StreamDecoder, GivesTheSameAsDecodingAtOnce) {
  for (const Json& json : {test::byte_level_tokenizer(text::kLlama3Expression), test::byte_fallback_tokenizer()}) {
    const auto tokenizer = small(json);
    std::uint64_t state = 3;
    for (int i = 0; i < 300; ++i) {
      const Ids ids = tokenizer.encode(random_text(state, 12));
      text::StreamDecoder decoder(tokenizer);
      std::string text;
      for (const auto id : ids) text += decoder.add(id);
      EXPECT_EQ(text + decoder.flush(), tokenizer.decode(ids));
    }
  }
}

TEST(Unicode, NormalisesToNfc) {
  using text::NormalizationForm;
  EXPECT_EQ(text::normalize("e\xCC\x81", NormalizationForm::kNfc), "é");
  EXPECT_EQ(text::normalize("\xE2\x84\xAB", NormalizationForm::kNfc), "Å");                           // a singleton
  EXPECT_EQ(text::normalize("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", NormalizationForm::kNfc), "한");  // Hangul
  EXPECT_EQ(text::normalize("a\xCC\x81\xCC\xA3z", NormalizationForm::kNfc), "ạ́z");                    // marks in canonical order
  EXPECT_EQ(text::normalize("\xE0\xA5\x98", NormalizationForm::kNfc), "\xE0\xA4\x95\xE0\xA4\xBC");    // a composition exclusion
  EXPECT_EQ(text::normalize("ﬁ", NormalizationForm::kNfkc), "fi");
  // U+07FD is younger than the reference's data, which leaves it in front of U+0323.
  EXPECT_EQ(text::normalize("a\xDF\xBD\xCC\xA3", NormalizationForm::kNfc), "a\xDF\xBD\xCC\xA3");
  EXPECT_EQ(text::char_classes(0x2EBF0), text::kLetter);  // Unicode 15.1, also where the system's data is older
}

}  // namespace
}  // namespace r1

#include "data/row_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "base/thread_pool.h"
#include "data/builtin_tasks.h"
#include "data/chat_renderer.h"
#include "data/jsonl_dataset.h"
#include "data/token_store.h"
#include "tests/support/paths.h"

namespace r1::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int32_t kEos = 257, kUser = 258, kAssistant = 259;
constexpr std::int32_t kX = kIgnoredLabel;

text::Tokenizer chain_tokenizer() { return text::Tokenizer::load(test::source_folder() + "/assets/chain"); }

// The chain template's rule by hand: <|user|>…<|assistant|>…<|im_end|>, with or without marks.
class TinyChat final : public ChatRenderer {
 public:
  explicit TinyChat(bool marks) : marks_(marks) {}
  RenderedChat render(const Json& messages, bool add_generation_prompt, const Json&, const Json& extra) const override {
    RenderedChat rendered;
    if (extra.is_object() && extra.contains("prefix")) rendered.text += extra.at("prefix").get<std::string>();
    for (const Json& message : messages) {
      const bool assistant = message.at("role") == "assistant";
      rendered.text += assistant ? "<|assistant|>" : "<|user|>";
      const std::size_t begin = rendered.text.size();
      rendered.text += message.at("content").get<std::string>() + (assistant ? "<|im_end|>" : "");
      if (assistant && marks_) rendered.generation_spans.emplace_back(begin, rendered.text.size());
    }
    if (add_generation_prompt) rendered.text += "<|assistant|>";
    return rendered;
  }
  bool marks_generation() const override { return marks_; }
  std::string content_hash() const override { return marks_ ? "marks" : "plain"; }

 private:
  bool marks_;
};

class RowTokenizerTest : public testing::Test {
 protected:
  RowTokenizer open(const std::string& lines, TokenizeOptions options = {},
                    std::shared_ptr<const ChatRenderer> chat = std::make_shared<TinyChat>(true)) {
    return RowTokenizer(open_jsonl(folder_.write("rows.jsonl", lines)), "rows.jsonl", chain_tokenizer(), std::move(chat),
                        std::move(options));
  }
  TokenRow first(const std::string& line, TokenizeOptions options = {}) { return open(line + "\n", std::move(options)).tokenize(0); }
  std::string error_of(const std::string& line, TokenizeOptions options = {},
                       std::shared_ptr<const ChatRenderer> chat = std::make_shared<TinyChat>(true)) {
    try {
      open(line + "\n", std::move(options), std::move(chat)).tokenize(0);
    } catch (const Error& error) {
      EXPECT_GE(exit_code(error.kind()), 2);
      EXPECT_LE(exit_code(error.kind()), 3);
      return error.what();
    }
    ADD_FAILURE() << line << " was tokenised";
    return {};
  }
  test::TemporaryFolder folder_;
};

const char* const kDialogue =
    R"({"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}, {"role": "assistant", "content": "4"}]})";

TEST_F(RowTokenizerTest, MessagesAreRenderedAndLearntWhole) {
  const TokenRow row = first(kDialogue);
  EXPECT_THAT(row.input_ids, ElementsAre(kUser, '1', kAssistant, '2', kEos, kUser, '3', kAssistant, '4', kEos));
  EXPECT_EQ(row.labels, row.input_ids);
  EXPECT_EQ(row.num_targets(), 9);
}

TEST_F(RowTokenizerTest, AssistantOnlyLossKeepsWhatAssistantsWroteWithTheEndOfTurn) {
  const TokenRow row = first(kDialogue, {.assistant_only_loss = true});
  EXPECT_THAT(row.labels, ElementsAre(kX, kX, kX, '2', kEos, kX, kX, kX, '4', kEos));
}

TEST_F(RowTokenizerTest, ATemplateWithoutMarksIsRenderedTurnByTurn) {
  const RowTokenizer rows = open(std::string(kDialogue) + "\n", {.assistant_only_loss = true}, std::make_shared<TinyChat>(false));
  EXPECT_THAT(rows.tokenize(0).labels, ElementsAre(kX, kX, kX, '2', kEos, kX, kX, kX, '4', kEos));
}

TEST_F(RowTokenizerTest, ConversationsBecomeMessagesWithTheSystemColumnInFront) {
  const TokenRow row = first(R"({"system": "s", "conversations": [{"from": "human", "value": "1"}, {"from": "gpt", "value": "2"}]})");
  EXPECT_THAT(row.input_ids, ElementsAre(kUser, 's', kUser, '1', kAssistant, '2', kEos));
}

TEST_F(RowTokenizerTest, PromptAndCompletionAsMessagesLearnTheCompletion) {
  const std::string line = R"({"prompt": [{"role": "user", "content": "1"}], "completion": [{"role": "assistant", "content": "2"}]})";
  EXPECT_THAT(first(line).input_ids, ElementsAre(kUser, '1', kAssistant, '2', kEos));
  EXPECT_THAT(first(line).labels, ElementsAre(kX, kX, kX, '2', kEos));
  EXPECT_THAT(first(line, {.completion_only_loss = false}).labels, ElementsAre(kUser, '1', kAssistant, '2', kEos));
}

TEST_F(RowTokenizerTest, TextsEndWithTheEosTokenOnce) {
  EXPECT_THAT(first(R"({"prompt": "ab", "completion": "c"})").labels, ElementsAre(kX, kX, 'c', kEos));
  EXPECT_THAT(first(R"({"text": "ab"})").input_ids, ElementsAre('a', 'b', kEos));
  EXPECT_THAT(first(R"({"text": "ab<|im_end|>"})").input_ids, ElementsAre('a', 'b', kEos));
  EXPECT_THAT(first(R"({"text": "ab"})", {.append_eos = false}).input_ids, ElementsAre('a', 'b'));
  EXPECT_THAT(first(R"({"text": "ab"})", {.eos_token = "<|pad|>"}).input_ids, ElementsAre('a', 'b', 256));
  EXPECT_THAT(first(R"({"body": "ab"})", {.text_column = "body"}).input_ids, ElementsAre('a', 'b', kEos));
}

TEST_F(RowTokenizerTest, ReadyIdsAreTakenAsTheyAre) {
  const TokenRow row = first(R"({"input_ids": [5, 6, 7], "labels": [-100, 6, -100], "text": "unused"})");
  EXPECT_THAT(row.input_ids, ElementsAre(5, 6, 7));
  EXPECT_THAT(row.labels, ElementsAre(kX, 6, kX));
  EXPECT_EQ(row.num_targets(), 1);
  EXPECT_THAT(first(R"({"input_ids": [5, 6]})").labels, ElementsAre(5, 6));
}

TEST_F(RowTokenizerTest, TemplateVariablesComeFromOptionsAndRow) {
  TokenizeOptions options;
  options.chat_template_kwargs = R"({"prefix": "p"})";
  const std::string messages = R"("messages": [{"role": "user", "content": "1"}])";
  EXPECT_THAT(first("{" + messages + "}", options).input_ids, ElementsAre('p', kUser, '1'));
  EXPECT_THAT(first("{" + messages + R"(, "chat_template_kwargs": {"prefix": "r"}})", options).input_ids, ElementsAre('r', kUser, '1'));
}

TEST_F(RowTokenizerTest, BrokenRowsAreReportedWithTheirPlace) {
  EXPECT_THAT(error_of(R"({"messages": []})"), HasSubstr("rows.jsonl:1: expected a non-empty list of messages"));
  EXPECT_THAT(error_of(R"({"messages": [{"role": "user"}]})"), HasSubstr("message 0: expected a text under 'content', found nothing"));
  EXPECT_THAT(error_of(R"({"messages": [{"content": "x"}]})"), HasSubstr("expected a text under 'role'"));
  EXPECT_THAT(error_of(R"({"messages": "x"})"), HasSubstr("found string"));
  EXPECT_THAT(error_of(R"({"conversations": [{"from": "alien", "value": "x"}]})"), HasSubstr("found 'alien'"));
  EXPECT_THAT(error_of(R"({"prompt": "x", "completion": [{"role": "assistant", "content": "y"}]})"), HasSubstr("both as texts or both"));
  EXPECT_THAT(error_of(R"({"text": 3})"), HasSubstr("text: expected a text, found number"));
  EXPECT_THAT(error_of(R"({"input_ids": [1, -2]})"), HasSubstr("element 1: expected a token id, found -2"));
  EXPECT_THAT(error_of(R"({"input_ids": [1], "labels": [1, 2]})"), HasSubstr("as many labels as input_ids (1), found 2"));
  EXPECT_THAT(error_of(R"({"question": "x"})"), HasSubstr("found question"));
  EXPECT_THAT(error_of(kDialogue, {}, nullptr), HasSubstr("--chat_template"));
}

TEST_F(RowTokenizerTest, OptionsThatDoNotFitTheRowsAreConfigErrors) {
  EXPECT_THAT(error_of(R"({"text": "x"})", {.assistant_only_loss = true}), HasSubstr("needs rows with messages, found rows with text"));
  EXPECT_THAT(error_of(R"({"text": "x"})", {.completion_only_loss = true}), HasSubstr("needs rows with prompt and completion"));
  EXPECT_THAT(error_of(R"({"text": "x"})", {.eos_token = "<|nope|>"}), HasSubstr("'<|nope|>' is not a token"));
}

TEST_F(RowTokenizerTest, DescribeShowsTheLearntParts) {
  EXPECT_EQ(open(std::string(kDialogue) + "\n", {.assistant_only_loss = true}).describe(0),
            "<|user|>1<|assistant|>⟦2<|im_end|>⟧<|user|>3<|assistant|>⟦4<|im_end|>⟧");
}

TEST_F(RowTokenizerTest, TheStoreIsTheSameForAnyNumberOfThreadsAndFromTheCache) {
  std::string lines;
  for (int i = 0; i < 101; ++i) lines += Json{{"text", std::string(static_cast<std::size_t>(i % 7), 'a')}}.dump() + "\n";
  const RowTokenizer rows = open(lines);
  ThreadPool one(1), three(3);
  const TokenStore reference = TokenStore::build(rows, one);
  const std::string cache = folder_.file("cache");
  const TokenStore built = TokenStore::load_or_build(rows, three, cache);
  const TokenStore loaded = TokenStore::load_or_build(rows, one, cache);
  EXPECT_FALSE(built.from_cache());
  EXPECT_TRUE(loaded.from_cache());
  for (const TokenStore* store : {&built, &loaded}) {
    ASSERT_EQ(store->num_rows(), 101);
    EXPECT_EQ(store->row_lengths(), reference.row_lengths());
    EXPECT_EQ(store->num_labelled_tokens(), reference.num_tokens());
    EXPECT_EQ(store->largest_id(), kEos);
    EXPECT_TRUE(std::ranges::equal(store->input_ids(100), reference.input_ids(100)));
    EXPECT_TRUE(std::ranges::equal(store->labels(3), reference.labels(3)));
  }
  const RowTokenizer other = open(lines, {.append_eos = false});
  EXPECT_NE(other.content_hash(), rows.content_hash());
  EXPECT_NE(open(lines + "{\"text\": \"b\"}\n").content_hash(), rows.content_hash());
}

TEST_F(RowTokenizerTest, ADamagedCacheEntryIsReplaced) {
  const RowTokenizer rows = open("{\"text\": \"abc\"}\n");
  ThreadPool pool(1);
  const std::string cache = folder_.file("cache"), path = cache + "/" + rows.content_hash() + ".tokens";
  TokenStore::load_or_build(rows, pool, cache);
  const auto size = std::filesystem::file_size(path);
  for (const std::uintmax_t at : {std::uintmax_t{3}, std::uintmax_t{60}, size - 1}) {
    {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(at));
      file.put('\x55');
    }
    const TokenStore store = TokenStore::load_or_build(rows, pool, cache);
    EXPECT_FALSE(store.from_cache()) << at;
    EXPECT_THAT(std::vector<std::int32_t>(store.input_ids(0).begin(), store.input_ids(0).end()), ElementsAre('a', 'b', 'c', kEos));
    EXPECT_TRUE(TokenStore::load_or_build(rows, pool, cache).from_cache());
  }
  std::filesystem::resize_file(path, size / 2);
  EXPECT_FALSE(TokenStore::load_or_build(rows, pool, cache).from_cache());
}

TEST_F(RowTokenizerTest, FirstTokensOfPiecesAreTargetsInCausalBlocksOnly) {
  const RowTokenizer rows = open("{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [4, 5]}\n");
  ThreadPool pool(1);
  const TokenStore store = TokenStore::build(rows, pool);
  const Packing packing = pack_rows(store.row_lengths(), 8, PackingStrategy::kBfd);
  ASSERT_EQ(packing.blocks.size(), 1u);
  const BlockTokens diagonal = block_tokens(store, packing.blocks[0], PieceAttention::kBlockDiagonal);
  EXPECT_THAT(diagonal.input_ids, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(diagonal.labels, ElementsAre(kX, 2, 3, kX, 5));
  EXPECT_THAT(diagonal.piece_lengths, ElementsAre(3, 2));
  EXPECT_THAT(block_tokens(store, packing.blocks[0], PieceAttention::kCausal).labels, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(count_targets(store, packing.blocks, PieceAttention::kBlockDiagonal), 3);
  EXPECT_EQ(count_targets(store, packing.blocks, PieceAttention::kCausal), 4);
}

std::shared_ptr<const ChatRenderer> template_of(const std::string& folder, const text::Tokenizer& tokenizer) {
  return make_chat_renderer(text::ChatTemplate::load_or_setting(folder, std::nullopt), tokenizer);
}

TEST(ChainTemplate, MarksTheReplyAndRefusesOtherRoles) {
  const std::string folder = test::source_folder() + "/assets/chain";
  const text::Tokenizer tokenizer = chain_tokenizer();
  const RowTokenizer rows(open_builtin("builtin/chain", "train"), "builtin/chain", tokenizer, template_of(folder, tokenizer),
                          {.assistant_only_loss = true});
  for (std::int64_t i = 0; i < 50; ++i) {
    const TokenRow row = rows.tokenize(i);
    ASSERT_GE(row.input_ids.size(), 20u);
    EXPECT_EQ(row.input_ids[0], kUser);
    EXPECT_EQ(row.input_ids[15], kAssistant);
    EXPECT_EQ(row.input_ids.back(), kEos);
    for (std::size_t t = 0; t < row.labels.size(); ++t) EXPECT_EQ(row.labels[t], t < 16 ? kX : row.input_ids[t]);
    EXPECT_LE(row.input_ids.size(), 33u) << "16 of the prompt, 17 of a careful reply";
  }
  const test::TemporaryFolder other;
  const RowTokenizer system(open_jsonl(other.write("s.jsonl", R"({"messages": [{"role": "system", "content": "x"}]})")), "s", tokenizer,
                            template_of(folder, tokenizer), {});
  try {
    system.tokenize(0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 3);
    EXPECT_THAT(error.what(), HasSubstr("s.jsonl:1"));
    EXPECT_THAT(error.what(), HasSubstr("user and assistant only"));
  }
}

TEST(ChainTemplate, PromptAndCompletionGiveTheSameTokensAndLabels) {
  const std::string folder = test::source_folder() + "/assets/chain";
  const text::Tokenizer tokenizer = chain_tokenizer();
  const RowTokenizer messages(open_builtin("builtin/chain", "train"), "m", tokenizer, template_of(folder, tokenizer),
                              {.assistant_only_loss = true});
  const RowTokenizer pairs(open_builtin("builtin/chain:format=prompt_completion", "train"), "p", tokenizer, template_of(folder, tokenizer),
                           {});
  for (std::int64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(messages.tokenize(i).input_ids, pairs.tokenize(i).input_ids);
    EXPECT_EQ(messages.tokenize(i).labels, pairs.tokenize(i).labels);
  }
}

// From the conversations on: rendering, encoding, both kinds of labels.
TEST(SftFixture, TokensAndLabelsOfConversationsAgreeWithTheReference) {
  R1_REQUIRE_SHARED(shared);
  const Json expected = read_json_file(shared + "/fixtures/sft/expected.json");
  const std::string folder = shared + "/fixtures/checkpoints/" + expected.at("model").get<std::string>();
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  const DatasetPtr conversations = open_jsonl(shared + "/fixtures/sft/conversations.jsonl");
  const RowTokenizer full(conversations, "conversations", tokenizer, template_of(folder, tokenizer), {});
  const RowTokenizer assistant(conversations, "conversations", tokenizer, template_of(folder, tokenizer), {.assistant_only_loss = true});
  ASSERT_EQ(conversations->num_rows(), static_cast<std::int64_t>(expected.at("examples").size()));
  ThreadPool pool(2);
  const TokenStore store = TokenStore::build(assistant, pool);
  const Packing truncated = pack_rows(store.row_lengths(), expected.at("max_length").get<std::int64_t>(), PackingStrategy::kNone);
  for (std::size_t i = 0; i < expected.at("examples").size(); ++i) {
    const Json& example = expected.at("examples")[i];
    const auto row = static_cast<std::int64_t>(i);
    EXPECT_EQ(full.tokenize(row).input_ids, example.at("input_ids").get<std::vector<std::int32_t>>());
    EXPECT_EQ(full.tokenize(row).labels, example.at("labels_full").get<std::vector<std::int32_t>>());
    EXPECT_EQ(assistant.tokenize(row).labels, example.at("labels_assistant_only").get<std::vector<std::int32_t>>());
    const BlockTokens cut = block_tokens(store, truncated.blocks[i], PieceAttention::kCausal);
    EXPECT_EQ(cut.input_ids, expected.at("truncated_unpacked")[i].at("input_ids").get<std::vector<std::int32_t>>());
    EXPECT_EQ(cut.labels, expected.at("truncated_unpacked")[i].at("labels_assistant_only").get<std::vector<std::int32_t>>());
  }
}

// The packed rows of the reference, made from its own token ids.
TEST(SftFixture, PackedIdsAndLabelsAgreeWithTheReference) {
  R1_REQUIRE_SHARED(shared);
  const Json expected = read_json_file(shared + "/fixtures/sft/expected.json");
  const test::TemporaryFolder folder;
  ThreadPool pool(2);
  for (const std::string labels : {"labels_full", "labels_assistant_only"}) {
    std::string lines;
    for (const Json& example : expected.at("examples")) {
      lines += Json{{"input_ids", example.at("input_ids")}, {"labels", example.at(labels)}}.dump() + "\n";
    }
    const RowTokenizer rows(open_jsonl(folder.write("rows.jsonl", lines)), "rows.jsonl", chain_tokenizer(), nullptr, {});
    const TokenStore store = TokenStore::build(rows, pool);
    for (const auto& [name, strategy] : {std::pair("wrapped", PackingStrategy::kWrapped), std::pair("bfd", PackingStrategy::kBfd),
                                         std::pair("bfd_split", PackingStrategy::kBfdSplit)}) {
      for (const auto& [suffix, length] : {std::pair("", 64), std::pair("_len160", 160)}) {
        const std::string key = fmt::format("packed_{}{}", name, suffix);
        if (!expected.contains(key) || !expected.at(key)[0].contains(labels)) continue;
        const Packing packing = pack_rows(store.row_lengths(), length, strategy);
        ASSERT_EQ(packing.blocks.size(), expected.at(key).size()) << key;
        for (std::size_t i = 0; i < packing.blocks.size(); ++i) {
          const BlockTokens tokens = block_tokens(store, packing.blocks[i], PieceAttention::kCausal);
          const Json& block = expected.at(key)[i];
          EXPECT_EQ(tokens.input_ids, block.at("input_ids").get<std::vector<std::int32_t>>()) << key << " " << i;
          EXPECT_EQ(tokens.labels, block.at(labels).get<std::vector<std::int32_t>>()) << key << " " << i;
          if (block.contains("seq_lengths")) {
            EXPECT_EQ(tokens.piece_lengths, block.at("seq_lengths").get<std::vector<std::int64_t>>());
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace r1::data

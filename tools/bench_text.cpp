// Speed of tokenizers and chat templates: MB/s and tokens/s of encoding and decoding on one thread, load time, linear time on
// hostile texts, time to render a conversation.
//
//   bench_text MODEL_FOLDER TEXT_FILE… [--template FILE]
//
// A .jsonl file is encoded row by row: all its text values, each as one document; any other file is one document.
// tools/bench_text.py runs this beside Hugging Face tokenizers and tiktoken.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace {

using r1::text::ChatTemplate;
using r1::text::Tokenizer;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// CPU seconds of the fastest of some runs: other programs on the machine disturb least there.
double best_of(int runs, const std::function<void()>& work) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const double begin = cpu_seconds();
    work();
    best = std::min(best, cpu_seconds() - begin);
  }
  return best;
}

void collect_texts(const r1::Json& value, std::vector<std::string>& documents) {
  if (value.is_string()) documents.push_back(value.get<std::string>());
  else if (value.is_structured())
    for (const r1::Json& item : value) collect_texts(item, documents);
}

std::vector<std::string> documents_of(const std::string& path) {
  const std::string content = r1::read_file(path);
  if (!path.ends_with(".jsonl")) return {content};
  std::vector<std::string> documents;
  for (const std::string& line : r1::split(content, '\n'))
    if (!line.empty()) collect_texts(r1::parse_json(line, path), documents);
  return documents;
}

void bench_file(const Tokenizer& tokenizer, const std::string& path) {
  const std::vector<std::string> documents = documents_of(path);
  std::size_t num_bytes = 0, num_tokens = 0, num_decoded = 0;
  for (const std::string& document : documents) num_bytes += document.size();
  std::vector<std::vector<r1::text::TokenId>> ids(documents.size());
  const double encode = best_of(5, [&] {
    for (std::size_t i = 0; i < documents.size(); ++i) ids[i] = tokenizer.encode(documents[i], {.add_special_tokens = false});
  });
  for (const auto& document_ids : ids) num_tokens += document_ids.size();
  const double decode = best_of(5, [&] {
    num_decoded = 0;
    for (const auto& document_ids : ids) num_decoded += tokenizer.decode(document_ids).size();
  });
  const double megabytes = static_cast<double>(num_bytes) / 1e6;
  fmt::print("{}: {:.1f} MB, {} tokens: encode {:.1f} MB/s ({:.1f} Mtok/s), decode {:.0f} MB/s\n", path, megabytes, num_tokens,
             megabytes / encode, static_cast<double>(num_tokens) / 1e6 / encode, static_cast<double>(num_decoded) / 1e6 / decode);
}

void bench_hostile(const Tokenizer& tokenizer) {
  std::string emoji, word;
  for (int i = 0; i < 300; ++i) emoji += "😀";
  std::uint32_t state = 1;
  for (int i = 0; i < 1'000'000; ++i) word += static_cast<char>('a' + (state = state * 1664525 + 1013904223) / 0x09D89D8A);
  const std::vector<std::pair<std::string, std::string>> texts = {{"1,000 x a", std::string(1000, 'a')},
                                                                  {"300 emoji", emoji},
                                                                  {"1 MB of a", std::string(1'000'000, 'a')},
                                                                  {"1 MB of one random word", word},
                                                                  {"1 MB of blanks", std::string(1'000'000, ' ')}};
  for (const auto& [name, text] : texts) {
    const double seconds = best_of(2, [&, &text = text] { tokenizer.encode(text); });
    fmt::print("{}: {:.2f} ms\n", name, seconds * 1e3);
  }
}

void bench_template(const ChatTemplate& chat_template, const Tokenizer& tokenizer) {
  r1::Json messages = r1::Json::array();
  for (int turn = 0; turn < 4; ++turn)
    messages.push_back({{"role", turn % 2 == 0 ? "user" : "assistant"},
                        {"content", "What is the sum of all positive integers n with n^2 < 50? Explain each step."}});
  r1::text::RenderOptions options{.tools = nullptr,
                                  .add_generation_prompt = true,
                                  .special_tokens = tokenizer.special_tokens(),
                                  .now = r1::text::parse_time("2025-01-31")};
  const double seconds = best_of(5, [&] {
    for (int i = 0; i < 1000; ++i) chat_template.render(messages, options);
  });
  fmt::print("template, 4 turns: {:.1f} us\n", seconds * 1e3);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.empty() || arguments[0] == "--help") {
      fmt::print("bench_text MODEL_FOLDER TEXT_FILE… [--template FILE]\n");
      return arguments.empty() ? 2 : 0;
    }
    const auto begin = std::chrono::steady_clock::now();
    const Tokenizer tokenizer = Tokenizer::load(arguments[0]);
    fmt::print("load: {:.3f} s wall, {:.3f} s CPU\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
               cpu_seconds());
    std::optional<ChatTemplate> chat_template = ChatTemplate::load(arguments[0]);
    for (std::size_t i = 1; i < arguments.size(); ++i) {
      if (arguments[i] == "--template" && i + 1 < arguments.size()) chat_template = ChatTemplate::from_setting(arguments[++i]);
      else bench_file(tokenizer, arguments[i]);
    }
    bench_hostile(tokenizer);
    if (chat_template) bench_template(*chat_template, tokenizer);
    return 0;
  } catch (const r1::Error& error) {
    fmt::print(stderr, "bench_text: {}\n", error.what());
    return r1::exit_code(error.kind());
  }
}

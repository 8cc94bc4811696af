#include "apps/inspect/storage_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/files.h"
#include "base/strings.h"
#include "checkpoint/inference_model.h"
#include "ops/copy.h"

namespace r1::apps {
namespace {

constexpr const char* kSample =
    "A farmer has twelve cows and buys five more every spring. After three years he sells half of them and keeps the rest. How many cows "
    "does he keep? Let us think step by step. In three years he buys 3 * 5 = 15 cows, so he has 12 + 15 = 27 cows. Half of 27 is 13.5, and "
    "since a cow cannot be cut in two he sells 13 and keeps 14. The answer is 14.\n\nThe sum of the first n odd numbers is a square. To "
    "see why, draw the squares one inside the other: each new layer adds the next odd number. Therefore 1 + 3 + 5 + ... + (2n - 1) = n^2. "
    "Once upon a time there was a little girl who liked to count. She counted the birds, the trees and the stars.\n";

constexpr std::int64_t kMaxTokens = 512;

struct Scores {
  std::vector<float> log_probs;
  std::vector<std::int32_t> best;
  std::int64_t bytes = 0;
};

Scores score(const ExecContext& ctx, const std::string& folder, parallel::WeightStorage storage, std::span<const std::int32_t> ids) {
  const auto loaded = checkpoint::load_inference_model(ctx, folder, storage);
  const auto count = static_cast<std::int64_t>(ids.size()) - 1;
  std::vector<std::int32_t> positions(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<std::int32_t>(i);
  const std::int64_t lengths[] = {count};
  nn::Pass pass{ctx, *loaded->runner, nullptr};
  const std::int64_t vocab_size = loaded->model->config().vocab_size;
  const auto batch = models::make_token_batch(ctx, ids.first(ids.size() - 1), positions, lengths, vocab_size);
  const Tensor logits = ops::to_host(ctx, loaded->model->logits(pass, loaded->model->decode(pass, batch)));
  Scores scores;
  scores.bytes = loaded->store->num_bytes();
  for (std::int64_t t = 0; t < count; ++t) {
    const auto row = logits.host_span<float>().subspan(static_cast<std::size_t>(t * vocab_size), static_cast<std::size_t>(vocab_size));
    const float largest = *std::ranges::max_element(row);
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit - largest));
    const auto next = static_cast<std::size_t>(ids[static_cast<std::size_t>(t) + 1]);
    scores.log_probs.push_back(static_cast<float>(static_cast<double>(row[next] - largest) - std::log(sum)));
    scores.best.push_back(static_cast<std::int32_t>(std::ranges::max_element(row) - row.begin()));
  }
  return scores;
}

double mean(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum / static_cast<double>(values.size());
}

}  // namespace

void print_storage_check(const std::string& model_folder, const std::string& text_file, parallel::WeightStorage storage, const char* name) {
  const std::string sample = text_file.empty() ? kSample : read_file(text_file);
  const text::Tokenizer tokenizer = text::Tokenizer::load(model_folder);
  std::vector<std::int32_t> ids = tokenizer.encode(sample);
  const std::int64_t longest = std::min(kMaxTokens, models::load_model_config(model_folder).max_position_embeddings);
  if (static_cast<std::int64_t>(ids.size()) > longest) ids.resize(static_cast<std::size_t>(longest));
  if (ids.size() < 2) fail(ErrorKind::kData, "{}: expected a text of at least two tokens", text_file);
  const auto ctx = make_cpu_context(0);
  const Scores stored = score(*ctx, model_folder, parallel::WeightStorage::kStored, ids);
  const Scores narrow = score(*ctx, model_folder, storage, ids);
  double absolute = 0, largest = 0;
  std::size_t same = 0;
  for (std::size_t i = 0; i < stored.log_probs.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(stored.log_probs[i] - narrow.log_probs[i]));
    absolute += difference;
    largest = std::max(largest, difference);
    same += stored.best[i] == narrow.best[i] ? 1 : 0;
  }
  const auto count = static_cast<double>(stored.log_probs.size());
  fmt::print("{:<14} {} tokens of {}\n", fmt::format("{} check", name), stored.log_probs.size(),
             text_file.empty() ? "a built-in text" : text_file);
  fmt::print("  as stored    {:.4f} log-prob a token, {} of weights\n", mean(stored.log_probs),
             format_bytes(static_cast<double>(stored.bytes)));
  fmt::print("  {:<12} {:.4f} log-prob a token, {} of weights\n", name, mean(narrow.log_probs),
             format_bytes(static_cast<double>(narrow.bytes)));
  fmt::print("  cost         {:+.4f} on average; {:.4f} mean and {:.4f} largest absolute difference; same most likely token {:.1f} %\n",
             mean(narrow.log_probs) - mean(stored.log_probs), absolute / count, largest, 100.0 * static_cast<double>(same) / count);
}

}  // namespace r1::apps

#include "train/sft_data.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/log.h"
#include "data/mixture.h"
#include "data/open_dataset.h"

namespace r1::train {
namespace {

data::DatasetPtr open_mixture_split(const config::DatasetMixture& mixture, bool is_test) {
  data::MixtureRequest request;
  request.seed = static_cast<std::uint64_t>(mixture.seed);
  request.test_split_size = mixture.test_split_size;
  for (const config::MixturePart& part : mixture.parts)
    request.parts.push_back({{part.id, part.config, part.split}, part.columns, part.weight});
  const data::MixtureSplits splits = data::open_mixture(request);
  if (is_test && splits.test == nullptr) {
    fail(ErrorKind::kConfig,
         "dataset_mixture: evaluation is on, but there is no test split; set test_split_size, or eval_strategy: 'no' and do_eval: false");
  }
  return is_test ? splits.test : splits.train;
}

data::PackingStrategy strategy_of(const config::SftConfig& config, bool packing) {
  if (!packing) return data::PackingStrategy::kNone;
  return config.packing_strategy == config::PackingStrategy::kBfd ? data::PackingStrategy::kBfd : data::PackingStrategy::kWrapped;
}

// overlong_rows: truncate (the packer cuts), skip or error.
std::int64_t apply_overlong_policy(const config::SftConfig& config, const data::RowTokenizer& rows, std::vector<std::int64_t>& lengths,
                                   std::int64_t max_length) {
  std::int64_t skipped = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] <= max_length || config.overlong_rows == config::OverlongPolicy::kTruncate) continue;
    if (config.overlong_rows == config::OverlongPolicy::kError) {
      fail(ErrorKind::kData, "{}: {} tokens, max_length is {}; raise max_length, or set overlong_rows to truncate or skip",
           rows.dataset().where(static_cast<std::int64_t>(i)), lengths[i], max_length);
    }
    lengths[i] = 0;
    ++skipped;
  }
  return skipped;
}

}  // namespace

void PackedRows::append_to(MicroBatch& batch, std::int64_t index) const {
  const data::BlockTokens tokens = data::block_tokens(store_, blocks_[static_cast<std::size_t>(index)], attention_);
  if (attention_ == data::PieceAttention::kCausal) {
    const std::int64_t whole[] = {static_cast<std::int64_t>(tokens.input_ids.size())};
    batch.add_row(tokens.input_ids, tokens.labels, whole);
  } else {
    batch.add_row(tokens.input_ids, tokens.labels, tokens.piece_lengths);
  }
}

std::vector<std::int64_t> PackedRows::piece_lengths(std::int64_t index) const {
  const data::Block& block = blocks_[static_cast<std::size_t>(index)];
  if (attention_ == data::PieceAttention::kCausal) return {block.length()};
  std::vector<std::int64_t> lengths;
  for (const data::Piece& piece : block.pieces) {
    if (piece.length() > 0) lengths.push_back(piece.length());
  }
  return lengths;
}

data::DatasetPtr open_training_dataset(const config::DatasetArgs& config, const std::string& split, std::int64_t max_rows) {
  data::DatasetPtr dataset = config.dataset_mixture ? open_mixture_split(*config.dataset_mixture, split == config.dataset_test_split)
                                                    : data::open_dataset({config.dataset_name, config.dataset_config, split});
  if (max_rows >= 0 && dataset->num_rows() > max_rows) {
    std::vector<std::int64_t> first(static_cast<std::size_t>(max_rows));
    std::iota(first.begin(), first.end(), std::int64_t{0});
    dataset = data::select_rows(dataset, std::move(first));
  }
  return dataset;
}

std::string dataset_title(const config::DatasetArgs& config) { return config.dataset_mixture ? "dataset_mixture" : config.dataset_name; }

SftData load_sft_data(const config::SftConfig& config, const SftDataOptions& options, const text::Tokenizer& tokenizer,
                      std::shared_ptr<const data::ChatRenderer> chat, std::int64_t vocab_size, ThreadPool& threads) {
  data::TokenizeOptions tokenize;
  tokenize.assistant_only_loss = config.assistant_only_loss;
  tokenize.completion_only_loss = config.completion_only_loss;
  tokenize.eos_token = config.eos_token.value_or("");
  tokenize.text_column = config.dataset_text_field;
  tokenize.special_tokens_in_chat = config.compat == config::Compat::kFeb25;
  const data::RowTokenizer rows(open_training_dataset(config, options.split, options.max_rows), dataset_title(config), tokenizer,
                                std::move(chat), tokenize);
  data::TokenStore store = data::TokenStore::load_or_build(rows, threads, options.use_cache ? data::default_token_cache_folder() : "");
  if (store.largest_id() >= vocab_size) {
    fail(ErrorKind::kModel, "{}: token id {} from the tokenizer, but the model's vocab_size is {}: they do not belong together",
         config.model_name_or_path, store.largest_id(), vocab_size);
  }

  SftData result;
  SftDataSummary& summary = result.summary;
  const std::int64_t max_length = config.max_length.value_or(std::numeric_limits<std::int32_t>::max());
  std::vector<std::int64_t> lengths = store.row_lengths();
  summary.num_documents = store.num_rows();
  summary.skipped_documents = apply_overlong_policy(config, rows, lengths, max_length);
  data::Packing packing = data::pack_rows(lengths, max_length, strategy_of(config, options.packing));
  std::erase_if(packing.blocks, [](const data::Block& block) { return block.pieces.empty(); });
  const auto attention = options.packing && config.packing_attention == config::PackingAttention::kCausal
                             ? data::PieceAttention::kCausal
                             : data::PieceAttention::kBlockDiagonal;
  summary.row_kind = data::row_kind_name(rows.kind());
  summary.num_rows = static_cast<std::int64_t>(packing.blocks.size());
  summary.num_tokens = packing.num_tokens;
  summary.num_targets = data::count_targets(store, packing.blocks, attention);
  summary.truncated_documents = packing.truncated_rows;
  summary.truncated_tokens = packing.truncated_tokens;
  summary.from_cache = store.from_cache();
  if (options.packing && summary.num_rows > 0) summary.packing_efficiency = packing.efficiency(max_length);
  if (summary.num_rows == 0) fail(ErrorKind::kData, "{} ({}): no row is left to train on", dataset_title(config), options.split);
  if (summary.num_targets == 0) {
    fail(ErrorKind::kData,
         "{} ({}): every label is masked, nothing would be learnt; look at assistant_only_loss, completion_only_loss, max_length ({}) and "
         "the rows",
         dataset_title(config), options.split, max_length);
  }
  result.first_row = rows.describe(0);
  result.rows = std::make_shared<PackedRows>(std::move(store), std::move(packing.blocks), attention);
  return result;
}

}  // namespace r1::train

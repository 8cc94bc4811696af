// From a data set and a tokenizer to the rows that SFT draws.
#pragma once

#include <memory>
#include <string>

#include "config/sft_config.h"
#include "data/token_store.h"
#include "text/tokenizer.h"
#include "train/sft.h"

namespace r1::train {

/// How a data set became rows: for the log, --plan and the report.
struct SftDataSummary {
  std::string row_kind;
  std::int64_t num_documents = 0, num_rows = 0;  // a row is a document, or a packed block
  std::int64_t num_tokens = 0, num_targets = 0;
  std::int64_t truncated_documents = 0, truncated_tokens = 0, skipped_documents = 0;
  double packing_efficiency = 1;  // tokens / (rows × max_length), packed runs only
  bool from_cache = false;
};

struct SftData {
  std::shared_ptr<const TrainingRows> rows;
  SftDataSummary summary;
  std::string first_row;  // rendered, with what is learnt between ⟦ and ⟧
};

/// A row ready to be drawn.
class PackedRows : public TrainingRows {
 public:
  PackedRows(data::TokenStore store, std::vector<data::Block> blocks, data::PieceAttention attention)
      : store_(std::move(store)), blocks_(std::move(blocks)), attention_(attention) {}
  std::int64_t num_rows() const override { return static_cast<std::int64_t>(blocks_.size()); }
  void append_to(MicroBatch& batch, std::int64_t index) const override;
  std::vector<std::int64_t> piece_lengths(std::int64_t index) const override;

 private:
  data::TokenStore store_;
  std::vector<data::Block> blocks_;
  data::PieceAttention attention_;
};

struct SftDataOptions {
  std::string split;
  bool packing = false;
  std::int64_t max_rows = -1;  // first rows only (pre-flight); -1: all
  bool use_cache = true;
};

/// The data set (or mixture) of the configuration; the first max_rows rows, -1 = all.
data::DatasetPtr open_training_dataset(const config::DatasetArgs& config, const std::string& split, std::int64_t max_rows);
/// What messages and the report call it.
std::string dataset_title(const config::DatasetArgs& config);

/// Opens, tokenises (in parallel, cached by content hash) and packs. Throws Error(kData) for a data set that leaves nothing to
/// learn: no rows, or every label masked.
SftData load_sft_data(const config::SftConfig& config, const SftDataOptions& options, const text::Tokenizer& tokenizer,
                      std::shared_ptr<const data::ChatRenderer> chat, std::int64_t vocab_size, ThreadPool& threads);

}  // namespace r1::train

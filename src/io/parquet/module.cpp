// libr1_parquet.so: Parquet files in and out through Apache Arrow. Opened at the first .parquet file, so that the programs
// start without loading 60 MB of libraries.
#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include <nlohmann/json.hpp>

#include "io/parquet/abi.h"
#include "io/parquet/json_columns.h"

namespace r1::io::parquet_module {
namespace {

using Json = nlohmann::ordered_json;

void report(R1ParquetSink error, void* context, const std::string& text) { error(context, text.data(), text.size()); }

/// Runs body and turns whatever it throws into a text.
template <typename Body>
bool guarded(R1ParquetSink error, void* context, Body body) {
  try {
    body();
    return true;
  } catch (const std::exception& exception) {
    report(error, context, exception.what());
  } catch (...) {
    report(error, context, "unknown failure inside Arrow");
  }
  return false;
}

void check(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

template <typename Value>
Value check(arrow::Result<Value> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

struct File {
  std::unique_ptr<parquet::arrow::FileReader> reader;
  std::shared_ptr<arrow::Schema> schema;
};

void* open(const uint8_t* data, size_t size, R1ParquetSink error, void* error_context) {
  auto file = std::make_unique<File>();
  const bool ok = guarded(error, error_context, [&] {
    auto source = std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(data, static_cast<int64_t>(size)));
    parquet::arrow::FileReaderBuilder builder;
    check(builder.Open(source));
    check(builder.Build(&file->reader));
    file->reader->set_use_threads(false);
    check(file->reader->GetSchema(&file->schema));
  });
  return ok ? file.release() : nullptr;
}

void close(void* file) { delete static_cast<File*>(file); }

int64_t num_row_groups(void* file) { return static_cast<File*>(file)->reader->num_row_groups(); }

int64_t row_group_rows(void* file, int64_t group) {
  return static_cast<File*>(file)->reader->parquet_reader()->metadata()->RowGroup(static_cast<int>(group))->num_rows();
}

void column_names(void* file, R1ParquetSink sink, void* context) {
  for (const auto& field : static_cast<File*>(file)->schema->fields()) sink(context, field->name().data(), field->name().size());
}

bool read_row_group(void* file, int64_t group, R1ParquetSink sink, void* context, R1ParquetSink error, void* error_context) {
  return guarded(error, error_context, [&] {
    std::shared_ptr<arrow::Table> table;
#if ARROW_VERSION_MAJOR >= 23
    table = check(static_cast<File*>(file)->reader->ReadRowGroup(static_cast<int>(group)));
#else
    check(static_cast<File*>(file)->reader->ReadRowGroup(static_cast<int>(group), &table));
#endif
    arrow::TableBatchReader batches(*table);
    while (true) {
      const auto batch = check(batches.Next());
      if (batch == nullptr) break;
      const RowWriter rows(*batch);
      std::string text;
      for (int64_t row = 0; row < batch->num_rows(); ++row) {
        text.clear();
        rows.append_row(row, text);
        sink(context, text.data(), text.size());
      }
    }
  });
}

/// Sends what Arrow writes to the caller's sink.
class SinkStream final : public arrow::io::OutputStream {
 public:
  SinkStream(R1ParquetSink sink, void* context) : sink_(sink), context_(context) {}
  arrow::Status Write(const void* data, int64_t size) override {
    sink_(context_, static_cast<const char*>(data), static_cast<size_t>(size));
    position_ += size;
    return arrow::Status::OK();
  }
  using arrow::io::OutputStream::Write;
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }

 private:
  R1ParquetSink sink_;
  void* context_;
  int64_t position_ = 0;
  bool closed_ = false;
};

struct Writer {
  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<SinkStream> stream;
  std::unique_ptr<parquet::arrow::FileWriter> writer;
};

void* create(const char* schema, size_t schema_size, R1ParquetSink output, void* output_context, R1ParquetSink error, void* error_context) {
  auto writer = std::make_unique<Writer>();
  const bool ok = guarded(error, error_context, [&] {
    const Json description = Json::parse(schema, schema + schema_size);
    const auto metadata = std::make_shared<arrow::KeyValueMetadata>();
    for (const auto& [key, value] : description.at("metadata").items()) metadata->Append(key, value.get<std::string>());
    writer->schema = schema_from_json(description.at("columns"));
    writer->stream = std::make_shared<SinkStream>(output, output_context);
    parquet::WriterProperties::Builder properties;
    properties.compression(parquet::Compression::SNAPPY);
    properties.created_by("open_r1_hpc");
    writer->writer = check(parquet::arrow::FileWriter::Open(*writer->schema, arrow::default_memory_pool(), writer->stream,
                                                            properties.build(), parquet::ArrowWriterProperties::Builder().build()));
    if (metadata->size() > 0) check(writer->writer->AddKeyValueMetadata(metadata));
  });
  return ok ? writer.release() : nullptr;
}

bool write_row_group(void* handle, const char* rows, size_t size, R1ParquetSink error, void* error_context) {
  auto* writer = static_cast<Writer*>(handle);
  return guarded(error, error_context, [&] {
    const auto batch = batch_from_json(writer->schema, std::string_view(rows, size));
    const auto table = check(arrow::Table::FromRecordBatches(writer->schema, {batch}));
    check(writer->writer->WriteTable(*table, std::max<int64_t>(table->num_rows(), 1)));
  });
}

bool finish(void* handle, bool abandon, R1ParquetSink error, void* error_context) {
  const std::unique_ptr<Writer> writer(static_cast<Writer*>(handle));
  return guarded(error, error_context, [&] {
    if (!abandon) check(writer->writer->Close());
  });
}

constexpr R1ParquetModule kModule = {R1_PARQUET_ABI_VERSION, open,           close,  num_row_groups,  row_group_rows,
                                     column_names,           read_row_group, create, write_row_group, finish};

}  // namespace
}  // namespace r1::io::parquet_module

extern "C" __attribute__((visibility("default"))) const R1ParquetModule* r1_parquet_module() { return &r1::io::parquet_module::kModule; }

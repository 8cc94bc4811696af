// The border between the programs and libr1_parquet.so. Plain C: rows cross it as JSON texts, errors as texts, so that the two
// sides share no C++ type.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {

/// Raised whenever anything below changes; both sides must agree.
#define R1_PARQUET_ABI_VERSION 2

/// Receives a text that is valid during the call.
typedef void (*R1ParquetSink)(void* context, const char* text, size_t size);

struct R1ParquetModule {
  uint32_t abi_version;

  /// Null on failure, with the reason sent to `error`. The file is `size` bytes at `data`, which stay valid until close.
  void* (*open)(const uint8_t* data, size_t size, R1ParquetSink error, void* error_context);
  void (*close)(void* file);
  int64_t (*num_row_groups)(void* file);
  int64_t (*row_group_rows)(void* file, int64_t group);
  /// One call of the sink per column of the schema: its name.
  void (*column_names)(void* file, R1ParquetSink sink, void* context);
  /// One call of the sink per row of the group: a JSON object. False on failure.
  bool (*read_row_group)(void* file, int64_t group, R1ParquetSink sink, void* context, R1ParquetSink error, void* error_context);

  /// Starts a file; its bytes go to `output` piece by piece. `schema` is a JSON object: columns (see
  /// io/parquet_schema.h) and metadata (texts by name). Null on failure.
  void* (*create)(const char* schema, size_t schema_size, R1ParquetSink output, void* output_context, R1ParquetSink error,
                  void* error_context);
  /// Writes the rows, JSON objects separated by line feeds, as one row group. False on failure.
  bool (*write_row_group)(void* writer, const char* rows, size_t size, R1ParquetSink error, void* error_context);
  /// Ends the file (unless `abandon`) and frees the writer. False on failure.
  bool (*finish)(void* writer, bool abandon, R1ParquetSink error, void* error_context);
};

/// The one symbol of the module.
const R1ParquetModule* r1_parquet_module();
}

#include "io/parquet_file.h"

#include <dlfcn.h>

#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "io/parquet/abi.h"
#include "io/parquet_schema.h"

namespace r1::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModuleFile = "libr1_parquet.so";

struct LoadedModule {
  const R1ParquetModule* module = nullptr;
  std::string problem;
};

LoadedModule load_module() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::string problem = "not found beside the program";
  for (const fs::path& place : {folder / kModuleFile, folder / ".." / "bin" / kModuleFile, folder / ".." / "lib" / kModuleFile}) {
    if (!fs::exists(place, error)) continue;
    void* library = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      problem = ::dlerror();
      continue;
    }
    const auto entry = reinterpret_cast<const R1ParquetModule* (*)()>(::dlsym(library, "r1_parquet_module"));
    if (entry != nullptr && entry()->abi_version == R1_PARQUET_ABI_VERSION) return {entry(), {}};
    problem = place.string() + " belongs to another build";
  }
  return {nullptr, problem};
}

const LoadedModule& loaded_module() {
  static const LoadedModule loaded = load_module();
  return loaded;
}

const R1ParquetModule& module_for(const std::string& path) {
  const LoadedModule& loaded = loaded_module();
  if (loaded.module == nullptr) {
    fail(ErrorKind::kData,
         "{}: .parquet files need the module {} ({}). To get it: tools/install_deps.sh && make build. Or use .jsonl, .json or .csv", path,
         kModuleFile, loaded.problem);
  }
  return *loaded.module;
}

void append_to_string(void* context, const char* text, size_t size) { static_cast<std::string*>(context)->append(text, size); }
void append_to_list(void* context, const char* text, size_t size) {
  static_cast<std::vector<std::string>*>(context)->emplace_back(text, size);
}

}  // namespace

bool parquet_available() { return loaded_module().module != nullptr; }

struct ParquetFile::Impl {
  const R1ParquetModule* module = nullptr;
  MappedFile mapped;
  void* file = nullptr;
  std::vector<std::string> columns;

  ~Impl() {
    if (file != nullptr) module->close(file);
  }
};

ParquetFile::ParquetFile(const std::string& path) : impl_(std::make_unique<Impl>()) {
  impl_->mapped = MappedFile(path);
  const auto bytes = impl_->mapped.bytes();
  if (bytes.size() < 12 || impl_->mapped.text().substr(0, 4) != "PAR1" || impl_->mapped.text().substr(bytes.size() - 4) != "PAR1") {
    fail(ErrorKind::kData, "{}: expected a Parquet file (it begins and ends with PAR1), found {} bytes of something else: truncated?", path,
         bytes.size());
  }
  impl_->module = &module_for(path);
  std::string problem;
  impl_->file = impl_->module->open(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), append_to_string, &problem);
  if (impl_->file == nullptr) fail(ErrorKind::kData, "{}: not a readable Parquet file: {}", path, problem);
  impl_->module->column_names(impl_->file, append_to_list, &impl_->columns);
}

ParquetFile::~ParquetFile() = default;
ParquetFile::ParquetFile(ParquetFile&&) noexcept = default;

const std::vector<std::string>& ParquetFile::column_names() const { return impl_->columns; }
std::int64_t ParquetFile::num_row_groups() const { return impl_->module->num_row_groups(impl_->file); }
std::int64_t ParquetFile::row_group_rows(std::int64_t group) const { return impl_->module->row_group_rows(impl_->file, group); }
std::string_view ParquetFile::bytes() const { return impl_->mapped.text(); }

std::vector<std::string> ParquetFile::read_row_group(std::int64_t group) const {
  std::vector<std::string> rows;
  std::string problem;
  if (!impl_->module->read_row_group(impl_->file, group, append_to_list, &rows, append_to_string, &problem)) {
    fail(ErrorKind::kData, "{}: row group {}: {}", impl_->mapped.path(), group, problem);
  }
  if (static_cast<std::int64_t>(rows.size()) != row_group_rows(group)) {
    fail(ErrorKind::kData, "{}: row group {}: expected {} rows, found {}", impl_->mapped.path(), group, row_group_rows(group), rows.size());
  }
  return rows;
}

void write_parquet(const std::string& path, std::span<const Json> rows, std::int64_t row_group_rows) {
  write_parquet(path, rows, {.schema = {}, .metadata = {}, .row_group_rows = row_group_rows});
}

void write_parquet(const std::string& path, std::span<const Json> rows, const ParquetWriteOptions& options) {
  const std::int64_t row_group_rows = options.row_group_rows;
  R1_ASSERT(row_group_rows >= 1, "a row group needs at least one row");
  const R1ParquetModule& module = module_for(path);
  // The sink runs inside foreign code, which must not see an exception: the error waits until we are back.
  struct Output {
    AtomicFile file;
    std::optional<Error> error;
  } output{AtomicFile(path), {}};
  const auto write_piece = [](void* context, const char* text, size_t size) {
    auto* target = static_cast<Output*>(context);
    if (target->error) return;
    try {
      target->file.write(text, size);
    } catch (const Error& error) {
      target->error = error;
    }
  };
  std::string problem;
  const Json description{{"columns", options.schema.is_null() ? infer_parquet_schema(rows) : options.schema},
                         {"metadata", options.metadata}};
  const std::string schema_text = to_json_line(description);
  void* writer = module.create(schema_text.data(), schema_text.size(), write_piece, &output, append_to_string, &problem);
  bool ok = writer != nullptr;
  for (std::size_t begin = 0; ok && begin < rows.size() && !output.error; begin += static_cast<std::size_t>(row_group_rows)) {
    std::string lines;
    for (const Json& row : rows.subspan(begin, std::min(static_cast<std::size_t>(row_group_rows), rows.size() - begin))) {
      lines += to_json_line(row) + "\n";
    }
    ok = module.write_row_group(writer, lines.data(), lines.size(), append_to_string, &problem);
  }
  if (writer != nullptr) ok = module.finish(writer, !ok || output.error, append_to_string, &problem) && ok;
  if (output.error) throw *output.error;
  if (!ok) fail(ErrorKind::kData, "{}: cannot write this Parquet file: {}", path, problem);
  output.file.commit();
}

}  // namespace r1::io

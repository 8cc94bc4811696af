#include "io/parquet/json_columns.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace r1::io::parquet_module {
namespace {

using Json = nlohmann::ordered_json;

void append_text(std::string_view value, const std::string& column, std::string& text) {
  if (first_invalid_utf8(value)) throw std::runtime_error(fmt::format("column '{}' holds bytes that are not UTF-8", column));
  text += '"';
  for (const char c : value) {
    switch (c) {
      case '"':
        text += "\\\"";
        break;
      case '\\':
        text += "\\\\";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\t':
        text += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) text += fmt::format("\\u{:04x}", static_cast<int>(c));
        else text += c;
    }
  }
  text += '"';
}

void append_number(double value, std::string& text) {
  if (!std::isfinite(value)) {
    text += "null";
    return;
  }
  const std::size_t begin = text.size();
  fmt::format_to(std::back_inserter(text), "{}", value);  // the shortest text that reads back as the same double
  if (text.find_first_of(".eE", begin) == std::string::npos) text += ".0";
}

void append_value(const arrow::Array& array, int64_t index, const std::string& column, std::string& text);

void append_items(const arrow::Array& values, int64_t begin, int64_t end, const std::string& column, std::string& text) {
  text += '[';
  for (int64_t i = begin; i < end; ++i) {
    if (i > begin) text += ',';
    append_value(values, i, column, text);
  }
  text += ']';
}

template <typename ArrayType>
const ArrayType& as(const arrow::Array& array) {
  return static_cast<const ArrayType&>(array);
}

template <typename ArrayType>
void append_integer(const arrow::Array& array, int64_t index, std::string& text) {
  fmt::format_to(std::back_inserter(text), "{}", as<ArrayType>(array).Value(index));
}

template <typename ArrayType>
void append_list(const arrow::Array& array, int64_t index, const std::string& column, std::string& text) {
  const auto& list = as<ArrayType>(array);
  append_items(*list.values(), list.value_offset(index), list.value_offset(index) + list.value_length(index), column, text);
}

void append_struct(const arrow::StructArray& array, int64_t index, const std::string& column, std::string& text) {
  text += '{';
  const auto& fields = array.struct_type()->fields();
  for (int i = 0; i < array.num_fields(); ++i) {
    if (i > 0) text += ',';
    const std::string& name = fields[static_cast<std::size_t>(i)]->name();
    append_text(name, column, text);
    text += ':';
    append_value(*array.field(i), index, column, text);
  }
  text += '}';
}

void append_map(const arrow::MapArray& array, int64_t index, const std::string& column, std::string& text) {
  text += '[';
  const int64_t begin = array.value_offset(index), end = begin + array.value_length(index);
  for (int64_t i = begin; i < end; ++i) {
    text += i > begin ? ",{\"key\":" : "{\"key\":";
    append_value(*array.keys(), i, column, text);
    text += ",\"value\":";
    append_value(*array.items(), i, column, text);
    text += '}';
  }
  text += ']';
}

void append_value(const arrow::Array& array, int64_t index, const std::string& column, std::string& text) {
  if (array.IsNull(index)) {
    text += "null";
    return;
  }
  switch (array.type_id()) {
    case arrow::Type::BOOL:
      text += as<arrow::BooleanArray>(array).Value(index) ? "true" : "false";
      return;
    case arrow::Type::INT8:
      return append_integer<arrow::Int8Array>(array, index, text);
    case arrow::Type::UINT8:
      return append_integer<arrow::UInt8Array>(array, index, text);
    case arrow::Type::INT16:
      return append_integer<arrow::Int16Array>(array, index, text);
    case arrow::Type::UINT16:
      return append_integer<arrow::UInt16Array>(array, index, text);
    case arrow::Type::INT32:
      return append_integer<arrow::Int32Array>(array, index, text);
    case arrow::Type::UINT32:
      return append_integer<arrow::UInt32Array>(array, index, text);
    case arrow::Type::INT64:
      return append_integer<arrow::Int64Array>(array, index, text);
    case arrow::Type::UINT64:
      return append_integer<arrow::UInt64Array>(array, index, text);
    case arrow::Type::FLOAT:
      return append_number(static_cast<double>(as<arrow::FloatArray>(array).Value(index)), text);
    case arrow::Type::DOUBLE:
      return append_number(as<arrow::DoubleArray>(array).Value(index), text);
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return append_text(as<arrow::BinaryArray>(array).GetView(index), column, text);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return append_text(as<arrow::LargeBinaryArray>(array).GetView(index), column, text);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      return append_text(as<arrow::BinaryViewArray>(array).GetView(index), column, text);
    case arrow::Type::LIST:
      return append_list<arrow::ListArray>(array, index, column, text);
    case arrow::Type::LARGE_LIST:
      return append_list<arrow::LargeListArray>(array, index, column, text);
    case arrow::Type::FIXED_SIZE_LIST:
      return append_list<arrow::FixedSizeListArray>(array, index, column, text);
    case arrow::Type::STRUCT:
      return append_struct(as<arrow::StructArray>(array), index, column, text);
    case arrow::Type::MAP:
      return append_map(as<arrow::MapArray>(array), index, column, text);
    case arrow::Type::DICTIONARY: {
      const auto& dictionary = as<arrow::DictionaryArray>(array);
      return append_value(*dictionary.dictionary(), dictionary.GetValueIndex(index), column, text);
    }
    default: {
      // Dates, times, decimals, half floats.
      const auto scalar = array.GetScalar(index);
      if (!scalar.ok()) throw std::runtime_error(fmt::format("column '{}': {}", column, scalar.status().message()));
      return append_text((*scalar)->ToString(), column, text);
    }
  }
}

std::shared_ptr<arrow::DataType> type_from_json(const Json& type) {
  if (type.is_string()) {
    const std::string name = type.get<std::string>();
    if (name == "bool") return arrow::boolean();
    if (name == "int64") return arrow::int64();
    if (name == "double") return arrow::float64();
    if (name == "string") return arrow::utf8();
    if (name == "null") return arrow::null();
  } else if (type.is_object() && type.contains("list")) {
    return arrow::list(type.at("list").is_null() ? arrow::null() : type_from_json(type.at("list")));
  } else if (type.is_object() && type.contains("struct")) {
    arrow::FieldVector fields;
    for (const auto& [name, field_type] : type.at("struct").items()) fields.push_back(arrow::field(name, type_from_json(field_type)));
    return arrow::struct_(fields);
  }
  throw std::runtime_error("a schema type that is not known: " + type.dump());
}

void check(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

void append_json(arrow::ArrayBuilder& builder, const arrow::DataType& type, const Json* value) {
  if (value == nullptr || value->is_null()) return check(builder.AppendNull());
  switch (type.id()) {
    case arrow::Type::BOOL:
      return check(static_cast<arrow::BooleanBuilder&>(builder).Append(value->get<bool>()));
    case arrow::Type::INT64:
      return check(static_cast<arrow::Int64Builder&>(builder).Append(value->get<int64_t>()));
    case arrow::Type::DOUBLE:
      return check(static_cast<arrow::DoubleBuilder&>(builder).Append(value->get<double>()));
    case arrow::Type::STRING:
      return check(static_cast<arrow::StringBuilder&>(builder).Append(value->get_ref<const std::string&>()));
    case arrow::Type::LIST: {
      auto& list = static_cast<arrow::ListBuilder&>(builder);
      check(list.Append());
      for (const Json& item : *value) append_json(*list.value_builder(), *type.field(0)->type(), &item);
      return;
    }
    case arrow::Type::STRUCT: {
      auto& fields = static_cast<arrow::StructBuilder&>(builder);
      check(fields.Append());
      for (int i = 0; i < type.num_fields(); ++i) {
        const auto found = value->find(type.field(i)->name());
        append_json(*fields.field_builder(i), *type.field(i)->type(), found == value->end() ? nullptr : &*found);
      }
      return;
    }
    default:
      throw std::runtime_error("a value where the schema has " + type.ToString());
  }
}

}  // namespace

void RowWriter::append_row(int64_t row, std::string& text) const {
  text += '{';
  for (int i = 0; i < batch_.num_columns(); ++i) {
    const std::string& name = batch_.column_name(i);
    if (i > 0) text += ',';
    append_text(name, name, text);
    text += ':';
    append_value(*batch_.column(i), row, name, text);
  }
  text += '}';
}

std::shared_ptr<arrow::Schema> schema_from_json(const Json& schema) {
  arrow::FieldVector fields;
  for (const auto& [name, type] : schema.items()) fields.push_back(arrow::field(name, type_from_json(type)));
  return arrow::schema(fields);
}

std::shared_ptr<arrow::RecordBatch> batch_from_json(const std::shared_ptr<arrow::Schema>& schema, std::string_view lines) {
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders(static_cast<std::size_t>(schema->num_fields()));
  for (int i = 0; i < schema->num_fields(); ++i) {
    check(arrow::MakeBuilder(arrow::default_memory_pool(), schema->field(i)->type(), &builders[static_cast<std::size_t>(i)]));
  }
  int64_t num_rows = 0;
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', begin), lines.size());
    const Json row = Json::parse(lines.substr(begin, end - begin));
    for (int i = 0; i < schema->num_fields(); ++i) {
      const auto found = row.find(schema->field(i)->name());
      append_json(*builders[static_cast<std::size_t>(i)], *schema->field(i)->type(), found == row.end() ? nullptr : &*found);
    }
    ++num_rows;
    begin = end + 1;
  }
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (auto& builder : builders) {
    std::shared_ptr<arrow::Array> column;
    check(builder->Finish(&column));
    columns.push_back(std::move(column));
  }
  return arrow::RecordBatch::Make(schema, num_rows, std::move(columns));
}

}  // namespace r1::io::parquet_module

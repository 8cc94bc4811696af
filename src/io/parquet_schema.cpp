#include "io/parquet_schema.h"

#include <string>

#include "base/error.h"
#include "base/json.h"

namespace r1::io {
namespace {

Json type_of(const Json& value, const std::string& column);

std::string join_path(const std::string& column, const std::string& field) { return column.empty() ? field : column + "." + field; }

Json merge_types(const Json& a, const Json& b, const std::string& column) {
  if (a == b || b == "null") return a;
  if (a == "null") return b;
  if ((a == "int64" && b == "double") || (a == "double" && b == "int64")) return "double";
  if (a.is_object() && b.is_object() && a.contains("list") && b.contains("list")) {
    return {{"list", merge_types(a.at("list"), b.at("list"), column + "[]")}};
  }
  if (a.is_object() && b.is_object() && a.contains("struct") && b.contains("struct")) {
    Json fields = a.at("struct");
    for (const auto& [name, type] : b.at("struct").items()) {
      const auto found = fields.find(name);
      if (found == fields.end()) fields[name] = type;
      else *found = merge_types(*found, type, join_path(column, name));
    }
    return {{"struct", std::move(fields)}};
  }
  fail(ErrorKind::kData, "column '{}': expected one type in all rows, found {} and {}", column, to_json_line(a), to_json_line(b));
}

Json struct_fields(const Json& object, const std::string& column) {
  Json fields = Json::object();
  for (const auto& [name, value] : object.items()) fields[name] = type_of(value, join_path(column, name));
  return fields;
}

Json type_of(const Json& value, const std::string& column) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "bool";
    case Json::value_t::number_integer:
      return "int64";
    case Json::value_t::number_unsigned:
      return value.get<std::uint64_t>() > std::uint64_t{INT64_MAX} ? "double" : "int64";
    case Json::value_t::number_float:
      return "double";
    case Json::value_t::string:
      return "string";
    case Json::value_t::array: {
      Json element = "null";
      for (const Json& item : value) element = merge_types(element, type_of(item, column + "[]"), column + "[]");
      return {{"list", std::move(element)}};
    }
    case Json::value_t::object:
      // Parquet has no struct without fields.
      return value.empty() ? Json("null") : Json{{"struct", struct_fields(value, column)}};
    default:
      fail(ErrorKind::kData, "column '{}': a value that Parquet cannot hold", column);
  }
}

}  // namespace

Json merge_parquet_schemas(const Json& a, const Json& b) { return merge_types({{"struct", a}}, {{"struct", b}}, "").at("struct"); }

Json infer_parquet_schema(std::span<const Json> rows) {
  Json schema = Json::object();
  for (const Json& row : rows) schema = merge_parquet_schemas(schema, struct_fields(row, ""));
  return schema;
}

}  // namespace r1::io

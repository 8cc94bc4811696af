#include "data/json_row.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <new>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"

namespace r1::data {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kMaxLineBytes = std::size_t{256} << 20;
constexpr int kMaxDepth = 64;

// A duplicate key keeps the first value here; the caller is told through `duplicate`.
Json to_json(dom::element element, std::string& duplicate) {
  switch (element.type()) {
    case dom::element_type::OBJECT: {
      Json object = Json::object();
      for (const auto [key, value] : dom::object(element)) {
        auto [position, is_new] = object.emplace(std::string(key), to_json(value, duplicate));
        if (!is_new && duplicate.empty()) duplicate = key;
      }
      return object;
    }
    case dom::element_type::ARRAY: {
      Json array = Json::array();
      for (const dom::element value : dom::array(element)) array.push_back(to_json(value, duplicate));
      return array;
    }
    case dom::element_type::STRING:
      return Json(std::string(std::string_view(element)));
    case dom::element_type::INT64:
      return Json(std::int64_t(element));
    case dom::element_type::UINT64:
      return Json(std::uint64_t(element));
    case dom::element_type::DOUBLE:
      return Json(double(element));
    case dom::element_type::BOOL:
      return Json(bool(element));
    case dom::element_type::NULL_VALUE:
      return Json(nullptr);
  }
  return Json(nullptr);
}

// The place of an error inside one line, from the slower parser that knows it; null when that parser accepts the line
// (a number beyond 64 bits becomes a double there).
Json reparse_for_place(std::string_view line, const std::string& path, std::int64_t line_number) {
  if (const auto invalid = first_invalid_utf8(line)) {
    fail(ErrorKind::kData, "{}:{}:{}: invalid UTF-8 (byte 0x{:02X}); save the file as UTF-8", path, line_number, *invalid + 1,
         static_cast<unsigned char>(line[*invalid]));
  }
  try {
    return parse_json(line, "", ErrorKind::kData, {.max_bytes = kMaxLineBytes, .max_depth = kMaxDepth});
  } catch (const Error& error) {
    const std::string_view message = error.what();  // ":1:17: not valid JSON: …"
    const bool placed = message.starts_with(":1:");
    fail(ErrorKind::kData, "{}:{}{}", path, line_number, placed ? message.substr(2) : message);
  }
}

}  // namespace

Json parse_json_row(std::string_view line, std::size_t readable_after, const std::string& path, std::int64_t line_number) {
  if (line.size() > kMaxLineBytes) {
    fail(ErrorKind::kData, "{}:{}: a line of {}; at most {} are read", path, line_number, format_bytes(static_cast<double>(line.size())),
         format_bytes(static_cast<double>(kMaxLineBytes)));
  }
  thread_local dom::parser parser;
  if (parser.max_depth() != kMaxDepth && parser.allocate(1 << 16, kMaxDepth) != simdjson::SUCCESS) throw std::bad_alloc();
  dom::element element;
  const bool must_copy = readable_after < simdjson::SIMDJSON_PADDING;  // near the end of the mapped file
  Json row;
  std::string duplicate;
  if (parser.parse(line.data(), line.size(), must_copy).get(element) == simdjson::SUCCESS) {
    row = to_json(element, duplicate);
  } else {
    row = reparse_for_place(line, path, line_number);
  }
  if (!duplicate.empty()) fail(ErrorKind::kData, "{}:{}: the key '{}' stands twice in one object", path, line_number, duplicate);
  if (!row.is_object()) {
    fail(ErrorKind::kData, "{}:{}: expected one JSON object per line (column name to value), found {}", path, line_number, row.type_name());
  }
  return row;
}

}  // namespace r1::data

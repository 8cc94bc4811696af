#include "apps/inspect/jsonl_rows.h"

#include <fmt/format.h>

#include <iostream>
#include <optional>
#include <string>

namespace r1::apps {

int run_jsonl_rows(std::istream& input, std::ostream& output, const std::function<Json(const Json& row)>& handle) {
  bool any_failed = false;
  std::string line;
  for (std::size_t line_number = 1; std::getline(input, line); ++line_number) {
    Json result;
    try {
      const Json row = parse_json(line, fmt::format("standard input:{}", line_number));
      if (!row.is_object()) fail(ErrorKind::kData, "standard input:{}: expected a JSON object, found {}", line_number, row.type_name());
      result = handle(row);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInternal) throw;
      result = {{"error", error.what()}};
      any_failed = true;
    }
    output << to_json_line(result) << '\n' << std::flush;
    if (!output) fail(ErrorKind::kDisk, "standard output: cannot write row {}", line_number);
  }
  return any_failed ? exit_code(ErrorKind::kData) : 0;
}

int run_jsonl_rows(const std::function<Json(const Json& row)>& handle) {
  std::ios::sync_with_stdio(false);
  return run_jsonl_rows(std::cin, std::cout, handle);
}

std::optional<std::string> text_field(const Json& row, const char* name) {
  const auto member = row.find(name);
  if (member == row.end() || member->is_null()) return std::nullopt;
  if (!member->is_string()) fail(ErrorKind::kData, "field '{}': expected a text, found {}", name, member->type_name());
  return member->get<std::string>();
}

std::optional<bool> bool_field(const Json& row, const char* name) {
  const auto member = row.find(name);
  if (member == row.end() || member->is_null()) return std::nullopt;
  if (!member->is_boolean()) fail(ErrorKind::kData, "field '{}': expected true or false, found {}", name, member->type_name());
  return member->get<bool>();
}

}  // namespace r1::apps

#include "base/json.h"

#include <set>
#include <vector>

#include "base/files.h"

namespace r1 {
namespace {

struct Position {
  std::size_t line = 1, column = 1;
};

Position position_of(std::string_view text, std::size_t byte) {
  Position position;
  for (std::size_t i = 0; i < byte && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++position.line;
      position.column = 1;
    } else {
      ++position.column;
    }
  }
  return position;
}

// nlohmann's parser recurses on destruction and copies of deep values; the depth is therefore checked on the text first.
void check_depth(std::string_view text, std::string_view where, ErrorKind kind, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) {
        const Position at = position_of(text, i);
        fail(kind, "{}:{}:{}: JSON nested deeper than {} levels", where, at.line, at.column, max_depth);
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where, ErrorKind kind, JsonLimits limits) {
  if (text.size() > limits.max_bytes) {
    fail(kind, "{}: JSON of {} bytes; at most {} bytes are read here", where, text.size(), limits.max_bytes);
  }
  check_depth(text, where, kind, limits.max_depth);
  std::vector<std::set<std::string>> open_objects;
  std::string duplicate;
  auto callback = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && duplicate.empty()) {
      std::string key = parsed.get<std::string>();
      if (!open_objects.back().insert(key).second) duplicate = std::move(key);
    }
    return true;
  };
  try {
    Json value = Json::parse(text, callback);
    if (!duplicate.empty()) fail(kind, "{}: the key '{}' stands twice in one object", where, duplicate);
    return value;
  } catch (const Json::parse_error& error) {
    const Position at = position_of(text, error.byte == 0 ? 0 : error.byte - 1);
    std::string reason = error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
    if (const auto colon = reason.find(": "); colon != std::string::npos) reason = reason.substr(colon + 2);
    fail(kind, "{}:{}:{}: not valid JSON: {}", where, at.line, at.column, reason);
  }
}

Json read_json_file(const std::string& path, ErrorKind kind, JsonLimits limits) {
  return parse_json(read_file(path, kind), path, kind, limits);
}

std::string to_json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace r1

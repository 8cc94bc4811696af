// Reading of the shared vectors, which are gzipped.
#pragma once

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/strings.h"

namespace r1::test {

/// The unpacked content, through the gzip program.
inline std::string read_gzip(const std::string& path) {
  FILE* pipe = popen(("gzip -dc '" + path + "'").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run gzip for " + path);
  std::string content;
  char buffer[1 << 16];
  for (std::size_t size = 0; (size = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) content.append(buffer, size);
  if (pclose(pipe) != 0) throw std::runtime_error("gzip failed for " + path);
  return content;
}

inline std::vector<Json> rows_of(const std::string& jsonl) {
  std::vector<Json> rows;
  for (const std::string& line : split(jsonl, '\n'))
    if (!line.empty()) rows.push_back(Json::parse(line));
  return rows;
}

}  // namespace r1::test

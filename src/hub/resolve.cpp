#include "hub/resolve.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace r1::hub {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> search_folders(Repository kind) {
  std::vector<std::string> folders;
  for (std::string& folder : split(environment(kind == Repository::kModel ? "R1_MODELS" : "R1_DATA"), ':')) {
    if (!folder.empty()) folders.push_back(std::move(folder));
  }
  return folders;
}

bool is_plain(std::string_view name) { return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos; }

// org/name or name, of the characters that the hub allows.
bool is_repository_name(std::string_view name) {
  const auto parts = split(name, '/');
  if (parts.size() > 2) return false;
  for (const std::string& part : parts) {
    if (!is_plain(part) || part.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != std::string::npos)
      return false;
  }
  return true;
}

std::optional<std::string> find_snapshot(Repository kind, std::string_view name, std::string_view revision) {
  if (!is_repository_name(name)) return std::nullopt;
  const fs::path entry = fs::path(cache_folder()) / cache_entry_name(kind, name);
  std::string commit(revision);
  std::error_code error;
  if (const fs::path ref = entry / "refs" / commit; fs::is_regular_file(ref, error)) {
    commit = std::string(trim(read_file(ref.string())));
    if (!is_plain(commit))
      fail(ErrorKind::kData, "{}: expected a commit, found '{}'; remove the file and fetch again", ref.string(), commit);
  }
  if (!is_plain(commit)) return std::nullopt;
  const fs::path snapshot = entry / "snapshots" / commit;
  if (!fs::is_directory(snapshot, error)) return std::nullopt;
  return snapshot.string();
}

}  // namespace

std::string cache_folder() {
  if (const std::string folder = environment("HF_HUB_CACHE"); !folder.empty()) return folder;
  if (const std::string folder = environment("HUGGINGFACE_HUB_CACHE"); !folder.empty()) return folder;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return home + "/hub";
  std::string cache = environment("XDG_CACHE_HOME");
  if (cache.empty()) cache = environment("HOME") + "/.cache";
  return cache + "/huggingface/hub";
}

std::string cache_entry_name(Repository kind, std::string_view name) {
  return (kind == Repository::kModel ? "models--" : "datasets--") + replace_all(std::string(name), "/", "--");
}

std::optional<std::string> find_local(Repository kind, std::string_view name, std::string_view revision) {
  if (name.empty()) return std::nullopt;
  std::error_code error;
  if (fs::exists(fs::path(name), error)) return std::string(name);
  if (fs::path(name).is_absolute()) return std::nullopt;
  for (const std::string& folder : search_folders(kind)) {
    if (const fs::path path = fs::path(folder) / name; fs::exists(path, error)) return path.string();
  }
  return find_snapshot(kind, name, revision);
}

std::string resolve(Repository kind, std::string_view name, std::string_view revision) {
  if (auto found = find_local(kind, name, revision)) return *found;
  const bool model = kind == Repository::kModel;
  const ErrorKind error_kind = model ? ErrorKind::kModel : ErrorKind::kData;
  const char* what = model ? "model" : "data set";
  if (name.empty()) fail(error_kind, "expected the name of a {}, found an empty one", what);
  const char* variable = model ? "R1_MODELS" : "R1_DATA";
  const auto folders = search_folders(kind);
  const std::string searched =
      fmt::format("not a local path; {}; not in the Hugging Face cache {}{}",
                  folders.empty() ? fmt::format("{} is not set", variable) : fmt::format("not under {}={}", variable, join(folders, ":")),
                  cache_folder(), revision == "main" ? "" : fmt::format(" at revision {}", revision));
  if (!is_repository_name(name)) fail(error_kind, "{} '{}' was not found: {}", what, name, searched);
  fail(error_kind, "{} '{}' was not found: {}. To fetch it, on a machine with a network: r1_inspect download {}{}{}", what, name, searched,
       name, model ? "" : " --dataset", revision == "main" ? "" : fmt::format(" --revision {}", revision));
}

}  // namespace r1::hub

// Fetches models and data sets from a Hugging Face hub into its own cache layout. A library of its own (libcurl), linked by
// r1_inspect alone: no other program opens a connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hub/resolve.h"

namespace r1::hub {

struct DownloadOptions {
  Repository kind = Repository::kModel;
  std::string name, revision = "main";
  /// Default: HF_ENDPOINT, else https://huggingface.co.
  std::string endpoint;
  /// Default: HF_TOKEN, else the file HF_HOME/token when only its owner can read it. Sent over https, or to this machine alone.
  std::string token;
  /// Default: cache_folder().
  std::string cache;
  int max_attempts = 5;
  double first_retry_seconds = 1;  // doubled each time
};

/// endpoint, token and cache filled in from the environment where they are empty.
DownloadOptions with_environment(DownloadOptions options);

struct DownloadResult {
  std::string folder;  // the snapshot: what resolve() gives from now on
  std::string commit;
  std::int64_t num_files = 0, num_fetched = 0;
  std::uint64_t fetched_bytes = 0;
};

/// Fetches every file of the repository that is of use (of models no pickles and weights of other frameworks). A file that was cut
/// off goes on where it stopped, also in a later call; each is checked against the hub's hash (sha256 for large files, git's
/// for others) before it gets its name. Transient failures are tried again. Throws Error(kData) or Error(kModel) for an unknown
/// name, missing rights, a failed check or an unreachable hub; Error(kDisk) when the room does not suffice.
DownloadResult download(const DownloadOptions& options);

/// False for files that this suite never reads.
bool is_wanted_file(Repository kind, std::string_view file);

}  // namespace r1::hub

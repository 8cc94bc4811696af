// Names of models and data sets → local files. No connection is ever opened here; hub/download.h is a library of its own.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace r1::hub {

enum class Repository { kModel, kDataset };

/// A local path as it stands; else NAME under a folder of R1_MODELS or R1_DATA (several are separated by ':'); else a
/// snapshot in the Hugging Face cache (HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub), at `revision` (a branch, a tag or
/// a commit; default main). Throws Error(kModel) or Error(kData) with the places that were searched and the one command that
/// fetches it.
std::string resolve(Repository kind, std::string_view name, std::string_view revision = "main");

/// The same, or nothing where resolve() would say that it was not found.
std::optional<std::string> find_local(Repository kind, std::string_view name, std::string_view revision = "main");

/// Folder of the Hugging Face cache, whether or not it exists.
std::string cache_folder();

/// models--org--name or datasets--org--name.
std::string cache_entry_name(Repository kind, std::string_view name);

}  // namespace r1::hub

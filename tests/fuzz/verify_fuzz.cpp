// libFuzzer target of the answer verifier: extraction, parser and comparison must neither crash nor run away. The input is two texts,
// cut at the first zero byte, behind one byte that chooses the profile. Build (clang) and run:
//   cmake -S . -B build-fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang -DR1_FUZZ=ON -DR1_SANITIZE=ON
//   ninja -C build-fuzz verify_fuzz && build-fuzz/tests/verify_fuzz -max_total_time=600 -timeout=5 tests/fuzz/verify_corpus
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "verify/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace r1::verify;
  if (size == 0) return 0;
  static constexpr const char* kProfiles[] = {"default", "open_r1", "latex", "expr", "choice"};
  const Profile profile = profile_by_name(kProfiles[data[0] % 5], (data[0] & 8) != 0);
  const std::string_view texts(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t cut = texts.find('\0');
  const std::string_view gold = texts.substr(0, cut), prediction = cut == std::string_view::npos ? texts : texts.substr(cut + 1);
  const Answer gold_answer = extract_answer(gold, profile.gold), answer = extract_answer(prediction, profile.prediction);
  (void)compare_answers(gold_answer, answer, profile.strict);
  (void)compare_answers(answer, gold_answer, profile.strict);
  (void)describe(answer);
  return 0;
}

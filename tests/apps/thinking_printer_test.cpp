#include "apps/inspect/thinking_printer.h"

#include <gtest/gtest.h>

namespace r1 {
namespace {

std::string printed(apps::ThinkingPrinter printer, const std::string& text, std::size_t piece) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += piece) out += printer.add(text.substr(i, piece));
  return out + printer.flush();
}

TEST(ThinkingPrinter, DimsTheThinkingPartWhateverThePieces) {
  const std::string text = "So <think>2 < 3\n</think>\nthe answer is 5 <thin";
  for (const std::size_t piece : {1, 2, 3, 7, 100}) {
    std::string out = printed({true, false}, text, piece);
    EXPECT_EQ(out, "So \033[2m<think>2 < 3\n</think>\033[0m\nthe answer is 5 <thin") << piece;
  }
}

TEST(ThinkingPrinter, StartsDimmedBehindAnOpenedTagAndEndsNormal) {
  EXPECT_EQ(printed({true, true}, "hm</think>yes", 1), "\033[2mhm</think>\033[0myes");
  EXPECT_EQ(printed({true, true}, "hm", 1), "\033[2mhm\033[0m");
}

TEST(ThinkingPrinter, WithoutColourTheTextPasses) { EXPECT_EQ(printed({false, true}, "a</think>b", 2), "a</think>b"); }

}  // namespace
}  // namespace r1

#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "app/commands.h"
#include "app/live_view.h"
#include "convert/quantised_view.h"

namespace exo::app {

Status run_convert(const formats::GgufFile& model, const std::string& output) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kShowEvery = std::chrono::milliseconds(200);
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto began = Clock::now();
  auto shown = began;
  EXO_CHECK_OK(convert::write_gguf(model, output, [&](uint64_t done, uint64_t total) {
    if (!terminal || (Clock::now() - shown < kShowEvery && done < total)) return;
    shown = Clock::now();
    std::fprintf(stderr, "\r%s of %s%s", human_bytes(done).c_str(), human_bytes(total).c_str(),
                 done == total ? "\n" : "   ");
  }));
  std::error_code ignored;
  const auto bytes = std::filesystem::file_size(output, ignored);
  std::printf("%s: %s, %zu tensors, %.1f s\n", output.c_str(), human_bytes(bytes).c_str(), model.tensors().size(),
              std::chrono::duration<double>(Clock::now() - began).count());
  return {};
}

}  // namespace exo::app

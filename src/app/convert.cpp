#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "app/commands.h"
#include "app/live_view.h"
#include "convert/quantised_view.h"
#include "text/gguf_export.h"

namespace exo::app {
namespace {

size_t embedding_rows(const formats::GgufFile& model) {
  const auto* embedding = model.find_tensor("token_embd.weight");
  return embedding != nullptr ? static_cast<size_t>(embedding->shape[1]) : 0;
}

}  // namespace

Status run_convert(const formats::GgufFile& model, const std::string& output) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kShowEvery = std::chrono::milliseconds(200);
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto began = Clock::now();
  auto shown = began;
  const auto show = [&](uint64_t done, uint64_t total) {
    if (!terminal || (Clock::now() - shown < kShowEvery && done < total)) return;
    shown = Clock::now();
    std::fprintf(stderr, "\r%s of %s%s", human_bytes(done).c_str(), human_bytes(total).c_str(),
                 done == total ? "\n" : "   ");
  };
  const auto tokenizer = text::export_tokenizer(model.metadata(), embedding_rows(model));
  if (!tokenizer && model.metadata().find("tokenizer.huggingface.json") != nullptr)
    std::fprintf(stderr, "This tokenizer has no form that other programs read from a GGUF file: only exo will.\n");
  EXO_CHECK_OK(convert::write_gguf(model, output, show, [&](formats::GgufWriter& writer) {
    if (tokenizer) tokenizer->put(writer, model.metadata());
  }));
  std::error_code ignored;
  const auto bytes = std::filesystem::file_size(output, ignored);
  std::printf("%s: %s, %zu tensors, %.1f s\n", output.c_str(), human_bytes(bytes).c_str(), model.tensors().size(),
              std::chrono::duration<double>(Clock::now() - began).count());
  return {};
}

}  // namespace exo::app

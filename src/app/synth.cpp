#include <unistd.h>

#include <cstdio>

#include "app/commands.h"
#include "app/live_view.h"
#include "base/element_type.h"
#include "model/synthesize.h"

namespace exo::app {

Status run_synth(const SynthArguments& arguments) {
  const auto* type = find_element_type(arguments.type);
  if (type == nullptr) return fail(ErrorCode::kInvalidArgument, "'{}' is no number format", arguments.type);
  model::SynthOptions options;
  options.shape = arguments.like;
  options.n_layers = arguments.layers;
  options.type = type->type;
  const bool terminal = isatty(STDERR_FILENO) != 0;
  int last_percent = -1;
  const auto progress = [&](uint64_t done, uint64_t total) {
    const int percent = total == 0 ? 100 : static_cast<int>(done * 100 / total);
    if (terminal && percent != last_percent) {
      std::fprintf(stderr, "\r%3d %% of %s", percent, human_bytes(total).c_str());
      last_percent = percent;
    }
    return true;
  };
  EXO_CHECK_OK(model::synthesize(options, arguments.output, progress));
  if (terminal) std::fputs("\n", stderr);
  return {};
}

}  // namespace exo::app

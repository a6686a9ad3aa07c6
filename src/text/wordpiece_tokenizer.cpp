#include "text/wordpiece_tokenizer.h"
namespace exo::text {
Result<std::unique_ptr<Tokenizer>> load_wordpiece_tokenizer(const formats::GgufMetadata& metadata) {
  (void)metadata;
  return fail(ErrorCode::kUnsupported, "WordPiece");
}
}  // namespace exo::text

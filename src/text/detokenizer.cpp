#include <algorithm>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace exo::text {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool render_special,
                         std::vector<TokenId> also_rendered)
    : tokenizer_(std::move(tokenizer)), render_special_(render_special), also_rendered_(std::move(also_rendered)) {}

std::string Detokenizer::push(TokenId token) {
  const bool render =
      render_special_ || std::find(also_rendered_.begin(), also_rendered_.end(), token) != also_rendered_.end();
  std::string piece = tokenizer_->piece(token, render);
  if (piece.empty()) return {};
  if (at_start_) {
    at_start_ = false;
    piece = tokenizer_->first_piece(token, render);
  }
  pending_ += piece;
  std::string shown;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Utf8Step step = decode_utf8(rest);
    if (step.truncated) break;
    if (step.valid)
      shown.append(rest.substr(0, step.bytes));
    else
      append_utf8(shown, 0xFFFD);
    rest.remove_prefix(step.bytes);
  }
  const bool last_space = tokenizer_->drops_trailing_space() && rest.empty() && shown.ends_with(' ');
  pending_.erase(0, pending_.size() - rest.size());
  if (last_space) {
    shown.pop_back();
    pending_ = " ";
  }
  return shown;
}

std::string Detokenizer::finish() {
  std::string rest = replace_invalid_utf8(pending_);
  pending_.clear();
  if (tokenizer_->drops_trailing_space() && rest == " ") rest.clear();
  return rest;
}

}  // namespace exo::text

#include "text/spm.h"

#include <algorithm>
#include <limits>

#include "text/utf8.h"

namespace exo::text {
namespace {

struct Symbol {
  uint32_t offset, bytes;  // bytes == 0: merged into its left neighbour
  int32_t previous, next;
};

struct Candidate {
  float score;
  int32_t left;
  uint32_t bytes;  // of both together; another length means that one of them has changed
};

bool worse(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score < b.score : a.left > b.left;
}

constexpr std::string_view kSpace = "▁";

class Merger {
 public:
  explicit Merger(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  void encode(std::string_view text, std::vector<TokenId>& out) {
    text_ = text;
    symbols_.clear();
    heap_.clear();
    for (size_t offset = 0; offset < text.size();) {
      const auto bytes = static_cast<uint32_t>(std::min(utf8_length(text[offset]), text.size() - offset));
      const auto index = static_cast<int32_t>(symbols_.size());
      symbols_.push_back({static_cast<uint32_t>(offset), bytes, index - 1, index + 1});
      offset += bytes;
    }
    symbols_.back().next = -1;
    run();
    emit(out);
  }

 private:
  void run() {
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) consider(static_cast<int32_t>(i), false);
    std::make_heap(heap_.begin(), heap_.end(), worse);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), worse);
      const Candidate candidate = heap_.back();
      heap_.pop_back();
      Symbol& left = symbols_[candidate.left];
      if (left.bytes == 0 || left.next < 0 || left.bytes + symbols_[left.next].bytes != candidate.bytes) continue;
      merge(candidate.left);
    }
  }

  void emit(std::vector<TokenId>& out) {
    for (int32_t i = 0; i >= 0; i = symbols_[i].next) {
      const std::string_view piece = text_.substr(symbols_[i].offset, symbols_[i].bytes);
      const int32_t id = vocabulary_.find_ordinary(piece);
      if (id >= 0)
        out.push_back(TokenId(id));
      else
        emit_bytes(piece, out);
      after_unknown_ = id < 0 && after_unknown_;
    }
  }

  void consider(int32_t left, bool push) {
    const Symbol& a = symbols_[left];
    if (a.next < 0) return;
    const uint32_t bytes = a.bytes + symbols_[a.next].bytes;
    const int32_t id = vocabulary_.find_ordinary(text_.substr(a.offset, bytes));
    if (id < 0) return;
    heap_.push_back({vocabulary_.score(id), left, bytes});
    if (push) std::push_heap(heap_.begin(), heap_.end(), worse);
  }

  void merge(int32_t index) {
    Symbol& left = symbols_[index];
    Symbol& right = symbols_[left.next];
    left.bytes += right.bytes;
    right.bytes = 0;
    left.next = right.next;
    if (left.next >= 0) symbols_[left.next].previous = index;
    if (left.previous >= 0) consider(left.previous, true);
    consider(index, true);
  }

  // Neighbouring pieces without tokens are one unknown token.
  void emit_bytes(std::string_view piece, std::vector<TokenId>& out) {
    bool all_bytes = true;
    for (const char c : piece) all_bytes = all_bytes && vocabulary_.byte_token(static_cast<uint8_t>(c)) >= 0;
    if (all_bytes)
      for (const char c : piece) out.push_back(TokenId(vocabulary_.byte_token(static_cast<uint8_t>(c))));
    else if (vocabulary_.special.unknown && !after_unknown_)
      out.push_back(*vocabulary_.special.unknown);
    after_unknown_ = !all_bytes;
  }

  const Vocabulary& vocabulary_;
  std::string_view text_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  bool after_unknown_ = false;
};

// More text at once would not fit the 32-bit offsets; cutting is at a character's border.
constexpr size_t kMaxChunk = std::numeric_limits<int32_t>::max() / 2;

}  // namespace

size_t first_word_bytes(std::string_view text) {
  size_t at = 0;
  while (text.substr(at).starts_with(kSpace)) at += kSpace.size();
  const size_t end = text.find(kSpace, at);
  return end == std::string_view::npos ? text.size() : end;
}

bool words_are_independent(const Vocabulary& vocabulary) {
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.is_hidden(id) || vocabulary.type(id) == TokenType::kByte) continue;
    if (first_word_bytes(vocabulary.key(id)) != vocabulary.key(id).size()) return false;
  }
  return true;
}

SentencePieceEncoder::SentencePieceEncoder(const Vocabulary& vocabulary)
    : vocabulary_(&vocabulary), words_are_independent_(words_are_independent(vocabulary)) {}

void SentencePieceEncoder::encode(std::string_view text, std::vector<TokenId>& out) const {
  Merger merger(*vocabulary_);
  while (!text.empty()) {
    size_t bytes = words_are_independent_ ? first_word_bytes(text) : text.size();
    if (bytes > kMaxChunk) {
      bytes = kMaxChunk;
      while (bytes > 1 && (static_cast<uint8_t>(text[bytes]) & 0xC0) == 0x80) --bytes;
    }
    merger.encode(text.substr(0, bytes), out);
    text.remove_prefix(bytes);
  }
}

}  // namespace exo::text

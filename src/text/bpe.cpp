#include "text/bpe.h"

#include <algorithm>
#include <limits>

#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace exo::text {
namespace {

// Below this many symbols scanning for the lowest rank is faster than a heap.
constexpr size_t kShortWord = 48;
// What a lookup gives for bytes that are no symbol.
constexpr int32_t kNoSymbol = -1;

}  // namespace

BpeMerger::BpeMerger(const Vocabulary& vocabulary, BpeOptions options)
    : vocabulary_(&vocabulary), options_(options) {}

std::string_view BpeMerger::bytes_of(int32_t symbol) const {
  if (vocabulary_->contains(symbol)) return vocabulary_->piece(symbol);
  return extra_symbols_[symbol - vocabulary_->size()];
}

int32_t BpeMerger::symbol_of(std::string_view bytes) const {
  const int32_t id = vocabulary_->find_ordinary(bytes);
  if (id >= 0) return id;
  const int32_t extra =
      extra_index_.find(bytes, [this](int32_t i) -> std::string_view { return extra_symbols_[i]; });
  return extra < 0 ? kNoSymbol : vocabulary_->size() + extra;
}

int32_t BpeMerger::make_symbol(std::string_view bytes) {
  const int32_t known = symbol_of(bytes);
  if (known >= 0) return known;
  const auto key_of = [this](int32_t i) -> std::string_view { return extra_symbols_[i]; };
  const auto extra = static_cast<int32_t>(extra_symbols_.size());
  extra_symbols_.emplace_back(bytes);
  if (extra_symbols_.size() > extra_capacity_) {
    extra_capacity_ = 2 * extra_symbols_.size() + 64;
    extra_index_ = StringIndex(extra_capacity_);
    for (int32_t i = 0; i < extra; ++i) extra_index_.insert(extra_symbols_[i], i, key_of);
  }
  extra_index_.insert(extra_symbols_.back(), extra, key_of);
  return vocabulary_->size() + extra;
}

Result<BpeMerger> BpeMerger::from_merges(const Vocabulary& vocabulary,
                                         const std::vector<std::pair<std::string_view, std::string_view>>& merges,
                                         bool byte_alphabet, BpeOptions options) {
  if (merges.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) / 8)
    return fail(ErrorCode::kCorrupt, "{} merges are more than any model has", merges.size());
  BpeMerger merger(vocabulary, options);
  merger.pairs_ = PairTable(merges.size());
  std::string both;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    both.clear();
    if (!byte_alphabet || !append_decoded_byte_alphabet(left, both)) both.append(left);
    const size_t left_bytes = both.size();
    if (!byte_alphabet || !append_decoded_byte_alphabet(right, both)) both.append(right);
    if (left_bytes == 0 || left_bytes == both.size())
      return fail(ErrorCode::kCorrupt, "merge {} has an empty side", rank);
    const std::string_view view = both;
    const int32_t left_symbol = merger.make_symbol(view.substr(0, left_bytes));
    const int32_t right_symbol = merger.make_symbol(view.substr(left_bytes));
    const std::string& prefix = options.continuing_prefix;
    if (!prefix.empty() && view.substr(left_bytes).starts_with(prefix)) both.erase(left_bytes, prefix.size());
    merger.pairs_.insert(left_symbol, right_symbol, {static_cast<int32_t>(rank), merger.make_symbol(both)});
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    merger.byte_symbols_[byte] = merger.symbol_of({&c, 1});
  }
  return merger;
}

BpeMerger BpeMerger::from_ranks(const Vocabulary& vocabulary, BpeOptions options) {
  BpeMerger merger(vocabulary, options);
  merger.by_rank_of_result_ = true;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    merger.byte_symbols_[byte] = merger.symbol_of({&c, 1});
  }
  return merger;
}

PairTable::Merge BpeMerger::merge_of(int32_t left, int32_t right) const {
  if (left < 0 || right < 0) return {};
  if (!by_rank_of_result_) return pairs_.find(left, right);
  const std::string_view a = bytes_of(left), b = bytes_of(right);
  if (a.size() + b.size() > 256) return {};
  char both[256];
  std::copy(b.begin(), b.end(), std::copy(a.begin(), a.end(), both));
  const int32_t id = vocabulary_->find_ordinary({both, a.size() + b.size()});
  return {id, id};
}

int32_t BpeMerger::initial_symbol(std::string_view character, bool first, bool last) const {
  const bool prefixed = !first && !options_.continuing_prefix.empty();
  const bool suffixed = last && !options_.word_suffix.empty();
  if (prefixed || suffixed) {
    std::string symbol = prefixed ? options_.continuing_prefix : std::string();
    symbol += character;
    if (suffixed) symbol += options_.word_suffix;
    return symbol_of(symbol);
  }
  return options_.byte_level ? byte_symbols_[static_cast<uint8_t>(character[0])] : symbol_of(character);
}

// A character that is no symbol gets -1 minus its place in the word instead of an id:
// negative, so that nothing merges with it.
void BpeMerger::split_into_symbols(std::string_view word, Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  symbols.clear();
  for (size_t i = 0; i < word.size();) {
    const size_t bytes = options_.byte_level ? 1 : std::min(utf8_length(word[i]), word.size() - i);
    int32_t id = initial_symbol(word.substr(i, bytes), i == 0, i + bytes == word.size());
    if (id < 0) id = -1 - static_cast<int32_t>(i);
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, index + 1, index - 1, {}});
    i += bytes;
  }
  symbols.back().next = -1;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) symbols[i].merge = merge_of(symbols[i].id, symbols[i + 1].id);
}

void BpeMerger::merge_short(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  size_t count = symbols.size();
  while (count > 1) {
    size_t best = count;
    int32_t best_rank = std::numeric_limits<int32_t>::max();
    for (size_t i = 0; i + 1 < count; ++i) {
      const int32_t rank = symbols[i].merge.rank;
      if (rank >= 0 && rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    if (best == count) break;
    symbols[best].id = symbols[best].merge.symbol;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    --count;
    if (best > 0) symbols[best - 1].merge = merge_of(symbols[best - 1].id, symbols[best].id);
    symbols[best].merge = best + 1 < count ? merge_of(symbols[best].id, symbols[best + 1].id) : PairTable::Merge{};
  }
}

void BpeMerger::merge_long(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  const auto later = [](const Scratch::Candidate& a, const Scratch::Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  };
  heap.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    if (symbols[i].merge.rank >= 0)
      heap.push_back({symbols[i].merge.rank, static_cast<int32_t>(i), symbols[i].id, symbols[i + 1].id});
  std::make_heap(heap.begin(), heap.end(), later);
  const auto consider = [&](int32_t left) {
    Scratch::Symbol& symbol = symbols[left];
    if (symbol.next < 0) return;
    symbol.merge = merge_of(symbol.id, symbols[symbol.next].id);
    if (symbol.merge.rank < 0) return;
    heap.push_back({symbol.merge.rank, left, symbol.id, symbols[symbol.next].id});
    std::push_heap(heap.begin(), heap.end(), later);
  };
  constexpr int32_t kDead = std::numeric_limits<int32_t>::min();
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Scratch::Candidate candidate = heap.back();
    heap.pop_back();
    Scratch::Symbol& left = symbols[candidate.left];
    if (left.id != candidate.left_id || left.next < 0 || symbols[left.next].id != candidate.right_id) continue;
    Scratch::Symbol& right = symbols[left.next];
    left.id = left.merge.symbol;
    left.next = right.next;
    right.id = kDead;
    if (left.next >= 0) symbols[left.next].previous = candidate.left;
    if (left.previous >= 0) consider(left.previous);
    consider(candidate.left);
  }
  size_t kept = 0;
  for (size_t i = 0; i < symbols.size(); ++i)
    if (symbols[i].id != kDead) symbols[kept++].id = symbols[i].id;
  symbols.resize(kept);
}

// A character that is no token: its bytes, else the unknown token.
void BpeMerger::emit_without_token(std::string_view character, std::vector<TokenId>& out) const {
  bool all_bytes = options_.byte_fallback;
  for (const char c : character) all_bytes = all_bytes && vocabulary_->byte_token(static_cast<uint8_t>(c)) >= 0;
  if (all_bytes)
    for (const char c : character) out.push_back(TokenId(vocabulary_->byte_token(static_cast<uint8_t>(c))));
  else if (vocabulary_->special.unknown)
    out.push_back(*vocabulary_->special.unknown);
}

// Bytes that together are no token: as characters or bytes that are, else as what stands for them.
void BpeMerger::emit_parts(std::string_view bytes, std::vector<TokenId>& out) const {
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = options_.byte_level ? 1 : std::min(utf8_length(bytes[i]), bytes.size() - i);
    const std::string_view part = bytes.substr(i, length);
    i += length;
    if (const int32_t id = vocabulary_->find_ordinary(part); id >= 0)
      out.push_back(TokenId(id));
    else
      emit_without_token(part, out);
  }
}

void BpeMerger::emit(int32_t symbol, std::vector<TokenId>& out) const {
  if (vocabulary_->contains(symbol))
    out.push_back(TokenId(symbol));
  else
    emit_parts(bytes_of(symbol), out);
}

void BpeMerger::encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
  if (word.empty()) return;
  if (options_.ignore_merges) {
    const int32_t id = vocabulary_->find_ordinary(word);
    if (id >= 0) {
      out.push_back(TokenId(id));
      return;
    }
  }
  split_into_symbols(word, scratch);
  if (scratch.symbols.size() <= kShortWord)
    merge_short(scratch);
  else
    merge_long(scratch);
  const auto is_unknown = [&] {
    return vocabulary_->special.unknown && !out.empty() && out.back() == *vocabulary_->special.unknown;
  };
  bool after_unknown = false;
  for (const Scratch::Symbol& symbol : scratch.symbols) {
    if (symbol.id >= 0) {
      emit(symbol.id, out);
      after_unknown = false;
      continue;
    }
    const size_t at = static_cast<size_t>(-1 - symbol.id), before = out.size();
    const size_t length = options_.byte_level ? 1 : std::min(utf8_length(word[at]), word.size() - at);
    emit_without_token(word.substr(at, length), out);
    const bool unknown = out.size() == before + 1 && is_unknown();
    if (unknown && after_unknown && options_.fuse_unknown) out.pop_back();
    after_unknown = unknown;
  }
}

}  // namespace exo::text

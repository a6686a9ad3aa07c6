#pragma once
// The tokens of a model: their text, what kind they are, and which ids have a meaning of their own.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "text/flat_index.h"
#include "text/tokenizer.h"

namespace exo::text {

// GGUF's tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // recognised in text only when asked, shown only when asked
  kUserDefined = 4,  // always recognised in text, always shown
  kUnused = 5,
  kByte = 6,  // <0xNN>
};

// How a token's stored text relates to the bytes it stands for.
enum class PieceForm {
  kRaw,            // the text itself
  kByteAlphabet,   // GPT-2's printable bytes
  kSentencePiece,  // ▁ is a space, <0xNN> a byte
};

// The byte that "<0xNN>" stands for; nullopt for another text.
std::optional<uint8_t> parse_byte_token(std::string_view text);

class Vocabulary {
 public:
  // Reads tokens, token_type, scores and the ids and flags of tokenizer.ggml.*; kCorrupt for arrays of different
  // lengths, ids outside the vocabulary, or wrong types.
  // `defaults` stand where the file has no key for an id (and are dropped where the vocabulary is smaller).
  static Result<Vocabulary> from_metadata(const formats::GgufMetadata& metadata, PieceForm form,
                                          const SpecialTokens& defaults = {});

  // For other sources: add tokens in the order of their ids, then finish().
  explicit Vocabulary(PieceForm form) : form_(form) {}
  void reserve(size_t tokens, size_t bytes);
  Status add(std::string_view text, TokenType type, float score);
  // A token whose key (how find_ordinary() finds it; empty: it does not) and piece are not what the form says.
  Status add(std::string_view text, std::string_view key, std::string_view piece, TokenType type, float score);
  // Builds the index, then finds special tokens by their well-known names where `special` has none.
  void finish();

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size(); }
  std::string_view text(int32_t id) const { return view(tokens_[id].text); }
  // The bytes the token stands for in text, whatever its kind.
  std::string_view piece(int32_t id) const { return view(tokens_[id].piece); }
  TokenType type(int32_t id) const { return tokens_[id].type; }
  float score(int32_t id) const { return tokens_[id].score; }
  // Control and unknown tokens: found in text and shown only when asked.
  bool is_hidden(int32_t id) const { return type(id) == TokenType::kControl || type(id) == TokenType::kUnknown; }

  // The bytes the token stands for in front of the algorithm: its piece for PieceForm::kByteAlphabet, else its
  // stored text.
  std::string_view key(int32_t id) const { return view(tokens_[id].key); }
  // Among tokens that ordinary text may become (normal ones first, then user-defined), by their key. Never a
  // control or byte token. -1 when there is none.
  int32_t find_ordinary(std::string_view wanted) const {
    return ordinary_.find(wanted, [this](int32_t id) { return key(id); });
  }
  // Any token by its stored text; -1 when there is none. Slow (a scan): for names, not for text.
  int32_t find_by_text(std::string_view text) const;
  // The <0xNN> token of a byte, -1 when there is none.
  int32_t byte_token(uint8_t byte) const { return byte_tokens_[byte]; }

  // What encoding and decoding follow; set by from_metadata, or by who builds the vocabulary.
  SpecialTokens special;
  std::optional<TokenId> separator, mask;
  std::optional<bool> add_bos, add_eos, add_separator, add_space_prefix;  // as the file says, if it says
  bool remove_extra_whitespaces = false;

 private:
  struct Range {
    uint32_t offset = 0, bytes = 0;
  };
  struct Token {
    Range text, piece, key;
    float score = 0;
    TokenType type = TokenType::kNormal;
  };

  std::string_view view(Range range) const { return {arena_.data() + range.offset, range.bytes}; }
  Range append(std::string_view bytes);
  Range append_piece(Range text, TokenType type);
  Status check_room(size_t bytes) const;
  Status read_special_ids(const formats::GgufMetadata& metadata);
  void mark_control(int32_t id);
  void find_end_of_generation();
  void index_ordinary();

  PieceForm form_;
  std::string arena_;
  std::vector<Token> tokens_;
  StringIndex ordinary_;
  std::array<int32_t, 256> byte_tokens_{};
};

}  // namespace exo::text

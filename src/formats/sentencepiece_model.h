#pragma once
// SentencePiece's tokenizer.model: a protobuf message with the pieces, their scores, and how text is normalised.
// Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"

namespace exo::formats {

struct SentencePieceModel {
  // The numbers are the file's and, for pieces, also those of GGUF's tokenizer.ggml.token_type.
  enum class Algorithm : uint8_t { kUnigram = 1, kBpe = 2, kWord = 3, kCharacter = 4 };
  enum class PieceType : uint8_t {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6,
  };
  struct Piece {
    std::string text;  // spaces are written as ▁
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  // by id; at least one
  // Trainer.
  Algorithm algorithm = Algorithm::kUnigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  int32_t unknown_id = 0, bos_id = 1, eos_id = 2, padding_id = -1;  // -1: there is none; else inside the pieces
  // Normaliser.
  std::string normalizer_name;       // "nmt_nfkc", "identity", …
  std::string precompiled_charsmap;  // the trie and its replacements, as the file has them; may be empty
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;

  // Copies what it keeps. kCorrupt for what is malformed, has no pieces, or has more than any model.
  static Result<SentencePieceModel> parse(std::span<const std::byte> bytes);
};

// The tokenizer.ggml.* keys that a GGUF file of the model would have: model ("llama" for BPE, "t5" for unigram),
// tokens, scores, token_type, the special ids, add_space_prefix, remove_extra_whitespaces, precompiled_charsmap.
// kUnsupported for the word and character algorithms, which no language model uses.
Result<GgufMetadata> gguf_tokenizer_metadata(const SentencePieceModel& model);

}  // namespace exo::formats

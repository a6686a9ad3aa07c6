#include "formats/sentencepiece_model.h"

#include <cmath>

#include "formats/protobuf_reader.h"

namespace exo::formats {
namespace {

using Wire = ProtobufReader::Wire;
using Algorithm = SentencePieceModel::Algorithm;
using PieceType = SentencePieceModel::PieceType;

constexpr size_t kMaxPieces = 1 << 21;

Status malformed(std::string_view what) {
  return fail(ErrorCode::kCorrupt, "tokenizer.model: {} is malformed", what);
}

Status read_piece(std::string_view message, SentencePieceModel& model) {
  if (model.pieces.size() >= kMaxPieces)
    return fail(ErrorCode::kCorrupt, "tokenizer.model has more than {} pieces", kMaxPieces);
  SentencePieceModel::Piece piece;
  ProtobufReader reader(message);
  while (reader.next()) {
    if (reader.is(1, Wire::kBytes)) {
      piece.text = reader.bytes();
    } else if (reader.is(2, Wire::kFixed32)) {
      piece.score = reader.float32();
    } else if (reader.is(3, Wire::kVarint)) {
      if (reader.number() < 1 || reader.number() > 6)
        return fail(ErrorCode::kCorrupt, "tokenizer.model: piece {} is of kind {}, which does not exist",
                    model.pieces.size(), reader.number());
      piece.type = static_cast<PieceType>(reader.number());
    }
  }
  if (reader.failed() || std::isnan(piece.score)) return malformed("a piece");
  model.pieces.push_back(std::move(piece));
  return {};
}

Status read_trainer(std::string_view message, SentencePieceModel& model) {
  ProtobufReader reader(message);
  while (reader.next()) {
    if (reader.wire() != Wire::kVarint) continue;
    switch (reader.field()) {
      case 3:
        if (reader.number() < 1 || reader.number() > 4) return malformed("the algorithm");
        model.algorithm = static_cast<Algorithm>(reader.number());
        break;
      case 24:
        model.treat_whitespace_as_suffix = reader.boolean();
        break;
      case 35:
        model.byte_fallback = reader.boolean();
        break;
      case 40:
        model.unknown_id = reader.int32();
        break;
      case 41:
        model.bos_id = reader.int32();
        break;
      case 42:
        model.eos_id = reader.int32();
        break;
      case 43:
        model.padding_id = reader.int32();
        break;
      default:
        break;
    }
  }
  return reader.failed() ? malformed("the trainer's part") : Status{};
}

Status read_normalizer(std::string_view message, SentencePieceModel& model) {
  ProtobufReader reader(message);
  while (reader.next()) {
    if (reader.is(1, Wire::kBytes)) model.normalizer_name = reader.bytes();
    if (reader.is(2, Wire::kBytes)) model.precompiled_charsmap = reader.bytes();
    if (reader.is(3, Wire::kVarint)) model.add_dummy_prefix = reader.boolean();
    if (reader.is(4, Wire::kVarint)) model.remove_extra_whitespaces = reader.boolean();
    if (reader.is(5, Wire::kVarint)) model.escape_whitespaces = reader.boolean();
  }
  return reader.failed() ? malformed("the normaliser's part") : Status{};
}

// The file's ids are wishes: what counts is the piece's kind where they disagree.
void settle_special_ids(SentencePieceModel& model) {
  const auto size = static_cast<int32_t>(model.pieces.size());
  for (int32_t* id : {&model.unknown_id, &model.bos_id, &model.eos_id, &model.padding_id})
    if (*id < 0 || *id >= size) *id = -1;
  const auto type_of = [&](int32_t id) { return model.pieces[static_cast<size_t>(id)].type; };
  if (model.unknown_id < 0 || type_of(model.unknown_id) != PieceType::kUnknown)
    for (int32_t id = size - 1; id >= 0; --id)
      if (type_of(id) == PieceType::kUnknown) model.unknown_id = id;
  // Files without a trainer's part keep the defaults 1 and 2, which may be ordinary pieces.
  for (int32_t* id : {&model.bos_id, &model.eos_id, &model.padding_id})
    if (*id >= 0 && type_of(*id) != PieceType::kControl && type_of(*id) != PieceType::kUserDefined) *id = -1;
}

}  // namespace

Result<SentencePieceModel> SentencePieceModel::parse(std::span<const std::byte> bytes) {
  SentencePieceModel model;
  ProtobufReader reader({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  while (reader.next()) {
    if (reader.is(1, Wire::kBytes)) EXO_CHECK_OK(read_piece(reader.bytes(), model));
    if (reader.is(2, Wire::kBytes)) EXO_CHECK_OK(read_trainer(reader.bytes(), model));
    if (reader.is(3, Wire::kBytes)) EXO_CHECK_OK(read_normalizer(reader.bytes(), model));
  }
  if (reader.failed()) return fail(ErrorCode::kCorrupt, "tokenizer.model is cut short or no SentencePiece model");
  if (model.pieces.empty()) return fail(ErrorCode::kCorrupt, "tokenizer.model has no pieces");
  settle_special_ids(model);
  return model;
}

Result<GgufMetadata> gguf_tokenizer_metadata(const SentencePieceModel& model) {
  if (model.algorithm != Algorithm::kBpe && model.algorithm != Algorithm::kUnigram)
    return fail(ErrorCode::kUnsupported, "tokenizer.model splits into {}, which is not supported",
                model.algorithm == Algorithm::kWord ? "words" : "characters");
  std::vector<std::string> tokens;
  std::vector<double> scores;
  std::vector<int64_t> types;
  for (const auto& piece : model.pieces) {
    tokens.push_back(piece.text);
    scores.push_back(piece.score);
    types.push_back(static_cast<int64_t>(piece.type));
  }
  GgufMetadata metadata;
  auto& values = metadata.values;
  values["tokenizer.ggml.model"] = std::string(model.algorithm == Algorithm::kBpe ? "llama" : "t5");
  values["tokenizer.ggml.tokens"] = std::move(tokens);
  values["tokenizer.ggml.scores"] = std::move(scores);
  values["tokenizer.ggml.token_type"] = std::move(types);
  const auto put_id = [&](const char* key, int32_t id) { values[key] = static_cast<int64_t>(id); };
  put_id("tokenizer.ggml.unknown_token_id", model.unknown_id);
  put_id("tokenizer.ggml.bos_token_id", model.bos_id);
  put_id("tokenizer.ggml.eos_token_id", model.eos_id);
  put_id("tokenizer.ggml.padding_token_id", model.padding_id);
  values["tokenizer.ggml.add_space_prefix"] = model.add_dummy_prefix;
  values["tokenizer.ggml.remove_extra_whitespaces"] = model.remove_extra_whitespaces;
  if (!model.precompiled_charsmap.empty()) {
    std::vector<uint64_t> bytes;
    bytes.reserve(model.precompiled_charsmap.size());
    for (const char c : model.precompiled_charsmap) bytes.push_back(static_cast<uint8_t>(c));
    values["tokenizer.ggml.precompiled_charsmap"] = std::move(bytes);
  }
  return metadata;
}

}  // namespace exo::formats

#pragma once
// A question and a document as one text for a model that ranks.

#include <string_view>
#include <vector>

#include "chat/text_model.h"

namespace exo::chat {

// By the model's own template for this where it has one ({query} and {document} stand for the two), else as pairs
// of BERT ([CLS] query [SEP] document [SEP]) or RoBERTa (<s> query </s></s> document </s>) are written.
std::vector<TokenId> rerank_tokens(const TextModel& model, std::string_view query, std::string_view document);

}  // namespace exo::chat

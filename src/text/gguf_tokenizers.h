#pragma once
// The tokenizers that a GGUF file's `tokenizer.ggml.*` keys describe.
// Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

#include <memory>

#include "formats/gguf.h"
#include "text/tokenizer.h"

namespace exo::text {

// Byte-level BPE ("gpt2"): GPT-2, Llama 3, Qwen, DeepSeek, Command R, …, and its raw UTF-8 cousin ("gemma4").
Result<std::unique_ptr<Tokenizer>> load_bpe_tokenizer(const formats::GgufMetadata& metadata);
// WordPiece ("bert"): BERT, BGE, Nomic Embed, …
Result<std::unique_ptr<Tokenizer>> load_wordpiece_tokenizer(const formats::GgufMetadata& metadata);
// SentencePiece BPE ("llama"): Llama 1 and 2, Mistral, Gemma, Phi-3, TinyLlama, …
Result<std::unique_ptr<Tokenizer>> load_sentencepiece_tokenizer(const formats::GgufMetadata& metadata);
// SentencePiece unigram ("t5"): T5, XLM-RoBERTa, BGE-M3, …
Result<std::unique_ptr<Tokenizer>> load_unigram_tokenizer(const formats::GgufMetadata& metadata);

}  // namespace exo::text

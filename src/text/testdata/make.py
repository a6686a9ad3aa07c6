#!/usr/bin/env python3
"""Writes the tokenizers of this folder and what Hugging Face's tokenizers and SentencePiece make of some texts.

usage: make.py FOLDER    Needs the Python packages tokenizers (0.23) and sentencepiece (0.2).
Per tokenizer NAME.json or NAME.model, and NAME.golden: lines {"text", "ids", "decoded"}."""
import os
import tempfile
import io
import json
import sys

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = sys.argv[1]
CORPUS = ["The quick brown fox jumps over the lazy dog. Don't stop; it's 3.14 o'clock!", "hello world, hello there",
          "tokenization of unbelievable words, internationalization", "Größe, Straße und Übermut", "naïve café résumé",
          "Съешь ещё этих мягких булок", "你好,世界!今天天气真好。", "日本語のテスト カタカナ", "한국어 문장", "नमस्ते दुनिया",
          "def f(x):\n    return x + 1\n", "12345 67890 1,000,000", "Emoji: 🎉💯👍🏽"] * 3
TEXTS = CORPUS[:13] + [
    "", " ", "   ", " a", "a ", "  a  b  ", "\n\n x\r\n", "a\tb\u00a0c\u3000d", "▁a▁b", "don't CAN'T we'll", "1234567 ١٢٣ ½²Ⅷ",
    "e\u0301a\u0308o\u0323\u0302 q\u0307\u0323", "İstanbul ﬁﬂ ＡＢ ①㎏ ™", "👨\u200d👩\u200d👧 🏳️\u200d🌈🫠", "a\u0000b\u0007c\u200bd\ufeffe\u00ad\ufffdf",
    "<s>hello</s>", "x <tool> y<tool>z", "a  [MASK]  b", "<tool_call> {\"a\": 1}</tool_call>", "##ing <0x41> </w> Ġ",
    "unseen: ⵣ ꙮ 𒀀", "?!...,,;;--__", "supercalifragilisticexpialidocious" * 4]


def golden(name, encode, decode):
    with open(f"{FOLDER}/{name}.golden", "w") as out:
        for text in TEXTS:
            ids = encode(text)
            out.write(json.dumps({"text": text, "ids": ids, "decoded": decode(ids)}) + "\n")


def huggingface(name, tokenizer, trainer, post=None, edit=None):
    tokenizer.train_from_iterator(CORPUS, trainer)
    if edit:
        tokenizer = Tokenizer.from_str(json.dumps(edit(json.loads(tokenizer.to_str()))))
    if post:
        tokenizer.post_processor = post
    tokenizer.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("</s>", normalized=False),
                                  AddedToken("[MASK]", lstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("<tool>", single_word=True, normalized=False),
                          AddedToken("<tool_call>", rstrip=True, normalized=True)])
    tokenizer.save(f"{FOLDER}/{name}.json", pretty=False)
    golden(name, lambda text: tokenizer.encode(text).ids, lambda ids: tokenizer.decode(ids, skip_special_tokens=False))


def pieces(tokenizer, normalizer=None, pre_tokenizer=None, decoder=None):
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder:
        tokenizer.decoder = decoder
    return tokenizer


def with_bytes(tokenizer):
    vocab = tokenizer["model"]["vocab"]
    tokenizer["model"]["byte_fallback"] = True
    first = len(vocab)
    for byte in range(256):
        if isinstance(vocab, dict):
            vocab[f"<0x{byte:02X}>"] = first + byte
        else:
            vocab.append([f"<0x{byte:02X}>", -30.0])
    return tokenizer


def small_character_map():
    rules = "\n".join(f"{' '.join(f'{ord(c):X}' for c in source)}\t{' '.join(f'{ord(c):X}' for c in target)}"
                      for source, target in [("ﬁ", "fi"), ("Ａ", "A"), ("Ｂ", "B"), ("①", "1"), ("㎏", "kg"), ("\t", " "), ("\u3000", " "),
                                             ("e\u0301", "é"), ("\u200b", ""), ("日本", "JP")])
    path = os.path.join(tempfile.mkdtemp(), "rules.tsv")
    with open(path, "w") as file:
        file.write(rules + "\n")
    return path


def sentencepiece_model(name, kind, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, model_type=kind, vocab_size=420,
                                             hard_vocab_limit=False, character_coverage=0.98, minloglevel=2, **options)
    open(f"{FOLDER}/{name}.model", "wb").write(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    golden(name, processor.encode, processor.decode)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto


WORDS = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BPE = dict(vocab_size=360, show_progress=False)
huggingface("byte_level", pieces(Tokenizer(models.BPE(ignore_merges=True)), normalizers.NFC(),
                                 pre_tokenizers.Sequence([pre_tokenizers.Split(WORDS, "isolated"),
                                                          pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
                                 decoders.ByteLevel()),
            trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **BPE))
huggingface("byte_fallback", pieces(Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True)),
                                    normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None,
                                    decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                                       decoders.Strip(" ", 1, 0)])),
            trainers.BpeTrainer(vocab_size=200, show_progress=False, special_tokens=["<unk>"], limit_alphabet=60), edit=with_bytes)
huggingface("word_suffix", pieces(Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>")),
                                  normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), pre_tokenizers.BertPreTokenizer(),
                                  decoders.BPEDecoder()),
            trainers.BpeTrainer(special_tokens=["<unk>"], end_of_word_suffix="</w>", **BPE))
huggingface("wordpiece", pieces(Tokenizer(models.WordPiece(unk_token="[UNK]")), normalizers.BertNormalizer(),
                                pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()),
            trainers.WordPieceTrainer(special_tokens=["[UNK]", "[CLS]", "[SEP]"], limit_alphabet=110, **BPE),
            post=processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]))
huggingface("wordlevel", pieces(Tokenizer(models.WordLevel(unk_token="<unk>")),
                                normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Strip()]),
                                pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])),
            trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False))
huggingface("metaspace", pieces(Tokenizer(models.Unigram()), normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]),
                                pre_tokenizers.Metaspace("▁", "first"), decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", "first")])),
            trainers.UnigramTrainer(vocab_size=200, show_progress=False, special_tokens=["<unk>"], unk_token="<unk>"), edit=with_bytes)
sentencepiece_model("sentencepiece_bpe", "bpe", normalization_rule_name="identity", remove_extra_whitespaces=False, byte_fallback=True)
proto = sentencepiece_model("sentencepiece_unigram", "unigram", normalization_rule_tsv=small_character_map())
mapped = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in proto.pieces], 0, False))
pieces(mapped, normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")]),
       pre_tokenizers.Metaspace("▁", "always"), decoders.Metaspace("▁", "always"))
mapped.save(f"{FOLDER}/character_map.json", pretty=False)
golden("character_map", lambda text: mapped.encode(text).ids, lambda ids: mapped.decode(ids, skip_special_tokens=False))

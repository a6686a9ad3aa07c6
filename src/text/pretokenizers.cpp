#include "text/pretokenizers.h"

#include <algorithm>

namespace exo::text {

constexpr std::string_view kByteLevelSplit =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kGpt2Expression = kByteLevelSplit;

namespace {

// Steps that are code, because as expressions they take quadratic time on long runs of digits.
constexpr std::string_view kDigitsInThrees = "(digits in threes from the right)";
constexpr std::string_view kDigitsInThreesAtBoundary = "(digits in threes from the right, at a word boundary)";

constexpr std::string_view kLlama3Names[] = {"llama3",  "llama-v3", "llama-bpe", "falcon3",     "falcon-h1",
                                             "pixtral", "midm-2.0", "lfm2",      "jina-v5-nano"};
constexpr std::string_view kLlama3[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kDbrxNames[] = {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"};
constexpr std::string_view kDbrx[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kJais2Names[] = {"jais-2"};
constexpr std::string_view kJais2[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S))"
    R"(|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"};

constexpr std::string_view kQwen2Names[] = {"qwen2", "deepseek-r1-qwen"};
constexpr std::string_view kStablelm2Names[] = {"kormo",   "f2llmv2",    "megrez", "stablelm2",
                                                "hunyuan", "solar-open", "grok-2"};
constexpr std::string_view kQwen2[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kQwen35Names[] = {"qwen35"};
constexpr std::string_view kQwen35[] = {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
                                        R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kMinicpm5Names[] = {"minicpm5"};
constexpr std::string_view kMinicpm5[] = {
    R"(\p{N}{1,3})", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*)"
                     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kUfakzekaNames[] = {"ufakzeka"};
constexpr std::string_view kUfakzeka[] = {
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kLagunaNames[] = {"laguna"};
constexpr std::string_view kLaguna[] = {
    R"([^\n]+|[\n]+)", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
                       R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kGpt2Names[] = {
    "gpt-2",   "phi-2",  "jina-es",     "jina-de",         "gigachat",     "jina-v2-es",  "jina-v2-de",
    "a.x-4.0", "mellum", "modern-bert", "jina-v1-en",      "jina-v2-code", "roberta-bpe", "mpt",
    "olmo",    "jais",   "trillion",    "granite-docling", "exaone4"};
constexpr std::string_view kGpt2[] = {kByteLevelSplit};

constexpr std::string_view kCommandRNames[] = {"command-r"};
constexpr std::string_view kStarcoderNames[] = {"starcoder", "refact",     "smollm", "codeshell",
                                                "exaone",    "minerva-7b", "mellum2"};
constexpr std::string_view kStarcoder[] = {R"(\p{N})", kByteLevelSplit};

constexpr std::string_view kDeepseekV3Names[] = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"};
constexpr std::string_view kDeepseekV3[] = {
    R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kSpark25Names[] = {"spark2_5"};
constexpr std::string_view kSpark25[] = {
    R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)",
    R"(\p{N})"};

constexpr std::string_view kDeepseekLlmNames[] = {"deepseek-llm"};
constexpr std::string_view kDeepseekLlm[] = {
    R"([\r\n])",
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-)"
    R"(\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C})"
    R"(\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5})"
    R"(\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-)"
    R"(\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D})"
    R"(\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC})"
    R"(\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC})"
    R"(\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D})"
    R"(\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-)"
    R"(\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2})"
    R"(\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E})"
    R"(\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-)"
    R"(\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)",
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)",
    R"(\s+$)",
    R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)",
    R"(\p{N}+)"};

constexpr std::string_view kDeepseekCoderNames[] = {"deepseek-coder"};
constexpr std::string_view kDeepseekCoder[] = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
                                               R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)",
                                               R"(\p{N})"};

constexpr std::string_view kYoutuNames[] = {"youtu"};
constexpr std::string_view kYoutu[] = {
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019})"
    R"(\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+)"
    R"(|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve)"
    R"(|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s)"
    R"(|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kFalconNames[] = {"falcon"};
constexpr std::string_view kFalcon[] = {R"([\p{P}\$\+<=>\^~\|`]+)", kByteLevelSplit, R"([0-9][0-9][0-9])"};

constexpr std::string_view kDefaultNames[] = {"default"};
constexpr std::string_view kDefault[] = {R"([\p{P}\$\+<=>\^~\|]+)", kByteLevelSplit, R"(\p{N}+)",
                                         R"([0-9][0-9][0-9])"};

constexpr std::string_view kPoroChatNames[] = {"poro-chat", "bloom", "gpt3-finnish"};
constexpr std::string_view kPoroChat[] = {
    R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)"};

constexpr std::string_view kVikingNames[] = {"viking"};
constexpr std::string_view kViking[] = {R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)",
                                        R"(\p{N})"};

constexpr std::string_view kTekkenNames[] = {"tekken"};
constexpr std::string_view kTekken[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kGpt4oNames[] = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"};
constexpr std::string_view kGpt4o[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve)"
    R"(|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s)"
    R"(|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kGraniteEmbedMulti97mNames[] = {"granite-embed-multi-97m"};
constexpr std::string_view kGraniteEmbedMulti97m[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve)"
    R"(|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s)"
    R"(|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kTinyAyaNames[] = {"tiny_aya", "cohere2moe"};
constexpr std::string_view kTinyAya[] = {
    kDigitsInThreesAtBoundary,
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve)"
    R"(|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s)"
    R"(|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kChameleonNames[] = {"chameleon"};
constexpr std::string_view kChameleon[] = {R"(<sentinel:[0-9]+>)",    R"((IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z)",
                                           R"(([\t\n]|    |  ))",     R"(\p{N})",
                                           R"([\p{P}!-/:-@\[-`{-~])", kByteLevelSplit};

constexpr std::string_view kKimiK2Names[] = {"kimi-k2"};
constexpr std::string_view kKimiK2[] = {
    R"(\p{Han}+|[^\r\n\p{L}\p{N}]?[^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{Han}]*[^\p{Lu}\p{Lt}\p{N}\p{P}\p{)"
    R"(S}\p{Z}\p{C}\p{Han}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{Han}]+[^\p{Lu}\p{Lt}\p{N}\p{P}\p{S}\p{Z}\)"
    R"(p{C}\p{Han}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)"};

constexpr std::string_view kSuperbpeNames[] = {"superbpe"};
constexpr std::string_view kSuperbpe[] = {R"(\p{N}+)", kDigitsInThrees};

constexpr std::string_view kBailingmoeNames[] = {"bailingmoe", "bailingmoe2", "llada-moe"};
constexpr std::string_view kBailingmoe[] = {
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n])"
    R"(|\s+(?!\S)|\s+)"};

constexpr std::string_view kSeedCoderNames[] = {"seed-coder"};
constexpr std::string_view kSeedCoder[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kAfmoeNames[] = {"afmoe"};
constexpr std::string_view kAfmoe[] = {
    kDigitsInThrees,
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF})"
    R"(\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF}\x{1000}-)"
    R"(\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kExaoneMoeNames[] = {"exaone-moe"};
constexpr std::string_view kExaoneMoe[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"};

constexpr std::string_view kGemma4Names[] = {"gemma4", "granite-embed-multi-311m", "sarvam-moe"};
constexpr std::string_view kGemma4[] = {R"([^\n]+|[\n]+)"};

constexpr NamedPreTokenizer kTable[] = {
    {.names = kLlama3Names, .expressions = kLlama3, .ignore_merges = true, .add_bos = true},
    {.names = kDbrxNames, .expressions = kDbrx},
    {.names = kJais2Names, .expressions = kJais2},
    {.names = kQwen2Names, .expressions = kQwen2, .nfc = true},
    {.names = kStablelm2Names, .expressions = kQwen2},
    {.names = kQwen35Names, .expressions = kQwen35},
    {.names = kMinicpm5Names, .expressions = kMinicpm5, .ignore_merges = true},
    {.names = kUfakzekaNames, .expressions = kUfakzeka},
    {.names = kLagunaNames, .expressions = kLaguna},
    {.names = kGpt2Names, .expressions = kGpt2},
    {.names = kStarcoderNames, .expressions = kStarcoder},
    {.names = kCommandRNames, .expressions = kStarcoder, .nfc = true},
    {.names = kDeepseekV3Names, .expressions = kDeepseekV3},
    {.names = kSpark25Names, .expressions = kSpark25},
    {.names = kDeepseekLlmNames, .expressions = kDeepseekLlm},
    {.names = kDeepseekCoderNames, .expressions = kDeepseekCoder},
    {.names = kYoutuNames, .expressions = kYoutu, .ignore_merges = true},
    {.names = kFalconNames, .expressions = kFalcon},
    {.names = kDefaultNames, .expressions = kDefault},
    {.names = kPoroChatNames, .expressions = kPoroChat},
    {.names = kVikingNames, .expressions = kViking},
    {.names = kTekkenNames, .expressions = kTekken, .ignore_merges = true, .add_bos = true},
    {.names = kGpt4oNames, .expressions = kGpt4o},
    {.names = kGraniteEmbedMulti97mNames, .expressions = kGraniteEmbedMulti97m, .ignore_merges = true},
    {.names = kTinyAyaNames, .expressions = kTinyAya},
    {.names = kChameleonNames, .expressions = kChameleon, .add_bos = true},
    {.names = kKimiK2Names, .expressions = kKimiK2},
    {.names = kSuperbpeNames, .expressions = kSuperbpe},
    {.names = kBailingmoeNames, .expressions = kBailingmoe},
    {.names = kSeedCoderNames, .expressions = kSeedCoder},
    {.names = kAfmoeNames, .expressions = kAfmoe},
    {.names = kExaoneMoeNames, .expressions = kExaoneMoe},
    {.names = kGemma4Names, .expressions = kGemma4, .raw_utf8 = true},
};

}  // namespace

const NamedPreTokenizer* find_pretokenizer(std::string_view name) {
  if (name.empty()) name = "default";
  for (const NamedPreTokenizer& named : kTable)
    for (const std::string_view candidate : named.names)
      if (candidate == name) return &named;
  return nullptr;
}

std::vector<std::string_view> names_of_pretokenizers(std::span<const std::string> expressions) {
  // Where several names mean the same, those that are the oldest.
  constexpr std::string_view kOldest[] = {"llama-bpe", "stablelm2", "deepseek-v3", "bailingmoe"};
  std::vector<std::string_view> names;
  for (const NamedPreTokenizer& named : kTable) {
    if (named.raw_utf8 || !std::ranges::equal(named.expressions, expressions)) continue;
    const auto oldest = std::ranges::find_first_of(named.names, kOldest);
    names.push_back(oldest != named.names.end() ? *oldest : named.names.front());
  }
  return names;
}

Result<PreTokenizer> compile_pretokenizer(const NamedPreTokenizer& named) {
  std::vector<SplitStep> steps;
  for (const std::string_view expression : named.expressions) {
    SplitStep step;
    if (expression == kDigitsInThrees)
      step.kind = SplitStep::Kind::kDigitsInThrees;
    else if (expression == kDigitsInThreesAtBoundary)
      step.kind = SplitStep::Kind::kDigitsInThreesAtBoundary;
    else
      step.pattern = expression;
    steps.push_back(std::move(step));
  }
  return PreTokenizer::compile(steps);
}

}  // namespace exo::text

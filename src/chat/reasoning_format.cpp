#include "chat/reasoning_format.h"

#include <algorithm>
#include <array>

namespace exo::chat {
namespace {

struct Family {
  std::string_view mentions, and_mentions;  // in the template; the second may be empty
  ReasoningTags tags;
};

// The first that fits counts: the particular before the common.
const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      // Command R 7B and Command A
      {"<|START_THINKING|>",
       "",
       {"<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"}},
      // Magistral
      {"[THINK]", "", {"[THINK]", "[/THINK]"}},
      // Seed-OSS
      {"seed:think", "", {"<seed:think>", "</seed:think>"}},
      // Kimi
      {"◁think▷", "", {"◁think▷", "◁/think▷"}},
      // EXAONE Deep
      {"<thought>", "</thought>", {"<thought>", "</thought>"}},
      // Apertus
      {"<|inner_prefix|>", "", {"<|inner_prefix|>", "<|inner_suffix|>"}},
      // Gemma 4
      {"<|channel>", "<channel|>", {"<|channel>thought", "<channel|>"}},
      // Apriel
      {"[BEGIN FINAL RESPONSE]",
       "",
       {"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", "", "[END FINAL RESPONSE]"}},
      // Granite 3.2
      {"Here is my thought process:", "", {"Here is my thought process:", "Here is my response:"}},
      // Granite 3.3
      {"<think>", "<response>", {"<think>", "</think>", "<response>", "</response>"}},
      // Hunyuan
      {"<think>", "<answer>", {"<think>", "</think>", "<answer>", "</answer>"}},
  };
  return kFamilies;
}

constexpr std::array<std::string_view, 7> kHarmonyMarks = {"<|start|>", "<|channel|>",   "<|message|>", "<|end|>",
                                                           "<|call|>",  "<|constrain|>", "<|return|>"};

}  // namespace

ReasoningFormat detect_reasoning(std::string_view source) {
  const auto mentions = [&](std::string_view text) { return source.find(text) != source.npos; };
  if (mentions("<|channel|>") && mentions("<|message|>") && mentions("analysis")) return {.harmony = true};
  for (const Family& family : families())
    if (mentions(family.mentions) && mentions(family.and_mentions)) return {.tags = family.tags};
  return {};
}

std::vector<TokenId> reasoning_tokens(const ReasoningFormat& format, const text::Tokenizer& tokenizer) {
  std::vector<TokenId> tokens;
  const auto add = [&](std::string_view mark) {
    for (const TokenId token : tokenizer.encode(mark, {.add_special = false, .parse_special = true}))
      if (tokenizer.is_control(token) && std::find(tokens.begin(), tokens.end(), token) == tokens.end())
        tokens.push_back(token);
  };
  if (format.harmony) {
    for (const std::string_view mark : kHarmonyMarks) add(mark);
    return tokens;
  }
  for (const std::string& mark :
       {format.tags.open, format.tags.close, format.tags.content_open, format.tags.content_close})
    add(mark);
  return tokens;
}

ReasoningSplitter::ReasoningSplitter(const ReasoningFormat& format, std::string_view prompt)
    : parser_(
          format.harmony
              ? std::variant<ReasoningParser, HarmonyParser>(std::in_place_type<HarmonyParser>, prompt)
              : std::variant<ReasoningParser, HarmonyParser>(std::in_place_type<ReasoningParser>, format.tags,
                                                             ReasoningParser::prompt_opens(prompt, format.tags))) {}

bool ReasoningSplitter::expects_marks() const {
  const auto* tags = std::get_if<ReasoningParser>(&parser_);
  return !tags || !tags->in_content();
}

const std::vector<HarmonyCall>& ReasoningSplitter::calls() const {
  static const std::vector<HarmonyCall> kNone;
  const auto* harmony = std::get_if<HarmonyParser>(&parser_);
  return harmony ? harmony->calls() : kNone;
}

}  // namespace exo::chat

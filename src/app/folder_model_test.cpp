// Model folders give the logits that Hugging Face transformers computed from the same numbers (tools/golden).

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "convert/gguf_view.h"
#include "model/reference_run.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::app {
namespace {

const std::filesystem::path kFolders = std::filesystem::path(EXO_SOURCE_DIR) / "src/convert/testdata";

struct GoldenLogits {
  std::vector<TokenId> tokens;
  std::vector<float> logits;
};

GoldenLogits read_golden(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  int32_t n_tokens = 0, n_vocab = 0;
  in.read(reinterpret_cast<char*>(&n_tokens), 4).read(reinterpret_cast<char*>(&n_vocab), 4);
  if (!in || n_tokens < 1 || n_vocab < 1) return {};
  GoldenLogits golden;
  golden.tokens.resize(static_cast<size_t>(n_tokens));
  golden.logits.resize(golden.tokens.size() * static_cast<size_t>(n_vocab));
  in.read(reinterpret_cast<char*>(golden.tokens.data()), static_cast<std::streamsize>(golden.tokens.size() * 4));
  in.read(reinterpret_cast<char*>(golden.logits.data()), static_cast<std::streamsize>(golden.logits.size() * 4));
  return in ? golden : GoldenLogits();
}

class FolderModel : public testing::TestWithParam<std::string> {};

TEST_P(FolderModel, EqualsTransformers) {
  const auto folder = kFolders / GetParam();
  const auto golden = read_golden(folder / "logits.golden");
  ASSERT_FALSE(golden.tokens.empty());
  auto opened = convert::open_folder(folder);
  ASSERT_TRUE(opened) << opened.error().message;
  const auto file = std::make_shared<const formats::GgufFile>(std::move(*opened));
  const auto device = ops::make_cpu_ops({.threads = 1});
  for (const int32_t stages : {1, 2}) {
    const auto run = model::run_logits(file, golden.tokens, {.n_stages = stages}, *device);
    ASSERT_TRUE(run) << run.error().message;
    ASSERT_EQ(run->logits.size(), golden.logits.size());
    for (size_t i = 0; i < run->logits.size(); ++i) ASSERT_NEAR(run->logits[i], golden.logits[i], 3e-4) << i;
  }
}

// Every folder with logits beside it.
std::vector<std::string> folders() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolders)) {
    if (std::filesystem::exists(entry.path() / "logits.golden")) names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace_if(
      name, [](char c) { return c == '.' || c == '-'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Families, FolderModel, testing::ValuesIn(folders()), test_name);

}  // namespace
}  // namespace exo::app

// Every scheme of quantised folders against values that testdata/make_quantised.py computed.
#include "convert/quantised/quantised_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>

#include "convert/weight_lookup.h"
#include "kernels/dequantize.h"

namespace exo::convert {
namespace {

namespace fs = std::filesystem;
using enum ElementType;

const fs::path kFolders = fs::path(EXO_SOURCE_DIR) / "src/convert/testdata/quantised";

struct Case {
  const char* folder;
  const char* module;
  ElementType type;
  double error = 0.0;  // largest, over the largest scale's step or, for floats, relative
};

constexpr double kHalf = 0x1p-11;
const Case kCases[] = {
    {"mlx", "bf16_2", kA4_BF16},
    {"mlx", "bf16_3", kA4_BF16},
    {"mlx", "bf16_4", kA4_BF16},
    {"mlx", "bf16_5", kA5_BF16},
    {"mlx", "bf16_6", kA8_BF16, 1e-7},  // one rounding elsewhere
    {"mlx", "bf16_8", kA8_BF16, 1e-7},
    {"mlx", "f16_4", kQ4_1},
    {"mlx", "f16_5", kQ5_1},
    {"mlx", "f16_8", kA8_F16, 1e-7},
    {"mlx", "experts", kA4_BF16},
    {"mlx", "mxfp4", kMXFP4},
    {"mlx", "nvfp4", kNVFP4},
    {"gptq_sym", "linear", kQ4_0},
    {"gptq_sym", "bf16", kA4_BF16},
    {"gptq_sym", "act_order", kF16, kHalf},
    {"gptq_sym_v2", "linear", kQ4_0},
    {"gptq_asym", "linear", kQ4_1, 1.3e-4},
    {"gptq_asym", "without_index", kQ4_1, 1.3e-4},
    {"gptq_asym", "act_order", kF16, kHalf},
    {"gptq_v2", "linear", kQ4_1, 1.3e-4},
    {"gptq_8", "linear", kQ8_0},
    {"gptq_8", "bf16", kA8_BF16},
    {"gptq_8_asym", "linear", kA8_F16, 1e-3},
    {"gptq_2", "linear", kQ4_1, 2e-5},
    {"awq", "linear", kQ4_1, 1.3e-4},
    {"fp8", "block", kF16, kHalf},
    {"fp8", "block_of_powers", kBF16},
    {"fp8", "tensor", kF16, kHalf},
    {"fp8", "tensor_bf16", kF16, kHalf},
    {"fp8", "channel", kF16, kHalf},
    {"fp8", "experts", kF16, kHalf},
    {"fp8", "bare", kBF16},
    {"fp8", "huge", kBF16, 0x1p-8},
    {"fp8", "e5m2", kBF16},
    {"mxfp4", "experts.gate_up_proj", kMXFP4},
    {"compressed", "sym4", kA4_BF16},
    {"compressed", "asym4", kQ4_1, 1.3e-4},
    {"compressed", "sym8", kQ8_0},
    {"compressed", "int8", kA8_BF16},
};

// All rows, read `at_once` of them at a time.
Result<std::vector<float>> numbers(const MatrixSource& matrix, int64_t at_once) {
  const size_t row = *row_bytes(matrix.type(), static_cast<uint64_t>(matrix.cols()));
  std::vector<std::byte> bytes;
  std::vector<float> out(static_cast<size_t>(matrix.rows() * matrix.cols()));
  for (int64_t first = 0; first < matrix.rows(); first += at_once) {
    const int64_t count = std::min(at_once, matrix.rows() - first);
    bytes.assign(row * static_cast<size_t>(count), std::byte{0xee});
    EXO_CHECK_OK(matrix.read(first, count, bytes));
    for (int64_t r = 0; r < count; ++r) {
      kernels::dequantize_row(matrix.type(), bytes.data() + static_cast<size_t>(r) * row,
                              out.data() + (first + r) * matrix.cols(), matrix.cols());
    }
  }
  return out;
}

TEST(QuantisedWeights, AreWhatTheFolderStores) {
  for (const auto& c : kCases) {
    SCOPED_TRACE(std::string(c.folder) + ": " + c.module);
    const auto folder = ModelFolder::open(kFolders / c.folder);
    ASSERT_TRUE(folder) << folder.error().message;
    const auto* expected = (*folder)->find(std::string(c.module) + ".expected");
    ASSERT_NE(expected, nullptr);
    const auto matrix = find_weight(**folder, c.module);
    ASSERT_TRUE(matrix) << matrix.error().message;
    EXPECT_EQ(info((*matrix)->type()).name, info(c.type).name);
    ASSERT_EQ((*matrix)->rows(), expected->shape[0]);
    ASSERT_EQ((*matrix)->cols(), expected->shape[1]);
    const bool plain = c.type == kF16 || c.type == kBF16;
    for (int64_t at_once : {1, 3, 100}) {
      const auto got = numbers(**matrix, at_once);
      ASSERT_TRUE(got) << got.error().message;
      for (size_t i = 0; i < got->size(); ++i) {
        float value;
        std::memcpy(&value, expected->data.data() + 4 * i, 4);
        const double allowed = plain ? c.error * std::abs(value) + (c.error > 0 ? 0x1p-25 : 0) : c.error;
        ASSERT_NEAR((*got)[i], value, allowed) << "element " << i;
      }
    }
  }
}

TEST(QuantisedWeights, WhatIsStoredPlainlyIsFoundAsItIs) {
  for (const char* name : {"mlx", "fp8"}) {
    const auto folder = ModelFolder::open(kFolders / name);
    ASSERT_TRUE(folder);
    EXPECT_EQ(find_quantised_weight(**folder, "plain").error().code, ErrorCode::kNotFound);
    const auto plain = find_weight(**folder, "plain");
    ASSERT_TRUE(plain);
    EXPECT_EQ((*plain)->type(), kF16);
    EXPECT_EQ(find_weight(**folder, "nothing").error().code, ErrorCode::kNotFound);
  }
}

TEST(QuantisedWeights, NaNIsRefusedByName) {
  const auto folder = ModelFolder::open(kFolders / "fp8");
  ASSERT_TRUE(folder);
  const auto matrix = find_weight(**folder, "nan");
  ASSERT_TRUE(matrix);
  EXPECT_TRUE(numbers(**matrix, 1).error().code == ErrorCode::kCorrupt);
  EXPECT_THAT(numbers(**matrix, 2).error().message, testing::HasSubstr("nan.weight"));
}

struct Tensor {
  std::string type;
  std::vector<int64_t> shape;
  std::vector<std::byte> data;
};
using Tensors = std::map<std::string, Tensor>;

class MutatedFolder : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(path_); }
  void TearDown() override { fs::remove_all(path_); }

  void write(const std::string& config, const Tensors& tensors) const {
    std::ofstream(path_ / "config.json") << config;
    boost::json::object header;
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      boost::json::array shape(tensor.shape.begin(), tensor.shape.end());
      header[name] = {{"dtype", tensor.type},
                      {"shape", std::move(shape)},
                      {"data_offsets", {data.size(), data.size() + tensor.data.size()}}};
      data.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
    }
    const std::string text = boost::json::serialize(header);
    const uint64_t size = text.size();
    std::ofstream file(path_ / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), 8) << text << data;
  }

  static Tensors tensors_of(const ModelFolder& folder) {
    Tensors tensors;
    for (const auto& [name, tensor] : folder.tensors()) {
      tensors[std::string(name)] = {
          std::string(to_string(tensor->type)), tensor->shape, {tensor->data.begin(), tensor->data.end()}};
    }
    return tensors;
  }

  Status read_all(const std::string& module) const {
    EXO_TRY(const auto folder, ModelFolder::open(path_));
    EXO_TRY(const auto matrix, find_weight(*folder, module));
    EXO_TRY(const auto got, numbers(*matrix, 5));
    return {};
  }

  const fs::path path_ = fs::temp_directory_path() / ("exo_mutated_folder_" + std::to_string(::getpid()));
};

// One thing that fits the file but perhaps not the scheme.
void mutate(Tensors& tensors, std::string& config, std::mt19937& random) {
  auto it = std::next(tensors.begin(), static_cast<ptrdiff_t>(random() % tensors.size()));
  auto& tensor = it->second;
  auto& shape = tensor.shape;
  switch (random() % 6) {
    case 0:
      tensors.erase(it);
      break;
    case 1:
      std::ranges::shuffle(shape, random);
      break;
    case 2:  // other dimensions of the same product
      if (!shape.empty() && shape.back() % 2 == 0) {
        shape.back() /= 2;
        random() % 2 ? shape.front() *= 2 : *shape.insert(shape.begin(), 2);
      }
      break;
    case 3:
      if (tensor.type == "F16" || tensor.type == "BF16") tensor.type = tensor.type == "F16" ? "BF16" : "I16";
      if (tensor.type == "F32" || tensor.type == "I32") tensor.type = tensor.type == "F32" ? "I32" : "U32";
      if (tensor.type == "U8") tensor.type = "F8_E4M3";
      break;
    case 4:
      for (auto& byte : tensor.data) {
        if (random() % 8 == 0) byte = static_cast<std::byte>(random());
      }
      break;
    default:
      for (char& c : config) {
        if (c >= '0' && c <= '9' && random() % 4 == 0) c = static_cast<char>('0' + random() % 10);
      }
  }
}

TEST_F(MutatedFolder, GivesErrorsAtWorst) {
  std::mt19937 random(1);
  int read = 0, refused = 0;
  for (const auto& c : kCases) {
    const auto folder = ModelFolder::open(kFolders / c.folder);
    ASSERT_TRUE(folder);
    const Tensors original = tensors_of(**folder);
    for (int i = 0; i < 10; ++i) {
      Tensors tensors;
      for (const auto& [name, tensor] : original) {
        const bool own = name.starts_with(c.module) && !name.ends_with(".expected");
        if (own) tensors[name] = tensor;
      }
      std::string config = boost::json::serialize((*folder)->config());
      const int changes = 1 + static_cast<int>(random() % 2);
      for (int change = 0; change < changes && !tensors.empty(); ++change) mutate(tensors, config, random);
      write(config, tensors);
      read_all(c.module) ? ++read : ++refused;
    }
  }
  EXPECT_GT(read, 30);
  EXPECT_GT(refused, 100);
}

TEST_F(MutatedFolder, AnUnknownSchemeIsNamedWithThoseThatAreKnown) {
  write(R"({"quantization_config": {"quant_method": "bitsandbytes"}})",
        {{"x.weight", {"U8", {32}, std::vector<std::byte>(32)}}});
  EXPECT_THAT(read_all("x").error().message,
              testing::AllOf(testing::HasSubstr("bitsandbytes"), testing::HasSubstr("gptq")));
}

}  // namespace
}  // namespace exo::convert

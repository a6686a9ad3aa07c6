#include "convert/quantised_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <random>

#include "formats/gguf_writer.h"
#include "kernels/dequantize.h"
#include "kernels/quantize.h"

namespace exo::convert {
namespace {

using enum ElementType;
using formats::GgufFile;

struct Model {
  std::vector<std::byte> bytes;
  GgufFile open() const { return *GgufFile::parse(bytes); }
};

Model make_model(float odd_one = 0.5f) {
  formats::GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("general.file_type", uint32_t{1});
  writer.set("llama.block_count", uint32_t{1});
  writer.set("llama.rope.freq_base", 10000.0f);
  const std::vector<std::string> tokens = {"a", "b"};
  writer.set("tokenizer.ggml.tokens", std::span(tokens));
  writer.set("split.count", uint16_t{1});
  writer.add_tensor("token_embd.weight", kF16, {256, 21});
  writer.add_tensor("output.weight", kBF16, {256, 21});
  writer.add_tensor("blk.0.attn_q.weight", kF32, {256, 33});
  writer.add_tensor("blk.0.attn_k.weight", kBF16, {96, 5});
  writer.add_tensor("blk.0.attn_v.weight", kBF16, {40, 5});
  writer.add_tensor("blk.0.attn_norm.weight", kF32, {256});
  writer.add_tensor("blk.0.attn_q_norm.weight", kF32, {64, 4});
  writer.add_tensor("blk.0.ffn_gate_inp.weight", kF32, {256, 4});
  writer.add_tensor("blk.0.ffn_up_exps.weight", kF16, {256, 3, 4});
  writer.add_tensor("blk.0.ffn_down.weight", kQ8_0, {256, 4});
  writer.add_tensor("blk.0.ffn_up.bias", kF32, {256, 4});
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  auto bytes = writer.encode([&](const auto& tensor, uint64_t, std::span<std::byte> piece) {
    const auto& type = info(tensor.type);
    std::vector<float> x(piece.size() / static_cast<size_t>(type.block_bytes) *
                         static_cast<size_t>(type.block_elements));
    for (auto& v : x) v = normal(random);
    if (tensor.name == "blk.0.attn_q.weight") x[300] = odd_one;
    kernels::quantize_row(tensor.type, x.data(), piece.data(), static_cast<int64_t>(x.size()));
    return Status();
  });
  return {std::move(*bytes)};
}

std::vector<std::byte> bytes_of(const formats::TensorView& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  EXPECT_TRUE(tensor.read(0, bytes));
  return bytes;
}

TEST(QuantisedView, ChangesMatricesAndNothingElse) {
  const Model model = make_model();
  const auto original = model.open();
  EXPECT_TRUE(is_quantisable(original, kQ4_K));
  const auto view = quantised_view(model.open(), kQ4_K);
  ASSERT_TRUE(view) << view.error().message;
  const std::pair<const char*, ElementType> expected[] = {
      {"token_embd.weight", kQ4_K},        {"output.weight", kQ6_K},
      {"blk.0.attn_q.weight", kQ4_K},      {"blk.0.attn_k.weight", kQ5_0},  // rows of 96
      {"blk.0.attn_v.weight", kBF16},      {"blk.0.attn_norm.weight", kF32},
      {"blk.0.attn_q_norm.weight", kF32},  {"blk.0.ffn_gate_inp.weight", kF32},
      {"blk.0.ffn_up_exps.weight", kQ4_K}, {"blk.0.ffn_down.weight", kQ8_0},
      {"blk.0.ffn_up.bias", kF32}};
  for (const auto& [name, type] : expected) {
    const auto *was = original.find_tensor(name), *is = view->find_tensor(name);
    ASSERT_NE(is, nullptr) << name;
    EXPECT_EQ(info(is->type).name, info(type).name) << name;
    EXPECT_EQ(is->shape, was->shape);
    if (is->type == was->type) {
      EXPECT_EQ(bytes_of(*is), bytes_of(*was));
    } else {
      std::vector<float> a(static_cast<size_t>(is->elements())), b(a.size());
      kernels::dequantize_row(was->type, bytes_of(*was).data(), a.data(), was->elements());
      kernels::dequantize_row(is->type, bytes_of(*is).data(), b.data(), is->elements());
      double error = 0.0;
      for (size_t i = 0; i < a.size(); ++i) error += (a[i] - b[i]) * (a[i] - b[i]);
      EXPECT_LT(std::sqrt(error / static_cast<double>(a.size())), 0.1) << name;
    }
  }
  EXPECT_EQ(*view->metadata().integer("general.file_type"), 14);
  EXPECT_EQ(*view->metadata().number("llama.rope.freq_base"), 10000.0);
  EXPECT_EQ(view->metadata().find("split.count"), nullptr);
}

TEST(QuantisedView, AnyBytesAreThoseOfTheFile) {
  const Model model = make_model();
  const auto view = quantised_view(model.open(), kQ6_K);
  ASSERT_TRUE(view);
  std::vector<std::byte> whole(view->file_bytes());
  ASSERT_TRUE(view->read(0, whole));
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    const uint64_t offset = random() % whole.size();
    std::vector<std::byte> piece(std::min<uint64_t>(random() % 3000, whole.size() - offset));
    ASSERT_TRUE(view->read(offset, piece));
    ASSERT_EQ(std::memcmp(piece.data(), whole.data() + offset, piece.size()), 0) << offset;
  }
  EXPECT_FALSE(view->read(whole.size(), std::span(whole).first(1)));

  const auto path = std::filesystem::temp_directory_path() / fmt::format("exo_quantised_view_{}.gguf", ::getpid());
  uint64_t last = 0, all = 0;
  const auto written = write_gguf(*view, path, [&](uint64_t done, uint64_t total) { last = done, all = total; });
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(last, all);
  const auto file = GgufFile::open(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors().size(), view->tensors().size());
  for (const auto& tensor : file->tensors()) {
    EXPECT_EQ(tensor.type, view->find_tensor(tensor.name)->type);
    EXPECT_EQ(bytes_of(tensor), bytes_of(*view->find_tensor(tensor.name))) << tensor.name;
  }
  EXPECT_EQ(file->metadata().values, view->metadata().values);
}

TEST(QuantisedView, AViewOfAViewAndWhatCannotBe) {
  const Model model = make_model();
  auto view = quantised_view(model.open(), kQ8_0);
  ASSERT_TRUE(view);
  EXPECT_FALSE(is_quantisable(*view, kQ4_0));
  const auto again = quantised_view(std::move(*view), kQ4_0);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->find_tensor("blk.0.attn_q.weight")->type, kQ8_0);
  EXPECT_FALSE(quantised_view(model.open(), kIQ1_S));
  EXPECT_EQ(*parse_quantised_type("q4_k"), kQ4_K);
  EXPECT_THAT(parse_quantised_type("Q4_X").error().message, testing::HasSubstr("Q8_0"));
  EXPECT_FALSE(parse_quantised_type("I32"));
}

TEST(QuantisedView, WidenedWeightsAreTheSameNumbers) {
  const Model model = make_model();
  auto quantised = quantised_view(model.open(), kQ4_K);
  ASSERT_TRUE(quantised);
  const GgufFile source = *quantised;
  const auto view = widened_view(std::move(*quantised));
  ASSERT_TRUE(view) << view.error().message;
  ASSERT_EQ(view->tensors().size(), source.tensors().size());
  for (const auto& tensor : view->tensors()) {
    const auto* was = source.find_tensor(tensor.name);
    EXPECT_EQ(tensor.type, kF32) << tensor.name;
    EXPECT_EQ(tensor.shape, was->shape);
    std::vector<float> expected(static_cast<size_t>(was->elements())), got(expected.size());
    for (int64_t row = 0; row < was->rows(); ++row) {
      const auto packed = bytes_of(*was);
      kernels::dequantize_row(was->type, packed.data() + packed.size() / was->rows() * row,
                              expected.data() + row * was->shape[0], was->shape[0]);
    }
    ASSERT_TRUE(tensor.read(0, std::as_writable_bytes(std::span(got))));
    EXPECT_EQ(got, expected) << tensor.name;
  }
  EXPECT_EQ(*view->metadata().integer("general.file_type"), 0);
  EXPECT_EQ(*view->metadata().number("llama.rope.freq_base"), 10000.0);
}

TEST(QuantisedView, WhatIsNoNumberIsRefusedByName) {
  const Model model = make_model(INFINITY);
  const auto view = quantised_view(model.open(), kQ4_0);
  ASSERT_TRUE(view);
  const auto* tensor = view->find_tensor("blk.0.attn_q.weight");
  std::vector<std::byte> bytes(tensor->bytes());
  const auto read = tensor->read(0, bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(read.error().message, testing::HasSubstr("attn_q"));
}

}  // namespace
}  // namespace exo::convert

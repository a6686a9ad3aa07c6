// Hugging Face folders in the store.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "store/model_store.h"

namespace exo::store {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ModelFolders : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / fmt::format("exo-model-folders-{}", ::getpid());
    fs::create_directories(root_ / "data/models");
  }
  void TearDown() override { fs::remove_all(root_); }
  void copy_model(const fs::path& to) const {
    fs::create_directories(to);
    fs::copy(fs::path(EXO_SOURCE_DIR) / "src/convert/testdata/llama", to, fs::copy_options::recursive);
  }
  ModelStore store() const { return ModelStore({.data_dir = root_ / "data"}); }

  fs::path root_;
};

TEST_F(ModelFolders, AreModelsNamedByTheirFolder) {
  copy_model(root_ / "data/models/my-llama");
  auto here = store();
  ASSERT_EQ(here.models().size(), 1u);
  const auto model = here.find("my-llama");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(model->is_folder);
  const auto file = ModelStore::open(*model);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().string("general.architecture").value(), "llama");
  EXPECT_EQ(model->layout.total_bytes(), file->file_bytes());
  EXPECT_FALSE(here.refresh()) << "nothing changed";
}

TEST_F(ModelFolders, AreFoundByPathAndInTheHubsCache) {
  const auto snapshot = root_ / "hub/models--maker--Tiny-1B/snapshots/0123abc";
  const auto blobs = root_ / "hub/models--maker--Tiny-1B/blobs";
  copy_model(blobs);
  fs::create_directories(snapshot);
  for (const auto& blob : fs::directory_iterator(blobs)) {
    fs::create_symlink(fs::path("../../blobs") / blob.path().filename(), snapshot / blob.path().filename());
  }
  fs::rename(blobs / "config.json", blobs / "c");  // there, files have other names
  fs::remove(snapshot / "config.json");
  fs::create_symlink("../../blobs/c", snapshot / "config.json");
  auto here = store();
  const auto by_path = here.find(snapshot.string());
  ASSERT_TRUE(by_path) << by_path.error().message;
  EXPECT_EQ(by_path->name, "Tiny-1B");
  EXPECT_EQ(here.find("tiny-1b")->fingerprint, by_path->fingerprint)
      << "what was named by path belongs to the store";

  copy_model(root_ / "elsewhere/same");
  EXPECT_EQ(here.find((root_ / "elsewhere/same/").string())->fingerprint, by_path->fingerprint);
}

TEST_F(ModelFolders, WhatIsWrongWithOneIsSaid) {
  copy_model(root_ / "broken");
  fs::remove(root_ / "broken/model-00002-of-00002.safetensors");
  auto here = store();
  const auto model = here.find((root_ / "broken").string());
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("model-00002-of-00002.safetensors"));
  EXPECT_TRUE(here.models().empty());
}

}  // namespace
}  // namespace exo::store

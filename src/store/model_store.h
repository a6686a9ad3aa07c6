#pragma once
// The models that this device has: files in its data folder and in folders and places the user named, copies in
// parts that were fetched from peers, and the one built into the program.

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/element_type.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "net/file_transfer.h"
#include "store/byte_ranges.h"
#include "store/manifest_cache.h"
#include "store/piece_table.h"

namespace exo::store {

struct EmbeddedModel {
  std::string name;
  std::span<const std::byte> bytes;  // a GGUF file, aligned to 64 bytes; lives as long as the program
};

struct StoreOptions {
  std::filesystem::path data_dir;                  // holds models/ (the user's) and shards/ (parts from peers)
  std::vector<std::filesystem::path> model_dirs;   // read only
  std::vector<std::filesystem::path> model_files;  // files or folders
  std::vector<EmbeddedModel> embedded;
  std::optional<ElementType> quantise;  // weights in plain numbers are offered in this format (not built-in ones)
  std::string version;                  // of the program: views may have other bytes in another one
};

struct StoredModel {
  std::string name;            // the file's stem, a folder's name, …; unique in the store
  std::string fingerprint;     // 64 hex digits
  std::filesystem::path path;  // of the first file, or of a model folder; empty when built in
  net::FileLayout layout;
  bool is_folder = false;                // a Hugging Face folder, seen as the GGUF file of convert/gguf_view.h
  std::optional<ElementType> quantised;  // its plain weights are converted to this while they are read
  bool complete = true;                  // false: some byte ranges, fetched from peers
  std::span<const std::byte> embedded;   // when built in
  std::string stamp;                     // of the files on the disk (store/file_stamp.h); empty when built in
  uint64_t total_bytes() const { return layout.total_bytes(); }
  // There is no such file: its bytes are made of others when they are read.
  bool is_view() const { return is_folder || quantised.has_value(); }
};

// Any thread.
class ModelStore {
 public:
  explicit ModelStore(StoreOptions options);

  // Looks again at folders and files, which may take long; the other functions go on meanwhile. Files that are no
  // models are left out and logged once. True: something changed.
  bool refresh();
  std::vector<StoredModel> models() const;  // complete ones first, then by name
  // A path (file or folder, also outside the store: it then belongs to it), a fingerprint or at least 8 digits of
  // one, a name or its beginning, upper and lower case alike. kNotFound lists what there is; kInvalidArgument:
  // several fit.
  Result<StoredModel> find(std::string_view name_or_path);
  Result<StoredModel> find_fingerprint(std::string_view fingerprint) const;
  static Result<formats::GgufFile> open(const StoredModel& model);
  // For NodeNetwork::set_file_source: complete models and parts alike; nullptr when it is not here (any more).
  std::shared_ptr<const net::FileSource> file_source(std::string_view fingerprint);

  // A complete model as file_source() has it, for a single pass over all of it: what is read is not kept in memory.
  std::shared_ptr<const net::FileSource> source_for_hashing(std::string_view fingerprint);
  // The hashes of a complete model's bytes as far as they are known; nullptr: it is not here as a whole.
  std::shared_ptr<PieceTable> pieces(std::string_view fingerprint) const;
  // The root of its content; empty: not all hashes are known yet.
  std::string content_root(std::string_view fingerprint) const;
  // Writes the manifest, once all hashes are known, so that this need not be done again.
  void keep_manifest(std::string_view fingerprint) const;

  std::filesystem::path models_dir() const { return options_.data_dir / "models"; }
  std::filesystem::path shards_dir() const { return options_.data_dir / "shards"; }

 private:
  struct Known {
    std::string stamp;
    Result<StoredModel> model;
  };
  struct Content {
    std::string key;  // everything that the bytes depend on; empty: they are not kept on the disk
    std::shared_ptr<PieceTable> pieces;
  };
  struct Source {
    std::weak_ptr<const net::FileSource> plain, served;  // served keeps plain
  };
  Result<StoredModel> look_at(const std::filesystem::path& first, const std::string& name);
  Result<StoredModel> look_at_folder(const std::filesystem::path& folder);
  Result<StoredModel> describe(StoredModel model, formats::GgufFile gguf);
  void add_folder(const std::filesystem::path& folder, std::vector<StoredModel>& found, int depth);
  void add_file(const std::filesystem::path& file, const std::string& name, std::vector<StoredModel>& found);
  void add_model_folder(const std::filesystem::path& folder, std::vector<StoredModel>& found);
  template <typename Look>
  void add_place(const std::filesystem::path& place, const std::string& stamp, const Look& look,
                 std::vector<StoredModel>& found);
  void add_named(const std::filesystem::path& place, std::vector<StoredModel>& found);
  void add_shards(std::vector<StoredModel>& found);
  void add_embedded(std::vector<StoredModel>& found) const;

  std::vector<StoredModel> look_everywhere();
  static std::shared_ptr<const net::FileSource> open_source(
      const StoredModel& model);  // complete; nullptr: it is gone
  std::string content_key(const StoredModel& model) const;
  std::map<std::string, Content, std::less<>> contents_of(const std::vector<StoredModel>& models) const;

  StoreOptions options_;
  const ManifestCache manifests_;
  std::mutex look_mutex_;  // one look at the disk at a time; guards the next, and model_files
  std::map<std::filesystem::path, Known> known_;  // what was found out about each file, so that it is read once
  mutable std::mutex mutex_;                      // guards what follows; never held while files are read
  std::vector<StoredModel> models_;
  std::map<std::string, Content, std::less<>> contents_;  // of complete models, by fingerprint
  std::map<std::string, Source, std::less<>> sources_;
  std::shared_ptr<const net::FileSource> last_view_;  // opening one takes long: the last one stays open
};

}  // namespace exo::store

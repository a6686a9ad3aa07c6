#include "store/model_store.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <system_error>
#include <tuple>

#include "base/log.h"
#include "convert/gguf_view.h"
#include "convert/quantised_view.h"
#include "store/file_stamp.h"
#include "store/fingerprint.h"
#include "store/partial_file.h"
#include "store/recent_pieces.h"

namespace exo::store {

namespace fs = std::filesystem;

namespace {

constexpr int kMaxFolderDepth = 3;
constexpr size_t kMaxFiles = 4096;
constexpr size_t kMinFingerprintDigits = 8;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

bool is_model_file(const fs::path& path) {
  return lower(path.extension().string()) == ".gguf" && !path.filename().string().starts_with('.');
}

// 0 for whole files and first parts: only these stand for a model.
bool is_later_part(const fs::path& path) {
  const std::string stem = path.stem().string();
  const size_t of = stem.rfind("-of-");
  return of != std::string::npos && of >= 6 && stem[of - 6] == '-' && stem.substr(of - 5, 5) != "00001" &&
         std::all_of(stem.begin() + static_cast<ptrdiff_t>(of) - 5, stem.begin() + static_cast<ptrdiff_t>(of),
                     [](unsigned char c) { return std::isdigit(c); });
}

std::string model_name(const fs::path& path) {
  std::string stem = path.stem().string();
  if (const size_t part = stem.rfind("-00001-of-"); part != std::string::npos) stem.resize(part);
  return stem;
}

// A folder is named by itself; in the layout of Hugging Face's cache, models--org--name/snapshots/HASH, by the
// model.
std::string folder_name(const fs::path& folder) {
  const std::string own = folder.filename().string();
  if (folder.parent_path().filename() != "snapshots") return own;
  const std::string model = folder.parent_path().parent_path().filename().string();
  const size_t last = model.rfind("--");
  return model.starts_with("models--") && last + 2 < model.size() ? model.substr(last + 2) : own;
}

std::string names_of(const std::vector<StoredModel>& models) {
  std::string text;
  for (const StoredModel& model : models) text += (text.empty() ? "" : ", ") + model.name;
  return text.empty() ? "none" : text;
}

}  // namespace

ModelStore::ModelStore(StoreOptions options)
    : options_(std::move(options)), manifests_(options_.data_dir / "hashes") {
  std::error_code error;
  fs::create_directories(models_dir(), error);
  if (error) log_warning("store", "cannot make {}: {}", models_dir().string(), error.message());
  refresh();
}

Result<StoredModel> ModelStore::look_at(const fs::path& first, const std::string& name) {
  EXO_TRY(auto gguf, formats::GgufFile::open(first));
  StoredModel model;
  model.name = name;
  model.path = first;
  return describe(std::move(model), std::move(gguf));
}

Result<StoredModel> ModelStore::look_at_folder(const fs::path& folder) {
  EXO_TRY(auto gguf, convert::open_folder(folder));
  StoredModel model;
  model.name = folder_name(folder);
  model.path = folder;
  model.is_folder = true;
  return describe(std::move(model), std::move(gguf));
}

Result<StoredModel> ModelStore::describe(StoredModel model, formats::GgufFile gguf) {
  if (options_.quantise && convert::is_quantisable(gguf, *options_.quantise)) {
    model.quantised = options_.quantise;
    model.name += fmt::format("-{}", info(*model.quantised).name);
    EXO_TRY(gguf, convert::quantised_view(std::move(gguf), *model.quantised));
  }
  if (model.is_view()) {
    model.layout.parts.push_back({gguf.file_bytes(), gguf.data_offset()});
    EXO_TRY(model.layout.sample, sample_of(gguf, model.layout));
    EXO_TRY(model.fingerprint, fingerprint_of(gguf, model.layout));
  } else {
    EXO_TRY(model.layout, layout_of(gguf, model.path));
    EXO_TRY(const auto source, open_file_source(model.path, model.layout));
    EXO_TRY(model.layout.sample, sample_of(*source));
    EXO_TRY(model.fingerprint, fingerprint_of(*source, model.layout));
  }
  return model;
}

// `look` reads what is there; its result is kept as long as the place's state stays.
template <typename Look>
void ModelStore::add_place(const fs::path& place, const std::string& stamp, const Look& look,
                           std::vector<StoredModel>& found) {
  if (found.size() >= kMaxFiles) return;
  auto entry = known_.find(place);
  if (entry == known_.end() || entry->second.stamp != stamp) {
    Known known{stamp, look()};
    if (known.model) known.model->stamp = stamp;
    if (!known.model) log_warning("store", "not a model: {}: {}", place.string(), known.model.error().message);
    entry = known_.insert_or_assign(place, std::move(known)).first;
  }
  if (entry->second.model) found.push_back(*entry->second.model);
}

void ModelStore::add_file(const fs::path& file, const std::string& name, std::vector<StoredModel>& found) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return;
  add_place(
      file, stamp_of(part_paths(file)), [&] { return look_at(file, name); }, found);
}

void ModelStore::add_model_folder(const fs::path& folder, std::vector<StoredModel>& found) {
  add_place(
      folder, stamp_of_folder(folder), [&] { return look_at_folder(folder); }, found);
}

void ModelStore::add_folder(const fs::path& folder, std::vector<StoredModel>& found, int depth) {
  std::error_code error;
  if (convert::ModelFolder::is_model_folder(folder)) add_model_folder(folder, found);
  std::set<fs::path> entries;  // in order
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entries.size() < kMaxFiles) entries.insert(entry.path());
  }
  for (const fs::path& path : entries) {
    if (fs::is_directory(path, error)) {
      if (depth < kMaxFolderDepth) add_folder(path, found, depth + 1);
    } else if (is_model_file(path) && !is_later_part(path)) {
      add_file(path, model_name(path), found);
    }
  }
}

void ModelStore::add_named(const fs::path& place, std::vector<StoredModel>& found) {
  std::error_code error;
  if (fs::is_directory(place, error)) {
    add_folder(place, found, 0);
  } else {
    add_file(place, model_name(place), found);
  }
}

void ModelStore::add_shards(std::vector<StoredModel>& found) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(shards_dir(), error)) {
    if (entry.path().extension() != ".ranges") continue;
    const auto file = PartialFile::open(shards_dir(), entry.path().stem().string());
    if (!file || !(*file)->verify_header()) continue;
    StoredModel model;
    model.name = (*file)->name();
    model.fingerprint = (*file)->fingerprint();
    model.path = (*file)->path();
    model.layout = (*file)->layout();
    model.complete = (*file)->has(0, model.total_bytes());
    model.stamp = stamp_of(part_paths(model.path));
    found.push_back(std::move(model));
  }
}

void ModelStore::add_embedded(std::vector<StoredModel>& found) const {
  for (const EmbeddedModel& embedded : options_.embedded) {
    const auto gguf = formats::GgufFile::parse(embedded.bytes);
    if (!gguf) {
      log_error("store", "the built-in model {}: {}", embedded.name, gguf.error().message);
      continue;
    }
    StoredModel model;
    model.name = embedded.name;
    model.embedded = embedded.bytes;
    const auto source = memory_source(embedded.bytes, gguf->data_offset());
    model.layout = source->layout();
    const auto fingerprint = fingerprint_of(*source, model.layout);
    if (!fingerprint) continue;
    model.fingerprint = *fingerprint;
    found.push_back(std::move(model));
  }
}

std::vector<StoredModel> ModelStore::look_everywhere() {
  std::vector<StoredModel> found;
  for (const fs::path& place : options_.model_files) add_named(place, found);
  add_folder(models_dir(), found, 0);
  for (const fs::path& folder : options_.model_dirs) add_folder(folder, found, 0);
  add_embedded(found);
  add_shards(found);
  return found;
}

bool ModelStore::refresh() {
  const std::lock_guard looking(look_mutex_);
  std::vector<StoredModel> found = look_everywhere();
  std::set<std::string> fingerprints, names;
  std::vector<StoredModel> models;
  std::stable_sort(found.begin(), found.end(),
                   [](const StoredModel& a, const StoredModel& b) { return a.complete > b.complete; });
  for (StoredModel& model : found) {
    if (!fingerprints.insert(model.fingerprint).second) continue;  // the same model twice
    if (!names.insert(lower(model.name)).second) model.name += "-" + model.fingerprint.substr(0, 6);
    models.push_back(std::move(model));
  }
  std::sort(models.begin(), models.end(), [](const StoredModel& a, const StoredModel& b) {
    return std::tuple(!a.complete, a.name) < std::tuple(!b.complete, b.name);
  });
  const auto same = [](const StoredModel& a, const StoredModel& b) {
    return a.fingerprint == b.fingerprint && a.complete == b.complete && a.name == b.name && a.path == b.path &&
           (a.stamp == b.stamp || !a.complete);
  };
  auto contents = contents_of(models);
  const std::lock_guard lock(mutex_);
  const bool changed = !std::equal(models.begin(), models.end(), models_.begin(), models_.end(), same);
  if (changed) {
    sources_.clear();
    last_view_.reset();
  }
  contents_ = std::move(contents);
  models_ = std::move(models);
  return changed;
}

// ---- hashes

std::string ModelStore::content_key(const StoredModel& model) const {
  if (model.stamp.empty()) return {};
  return fmt::format("exo-hashes 1 {} {} {}", model.stamp,
                     model.quantised ? info(*model.quantised).name : "as-it-is",
                     model.is_view() ? options_.version : "");
}

// Those that are known stay, as long as the files do.
std::map<std::string, ModelStore::Content, std::less<>> ModelStore::contents_of(
    const std::vector<StoredModel>& models) const {
  std::map<std::string, Content, std::less<>> contents;
  for (const StoredModel& model : models) {
    if (!model.complete || model.total_bytes() > kMaxContentBytes) continue;
    const std::string key = content_key(model);
    {
      const std::lock_guard lock(mutex_);
      const auto known = contents_.find(model.fingerprint);
      if (known != contents_.end() && known->second.key == key) {
        contents.insert(*known);
        continue;
      }
    }
    Content content{key, std::make_shared<PieceTable>(model.total_bytes())};
    if (!key.empty()) {
      if (auto kept = manifests_.load(model.fingerprint, key, model.total_bytes()))
        content.pieces->adopt(std::move(*kept));
    }
    contents.emplace(model.fingerprint, std::move(content));
  }
  return contents;
}

std::shared_ptr<PieceTable> ModelStore::pieces(std::string_view fingerprint) const {
  const std::lock_guard lock(mutex_);
  const auto found = contents_.find(fingerprint);
  return found == contents_.end() ? nullptr : found->second.pieces;
}

std::string ModelStore::content_root(std::string_view fingerprint) const {
  const auto table = pieces(fingerprint);
  const auto manifest = table == nullptr ? nullptr : table->manifest();
  return manifest == nullptr ? std::string() : manifest->root();
}

void ModelStore::keep_manifest(std::string_view fingerprint) const {
  Content content;
  {
    const std::lock_guard lock(mutex_);
    const auto found = contents_.find(fingerprint);
    if (found != contents_.end()) content = found->second;
  }
  const auto manifest = content.pieces == nullptr ? nullptr : content.pieces->manifest();
  if (manifest == nullptr || content.key.empty()) return;
  if (const Status kept = manifests_.store(std::string(fingerprint), content.key, *manifest); !kept)
    log_warning("store", "{}: it will be hashed again at the next start", kept.error().message);
}

std::vector<StoredModel> ModelStore::models() const {
  const std::lock_guard lock(mutex_);
  return models_;
}

Result<StoredModel> ModelStore::find(std::string_view wanted) {
  const fs::path path(wanted);
  std::error_code error;
  if (fs::exists(path, error) && (path.has_parent_path() || is_model_file(path))) {
    const fs::path full = fs::weakly_canonical(path, error);
    bool is_new = false;
    {
      const std::lock_guard looking(look_mutex_);
      auto& named = options_.model_files;
      is_new = std::find(named.begin(), named.end(), full) == named.end();
      if (is_new) named.push_back(full);
    }
    if (is_new) refresh();
    std::vector<StoredModel> here;
    {
      const std::lock_guard looking(look_mutex_);
      add_named(full, here);
      const auto known = known_.find(full);
      if (here.empty() && known != known_.end() && !known->second.model) {
        return std::unexpected(known->second.model.error());
      }
    }
    if (here.empty())
      return fail(ErrorCode::kNotFound, "{}: neither a GGUF file nor a model folder is there", path.string());
    if (here.size() > 1) return fail(ErrorCode::kInvalidArgument, "{} holds {}", path.string(), names_of(here));
    return find_fingerprint(here[0].fingerprint);
  }

  const std::string name = lower(wanted);
  std::vector<StoredModel> beginnings;
  for (const StoredModel& model : models()) {
    if (lower(model.name) == name) return model;
    const bool by_digits = name.size() >= kMinFingerprintDigits && model.fingerprint.starts_with(name);
    if (!name.empty() && (by_digits || lower(model.name).starts_with(name))) beginnings.push_back(model);
  }
  if (beginnings.size() == 1) return beginnings[0];
  if (!beginnings.empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" may be {}", wanted, names_of(beginnings));
  }
  return fail(ErrorCode::kNotFound, "no model \"{}\" here; there are: {}", wanted, names_of(models()));
}

Result<StoredModel> ModelStore::find_fingerprint(std::string_view fingerprint) const {
  const std::lock_guard lock(mutex_);
  for (const StoredModel& model : models_) {
    if (model.fingerprint == fingerprint) return model;
  }
  return fail(ErrorCode::kNotFound, "no model with the fingerprint {} here", fingerprint);
}

Result<formats::GgufFile> ModelStore::open(const StoredModel& model) {
  if (!model.embedded.empty()) return formats::GgufFile::parse(model.embedded);
  auto file = model.is_folder ? convert::open_folder(model.path) : formats::GgufFile::open(model.path);
  if (!file || !model.quantised) return file;
  return convert::quantised_view(std::move(*file), *model.quantised);
}

std::shared_ptr<const net::FileSource> ModelStore::file_source(std::string_view fingerprint) {
  if (!is_fingerprint(fingerprint)) return nullptr;
  const auto model = find_fingerprint(fingerprint);
  if (!model || !model->complete) {
    // What is fetched now grows: the note is read anew, and the source is not kept.
    auto part = PartialFile::open(shards_dir(), std::string(fingerprint));
    return part ? std::shared_ptr<const net::FileSource>(std::move(*part)) : nullptr;
  }
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = sources_.find(fingerprint); known != sources_.end()) {
      if (auto source = known->second.served.lock()) return source;
    }
  }
  const auto plain = open_source(*model);
  if (plain == nullptr) return nullptr;
  auto served = model->is_view() ? with_recent_pieces(plain) : plain;
  if (const auto table = pieces(fingerprint)) served = with_hashes(std::move(served), table);
  const std::lock_guard lock(mutex_);
  sources_[model->fingerprint] = {plain, served};
  if (model->is_view()) last_view_ = served;
  return served;
}

std::shared_ptr<const net::FileSource> ModelStore::open_source(const StoredModel& model) {
  if (!model.embedded.empty()) return memory_source(model.embedded, model.layout.parts[0].header_bytes);
  if (model.is_view()) return view_source(model.layout, [model] { return open(model); });
  auto opened = open_file_source(model.path, model.layout);
  return opened ? std::move(*opened) : nullptr;
}

std::shared_ptr<const net::FileSource> ModelStore::source_for_hashing(std::string_view fingerprint) {
  const auto served = file_source(fingerprint);
  const std::lock_guard lock(mutex_);
  const auto known = sources_.find(fingerprint);
  return served == nullptr || known == sources_.end() ? nullptr : known->second.plain.lock();
}

}  // namespace exo::store

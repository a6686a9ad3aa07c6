#include "store/fingerprint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <system_error>

#include "net/crypto.h"

namespace exo::store {

namespace fs = std::filesystem;

namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr uint64_t kSamples = 64, kSampleBytes = 512;  // pieces of each file's weights, and their size

class DiskSource final : public net::FileSource {
 public:
  explicit DiskSource(net::FileLayout layout) : layout_(std::move(layout)) {}
  ~DiskSource() override {
    for (int file : files_) ::close(file);
  }
  Status open(const std::vector<fs::path>& paths) {
    for (const fs::path& path : paths) {
      const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (file < 0) return fail(ErrorCode::kNotFound, "{}: {}", path.string(), std::strerror(errno));
      files_.push_back(file);
    }
    return {};
  }
  const net::FileLayout& layout() const override { return layout_; }
  bool has(uint64_t offset, uint64_t bytes) const override {
    const uint64_t total = layout_.total_bytes();
    return bytes <= total && offset <= total - bytes;
  }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    if (!has(offset, out.size())) return fail(ErrorCode::kInvalidArgument, "bytes beyond the file");
    size_t part = 0;
    for (uint64_t begin = 0; !out.empty(); begin += layout_.parts[part++].bytes) {
      const uint64_t end = begin + layout_.parts[part].bytes;
      if (offset >= end) continue;
      const size_t n = std::min<uint64_t>(out.size(), end - offset);
      EXO_CHECK_OK(read_part(files_[part], offset - begin, out.first(n)));
      out = out.subspan(n);
      offset += n;
    }
    return {};
  }

 private:
  static Status read_part(int file, uint64_t offset, std::span<std::byte> out) {
    while (!out.empty()) {
      const ssize_t n = ::pread(file, out.data(), out.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(ErrorCode::kUnavailable, "reading the model: {}", std::strerror(errno));
      if (n == 0) return fail(ErrorCode::kCorrupt, "the model's file has become shorter");
      out = out.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }
  const net::FileLayout layout_;
  std::vector<int> files_;
};

class ViewSource final : public net::FileSource {
 public:
  ViewSource(net::FileLayout layout, std::function<Result<formats::GgufFile>()> open)
      : layout_(std::move(layout)), open_(std::move(open)) {}
  const net::FileLayout& layout() const override { return layout_; }
  bool has(uint64_t offset, uint64_t bytes) const override {
    const uint64_t total = layout_.total_bytes();
    return bytes <= total && offset <= total - bytes;
  }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    EXO_TRY(const auto file, opened());
    return file->read(offset, out);
  }

 private:
  Result<std::shared_ptr<const formats::GgufFile>> opened() const {
    const std::lock_guard lock(mutex_);
    if (file_ == nullptr) {
      EXO_TRY(auto file, open_());
      if (layout_.parts != std::vector<net::FileLayout::Part>{{file.file_bytes(), file.data_offset()}}) {
        return fail(ErrorCode::kCorrupt, "the model's files have changed");
      }
      file_ = std::make_shared<const formats::GgufFile>(std::move(file));
    }
    return file_;
  }
  const net::FileLayout layout_;
  const std::function<Result<formats::GgufFile>()> open_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const formats::GgufFile> file_;
};

// Borrows the file.
class AssembledSource final : public net::FileSource {
 public:
  AssembledSource(const formats::GgufFile& file, net::FileLayout layout)
      : file_(file), layout_(std::move(layout)) {}
  const net::FileLayout& layout() const override { return layout_; }
  bool has(uint64_t offset, uint64_t bytes) const override {
    return bytes <= file_.file_bytes() && offset <= file_.file_bytes() - bytes;
  }
  Status read(uint64_t offset, std::span<std::byte> out) const override { return file_.read(offset, out); }

 private:
  const formats::GgufFile& file_;
  const net::FileLayout layout_;
};

class MemorySource final : public net::FileSource {
 public:
  MemorySource(std::span<const std::byte> bytes, uint64_t header_bytes) : bytes_(bytes) {
    layout_.parts.push_back({bytes.size(), header_bytes});
    if (auto sample = sample_of(*this)) layout_.sample = *sample;
  }
  const net::FileLayout& layout() const override { return layout_; }
  bool has(uint64_t offset, uint64_t bytes) const override {
    return bytes <= bytes_.size() && offset <= bytes_.size() - bytes;
  }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    if (!has(offset, out.size())) return fail(ErrorCode::kInvalidArgument, "bytes beyond the file");
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

 private:
  const std::span<const std::byte> bytes_;
  net::FileLayout layout_;
};

}  // namespace

Result<std::string> fingerprint_of(const net::FileSource& source, const net::FileLayout& layout) {
  net::Sha256 hash;
  std::vector<std::byte> buffer;
  uint64_t begin = 0;
  for (const auto& part : layout.parts) {
    for (uint64_t done = 0; done < part.header_bytes; done += buffer.size()) {
      buffer.resize(std::min<uint64_t>(kReadBytes, part.header_bytes - done));
      EXO_CHECK_OK(source.read(begin + done, buffer));
      hash.update(buffer);
    }
    hash.update_u64(part.bytes);
    begin += part.bytes;
  }
  hash.update(std::as_bytes(std::span(layout.sample)));
  return net::to_hex(hash.finish());
}

Result<std::string> sample_of(const net::FileSource& source) {
  std::vector<std::byte> all;
  uint64_t begin = 0;
  for (const auto& part : source.layout().parts) {
    const uint64_t weights = part.bytes - part.header_bytes;
    const uint64_t piece = std::min(kSampleBytes, weights);
    for (uint64_t i = 0; i < kSamples && piece > 0; ++i) {
      const uint64_t at = part.header_bytes + (weights - piece) / kSamples * i;
      const size_t known = all.size();
      all.resize(known + piece);
      EXO_CHECK_OK(source.read(begin + at, std::span(all).subspan(known)));
    }
    begin += part.bytes;
  }
  return net::to_hex(net::sha256(all));
}

Result<std::string> fingerprint_of(const formats::GgufFile& assembled, const net::FileLayout& layout) {
  return fingerprint_of(AssembledSource(assembled, layout), layout);
}

Result<std::string> sample_of(const formats::GgufFile& assembled, const net::FileLayout& layout) {
  return sample_of(AssembledSource(assembled, layout));
}

bool is_fingerprint(std::string_view text) { return NodeId::from_hex(text).has_value(); }

std::vector<fs::path> part_paths(const fs::path& first) {
  constexpr std::string_view kFirst = "-00001-of-";
  const std::string name = first.string();
  const size_t at = name.rfind(kFirst);
  size_t count = 0;
  if (at == std::string::npos || name.size() < at + kFirst.size() + 5) return {first};
  const char* digits = name.data() + at + kFirst.size();
  const auto [end, error] = std::from_chars(digits, digits + 5, count);
  if (error != std::errc() || end != digits + 5 || count < 1 || count > net::kMaxFileParts) return {first};
  std::vector<fs::path> paths;
  for (size_t i = 1; i <= count; ++i) {
    paths.emplace_back(fmt::format("{}-{:05}-of-{}", name.substr(0, at), i, name.substr(at + kFirst.size())));
  }
  return paths;
}

Result<net::FileLayout> layout_of(const formats::GgufFile& file, const fs::path& first) {
  const bool split = file.metadata().find("split.count") != nullptr;
  const std::vector<fs::path> paths = split ? part_paths(first) : std::vector{first};
  net::FileLayout layout;
  for (const fs::path& path : paths) {
    std::error_code error;
    const uint64_t bytes = fs::file_size(path, error);
    if (error) return fail(ErrorCode::kNotFound, "{}: {}", path.string(), error.message());
    layout.parts.push_back({bytes, bytes});
  }
  // A part's header ends where its first tensor begins; a part without tensors is all header.
  for (const formats::TensorView& tensor : file.tensors()) {
    const auto part = static_cast<size_t>(tensor.file_part);
    if (part >= layout.parts.size())
      return fail(ErrorCode::kCorrupt, "{}: a tensor beyond the files", first.string());
    layout.parts[part].header_bytes = std::min(layout.parts[part].header_bytes, tensor.file_offset);
  }
  return layout;
}

Result<std::shared_ptr<const net::FileSource>> open_file_source(const fs::path& first, net::FileLayout layout) {
  const auto paths = layout.parts.size() == 1 ? std::vector{first} : part_paths(first);
  if (paths.size() != layout.parts.size())
    return fail(ErrorCode::kCorrupt, "{}: parts are missing", first.string());
  auto source = std::make_shared<DiskSource>(std::move(layout));
  EXO_CHECK_OK(source->open(paths));
  return source;
}

std::shared_ptr<const net::FileSource> view_source(net::FileLayout layout,
                                                   std::function<Result<formats::GgufFile>()> open) {
  return std::make_shared<ViewSource>(std::move(layout), std::move(open));
}

std::shared_ptr<const net::FileSource> memory_source(std::span<const std::byte> bytes, uint64_t header_bytes) {
  return std::make_shared<MemorySource>(bytes, header_bytes);
}

}  // namespace exo::store

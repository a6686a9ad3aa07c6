#pragma once
// A model's header as a peer sends it, in memory until it has proven to be the one that was asked for: until then
// not even how many files the model has is to be believed, and nothing is written.

#include <string>
#include <vector>

#include "base/result.h"
#include "net/file_transfer.h"

namespace exo::store {

class HeaderCopy final : public net::FileSource {
 public:
  static constexpr uint64_t kMostBytes = uint64_t{256} << 20;  // of all parts

  // kCorrupt: another model's, or larger than kMostBytes.
  static Result<HeaderCopy> fetch(net::FileConnection& connection, const std::string& fingerprint);

  const net::FileLayout& layout() const override { return layout_; }
  const std::vector<std::byte>& of_part(size_t part) const { return parts_[part]; }
  uint64_t total_bytes() const;

  bool has(uint64_t offset, uint64_t bytes) const override;
  Status read(uint64_t offset, std::span<std::byte> out) const override;

 private:
  explicit HeaderCopy(net::FileLayout layout) : layout_(std::move(layout)) {}
  // Where the bytes are; empty: they are not the header's.
  std::span<const std::byte> find(uint64_t offset, uint64_t bytes) const;

  net::FileLayout layout_;
  std::vector<std::vector<std::byte>> parts_;
};

}  // namespace exo::store

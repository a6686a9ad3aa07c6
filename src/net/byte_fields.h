#pragma once
// Little-endian fields of the two small formats that do not go through wire/codec.h: beacons and handshake frames,
// which must stay readable to nodes of other versions. Reading never leaves the bytes it was given.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace exo::net {

class FieldWriter {
 public:
  void text(std::string_view raw) {
    for (char c : raw) bytes_.push_back(static_cast<std::byte>(c));
  }
  template <typename Integer>
  void integer(Integer value) {
    for (size_t i = 0; i < sizeof(Integer); ++i)
      bytes_.push_back(static_cast<std::byte>(uint64_t(value) >> (8 * i)));
  }
  template <size_t N>
  void array(const std::array<uint8_t, N>& raw) {
    for (uint8_t b : raw) bytes_.push_back(static_cast<std::byte>(b));
  }
  // One length byte, then at most 255 bytes of the string: longer ones are cut.
  void short_string(std::string_view value) {
    value = value.substr(0, 255);
    integer(static_cast<uint8_t>(value.size()));
    text(value);
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

// After the first read past the end every read gives zeros and ok() is false.
class FieldReader {
 public:
  explicit FieldReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  bool expect(std::string_view raw) {
    const auto taken = take(raw.size());
    for (size_t i = 0; i < taken.size(); ++i) ok_ = ok_ && taken[i] == static_cast<std::byte>(raw[i]);
    return ok_;
  }
  template <typename Integer>
  Integer integer() {
    const auto taken = take(sizeof(Integer));
    uint64_t value = 0;
    for (size_t i = 0; i < taken.size(); ++i) value |= uint64_t(taken[i]) << (8 * i);
    return static_cast<Integer>(value);
  }
  template <size_t N>
  std::array<uint8_t, N> array() {
    std::array<uint8_t, N> value{};
    const auto taken = take(N);
    for (size_t i = 0; i < taken.size(); ++i) value[i] = static_cast<uint8_t>(taken[i]);
    return value;
  }
  std::string short_string() {
    const auto taken = take(integer<uint8_t>());
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  bool ok() const { return ok_; }

 private:
  std::span<const std::byte> take(size_t n) {
    if (!ok_ || n > rest_.size()) {
      ok_ = false;
      return {};
    }
    const auto taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

// A longer name of a stranger is cut.
inline constexpr size_t kMostNameBytes = 64;

}  // namespace exo::net

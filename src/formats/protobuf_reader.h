#pragma once
// Fields of a protobuf message, one after the other, from bytes that nobody has checked yet.
// Encoding: https://protobuf.dev/programming-guides/encoding

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace exo::formats {

class ProtobufReader {
 public:
  enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  explicit ProtobufReader(std::string_view message) : rest_(message) {}

  // Moves to the next field; false at the end and at the first malformed byte (then failed() is true).
  bool next() {
    if (rest_.empty() || failed_) return false;
    uint64_t tag = 0;
    if (!read_varint(tag) || tag >> 3 == 0 || tag >> 3 > kMaxField) return fail();
    field_ = static_cast<uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0:
        wire_ = Wire::kVarint;
        return read_varint(number_) || fail();
      case 1:
        wire_ = Wire::kFixed64;
        return read_fixed(8) || fail();
      case 2: {
        wire_ = Wire::kBytes;
        uint64_t length = 0;
        if (!read_varint(length) || length > rest_.size()) return fail();
        bytes_ = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return true;
      }
      case 5:
        wire_ = Wire::kFixed32;
        return read_fixed(4) || fail();
      default:  // groups, which are out of use
        return fail();
    }
  }

  bool failed() const { return failed_; }
  uint32_t field() const { return field_; }
  Wire wire() const { return wire_; }
  bool is(uint32_t field, Wire wire) const { return field_ == field && wire_ == wire; }
  // Of the present field: by its wire type.
  uint64_t number() const { return number_; }
  bool boolean() const { return number_ != 0; }
  int32_t int32() const { return static_cast<int32_t>(number_); }
  float float32() const { return std::bit_cast<float>(static_cast<uint32_t>(number_)); }
  std::string_view bytes() const { return bytes_; }

 private:
  static constexpr uint64_t kMaxField = (1u << 29) - 1;

  bool fail() {
    failed_ = true;
    return false;
  }
  bool read_varint(uint64_t& value) {
    value = 0;
    for (size_t i = 0; i < 10 && i < rest_.size(); ++i) {
      const auto byte = static_cast<uint8_t>(rest_[i]);
      value |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);
      if (byte & 0x80) continue;
      rest_.remove_prefix(i + 1);
      return true;
    }
    return false;
  }
  bool read_fixed(size_t size) {
    if (rest_.size() < size) return false;
    number_ = 0;
    std::memcpy(&number_, rest_.data(), size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_, bytes_;
  uint64_t number_ = 0;
  uint32_t field_ = 0;
  Wire wire_ = Wire::kVarint;
  bool failed_ = false;
};

}  // namespace exo::formats

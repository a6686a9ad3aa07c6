#pragma once
// The few cryptographic values the project needs, by OpenSSL. Any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace exo::net {

using Digest = std::array<uint8_t, 32>;

// SHA-256 of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::span<const std::byte> bytes);
  void update_u64(uint64_t value);  // little-endian
  Digest finish();                  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest sha256(std::span<const std::byte> bytes);
Digest hmac_sha256(std::span<const uint8_t> key, std::string_view data);
bool equal_in_constant_time(std::span<const uint8_t> a, std::span<const uint8_t> b);
void random_bytes(std::span<uint8_t> out);

std::string to_hex(std::span<const uint8_t> bytes);
std::optional<Digest> digest_from_hex(std::string_view hex);

// What the OpenSSL calls of this thread complained about, for messages to people; empties the list.
std::string openssl_errors();

}  // namespace exo::net

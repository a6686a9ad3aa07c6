#include "net/cluster_key.h"

#include <openssl/evp.h>

#include <algorithm>
#include <string>

#include "base/check.h"

namespace exo::net {

ClusterKey ClusterKey::from_secret(std::string_view secret) {
  ClusterKey key;
  if (secret.empty()) return key;
  constexpr std::string_view kSalt = "exo cluster secret v1";
  constexpr uint64_t kMaxMemoryBytes = 64ull << 20;
  const auto* salt = reinterpret_cast<const unsigned char*>(kSalt.data());
  EXO_CHECK(EVP_PBE_scrypt(secret.data(), secret.size(), salt, kSalt.size(), 1 << 15, 8, 1, kMaxMemoryBytes,
                           key.key_.data(), key.key_.size()) == 1);
  key.has_secret_ = true;
  const Digest tag = hmac_sha256(key.key_, "exo beacon tag v1");
  std::copy_n(tag.begin(), key.tag_.size(), key.tag_.begin());
  return key;
}

Digest ClusterKey::proof(ProofRole role, const Digest& channel, const NodeId& dialer,
                         const NodeId& acceptor) const {
  if (!has_secret_) return {};
  std::string data = "exo secret proof v1";
  data.push_back(static_cast<char>(role));
  data.append(reinterpret_cast<const char*>(channel.data()), channel.size());
  data.append(reinterpret_cast<const char*>(dialer.bytes.data()), dialer.bytes.size());
  data.append(reinterpret_cast<const char*>(acceptor.bytes.data()), acceptor.bytes.size());
  return hmac_sha256(key_, data);
}

}  // namespace exo::net

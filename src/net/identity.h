#pragma once
// Who this node is: an Ed25519 key pair made at the first start. The node's id is SHA-256 of the raw public key.

#include <filesystem>
#include <memory>
#include <optional>

#include "base/ids.h"
#include "base/result.h"

struct evp_pkey_st;
struct x509_st;

namespace exo::net {

class Identity {
 public:
  // Reads DATA_DIR/identity.pem (PKCS #8, mode 0600), or makes it, whole or not at all: two nodes started at the
  // same moment on one folder get the same key. A file that is there but unreadable is an error, never replaced.
  static Result<Identity> load_or_create(const std::filesystem::path& data_dir);
  // A key that nothing keeps.
  static Result<Identity> generate();

  const NodeId& id() const { return id_; }
  // Borrowed; live as long as any copy of this identity.
  evp_pkey_st* key() const { return key_.get(); }
  x509_st* certificate() const { return certificate_.get(); }  // self-signed, for TLS

 private:
  static Result<Identity> from_key(std::shared_ptr<evp_pkey_st> key);
  NodeId id_;
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<x509_st> certificate_;
};

// The id behind a public key; nullopt unless it is Ed25519.
std::optional<NodeId> node_id_of(evp_pkey_st* public_key);

}  // namespace exo::net

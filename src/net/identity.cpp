#include "net/identity.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/log.h"
#include "net/crypto.h"

namespace exo::net {
namespace {

namespace fs = std::filesystem;
constexpr size_t kMaxIdentityFileBytes = 16 << 10;

std::shared_ptr<EVP_PKEY> own(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

Result<std::shared_ptr<EVP_PKEY>> generate_key() {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (key == nullptr) return fail(ErrorCode::kInternal, "cannot make an Ed25519 key: {}", openssl_errors());
  return own(key);
}

Result<std::string> to_pem(EVP_PKEY* key) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail(ErrorCode::kInternal, "cannot write the key: {}", openssl_errors());
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Status write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(file, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(ErrorCode::kResourceExhausted, "{}", std::strerror(errno));
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

// Puts the whole text at `path` unless a file is there already; either is success.
Status publish_file(const fs::path& path, std::string_view text) {
  std::array<uint8_t, 8> random;
  random_bytes(random);
  const fs::path temporary = path.string() + "." + to_hex(random) + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0)
    return fail(ErrorCode::kResourceExhausted, "cannot write {}: {}", path.string(), std::strerror(errno));
  Status written = write_all(file, text);
  if (written && ::fsync(file) != 0) written = fail(ErrorCode::kResourceExhausted, "{}", std::strerror(errno));
  ::close(file);
  if (written && ::link(temporary.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    // File systems without hard links: the rename is atomic too, only the race of two first starts is not settled.
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      written = fail(ErrorCode::kResourceExhausted, "{}", std::strerror(errno));
    }
  }
  ::unlink(temporary.c_str());
  if (!written) return std::unexpected(std::move(written).error().with_context("cannot write " + path.string()));
  return {};
}

Result<std::string> read_key_file(const fs::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const auto code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kPermissionDenied;
    return fail(code, "cannot read {}: {}", path.string(), std::strerror(errno));
  }
  struct stat info {};
  if (::fstat(file, &info) == 0 && (info.st_mode & 0077) != 0) {
    log_warning("net", "{} could be read by other users; its mode is now 0600", path.string());
    if (::fchmod(file, 0600) != 0) log_warning("net", "chmod {}: {}", path.string(), std::strerror(errno));
  }
  std::string text(kMaxIdentityFileBytes, '\0');
  const ssize_t n = ::read(file, text.data(), text.size());
  ::close(file);
  if (n < 0) return fail(ErrorCode::kCorrupt, "cannot read {}: {}", path.string(), std::strerror(errno));
  text.resize(static_cast<size_t>(n));
  return text;
}

Result<std::shared_ptr<EVP_PKEY>> parse_key(const std::string& text) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
                                                BIO_free);
  // An empty pass phrase instead of OpenSSL's question on the terminal.
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>(""));
  if (key == nullptr) return fail(ErrorCode::kCorrupt, "not a private key: {}", openssl_errors());
  return own(key);
}

// A certificate carries the key through TLS and says nothing else: fixed name, no real dates.
Result<std::shared_ptr<X509>> self_signed(EVP_PKEY* key) {
  std::shared_ptr<X509> certificate(X509_new(), X509_free);
  X509_NAME* name = certificate ? X509_get_subject_name(certificate.get()) : nullptr;
  const auto* common_name = reinterpret_cast<const unsigned char*>("exo node");
  const bool ok = name != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1) == 1 &&
                  ASN1_TIME_set_string(X509_getm_notBefore(certificate.get()), "20000101000000Z") == 1 &&
                  ASN1_TIME_set_string(X509_getm_notAfter(certificate.get()), "99991231235959Z") == 1 &&
                  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common_name, -1, -1, 0) == 1 &&
                  X509_set_issuer_name(certificate.get(), name) == 1 &&
                  X509_set_pubkey(certificate.get(), key) == 1 && X509_sign(certificate.get(), key, nullptr) > 0;
  if (!ok) return fail(ErrorCode::kInternal, "cannot make a certificate: {}", openssl_errors());
  return certificate;
}

}  // namespace

std::optional<NodeId> node_id_of(EVP_PKEY* public_key) {
  if (public_key == nullptr || EVP_PKEY_get_base_id(public_key) != EVP_PKEY_ED25519) return std::nullopt;
  std::array<std::byte, 32> raw;
  size_t size = raw.size();
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  if (EVP_PKEY_get_raw_public_key(public_key, out, &size) != 1 || size != raw.size()) return std::nullopt;
  return NodeId{sha256(raw)};
}

Result<Identity> Identity::from_key(std::shared_ptr<EVP_PKEY> key) {
  const auto id = node_id_of(key.get());
  if (!id) return fail(ErrorCode::kCorrupt, "not an Ed25519 key");
  Identity identity;
  identity.id_ = *id;
  EXO_TRY(identity.certificate_, self_signed(key.get()));
  identity.key_ = std::move(key);
  return identity;
}

Result<Identity> Identity::generate() {
  EXO_TRY(auto key, generate_key());
  return from_key(std::move(key));
}

Result<Identity> Identity::load_or_create(const fs::path& data_dir) {
  std::error_code error;
  fs::create_directories(data_dir, error);
  if (error) {
    return fail(ErrorCode::kPermissionDenied, "cannot make the data folder {}: {}", data_dir.string(),
                error.message());
  }
  const fs::path path = data_dir / "identity.pem";
  auto text = read_key_file(path);
  if (!text && text.error().code == ErrorCode::kNotFound) {
    EXO_TRY(auto fresh, generate_key());
    EXO_TRY(const auto pem, to_pem(fresh.get()));
    EXO_CHECK_OK(publish_file(path, pem));
    text = read_key_file(path);
  }
  if (!text) return std::unexpected(std::move(text).error());
  auto key = parse_key(*text);
  if (!key) {
    return fail(ErrorCode::kCorrupt, "{} does not hold this node's key ({}); move it away to get a new identity",
                path.string(), key.error().message);
  }
  return from_key(std::move(*key));
}

}  // namespace exo::net

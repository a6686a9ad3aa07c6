#include "net/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace exo::net {

namespace asio = boost::asio;

namespace {

// Replaces OpenSSL's chain building. That the other end has the certificate's key is proven by TLS itself
// (CertificateVerify); here only the form is judged: one self-signed Ed25519 certificate.
int verify_certificate(X509_STORE_CTX* context, void*) {
  X509* certificate = X509_STORE_CTX_get0_cert(context);
  EVP_PKEY* key = certificate ? X509_get0_pubkey(certificate) : nullptr;
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_untrusted(context);
  const bool ok = node_id_of(key).has_value() && (chain == nullptr || sk_X509_num(chain) <= 1) &&
                  X509_verify(certificate, key) == 1;
  X509_STORE_CTX_set_error(context, ok ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
  return ok ? 1 : 0;
}

}  // namespace

Result<std::shared_ptr<asio::ssl::context>> make_tls_context(const Identity& identity) {
  try {
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tlsv13);
    SSL_CTX* native = context->native_handle();
    const bool ok = SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_max_proto_version(native, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(native, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
                    SSL_CTX_set1_groups_list(native, "X25519") == 1 &&
                    SSL_CTX_set1_sigalgs_list(native, "ed25519") == 1 &&
                    SSL_CTX_use_certificate(native, identity.certificate()) == 1 &&
                    SSL_CTX_use_PrivateKey(native, identity.key()) == 1 && SSL_CTX_check_private_key(native) == 1 &&
                    SSL_CTX_set_num_tickets(native, 0) == 1;
    if (!ok) return fail(ErrorCode::kInternal, "cannot set up TLS: {}", openssl_errors());
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_max_cert_list(native, 4096);
    SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_cert_verify_callback(native, verify_certificate, nullptr);
    return context;
  } catch (const std::exception& error) {
    return fail(ErrorCode::kInternal, "cannot set up TLS: {}", error.what());
  }
}

Result<NodeId> tls_peer(TlsStream& stream) {
  X509* certificate = SSL_get0_peer_certificate(stream.native_handle());
  const auto id = certificate ? node_id_of(X509_get0_pubkey(certificate)) : std::nullopt;
  if (!id) return fail(ErrorCode::kPermissionDenied, "the other end showed no Ed25519 certificate");
  return *id;
}

Result<Digest> tls_channel_key(TlsStream& stream) {
  constexpr std::string_view kLabel = "EXPORTER-exo-channel-v1";
  Digest key;
  if (SSL_export_keying_material(stream.native_handle(), key.data(), key.size(), kLabel.data(), kLabel.size(),
                                 nullptr, 0, 0) != 1) {
    return fail(ErrorCode::kInternal, "no channel key: {}", openssl_errors());
  }
  return key;
}

}  // namespace exo::net

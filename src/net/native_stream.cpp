#include "net/native_stream.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

namespace exo::net {
namespace {

class NativeStream final : public GroupStream {
 public:
  NativeStream(SSL* ssl, int descriptor) : ssl_(ssl), descriptor_(descriptor) {}
  ~NativeStream() override {
    SSL_free(ssl_);
    ::close(descriptor_);
  }

  Result<size_t> read(std::span<std::byte> to) override {
    size_t done = 0;
    ERR_clear_error();
    const int ok = SSL_read_ex(ssl_, to.data(), to.size(), &done);
    return outcome(ok, done);
  }
  Result<size_t> write(std::span<const std::byte> from) override {
    size_t done = 0;
    ERR_clear_error();
    const int ok = SSL_write_ex(ssl_, from.data(), from.size(), &done);
    return outcome(ok, done);
  }
  int descriptor() const override { return descriptor_; }

 private:
  Result<size_t> outcome(int ok, size_t done) {
    if (ok == 1) return done;
    const int error = SSL_get_error(ssl_, ok);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return size_t{0};
    return fail(ErrorCode::kUnavailable, "the other member went away");
  }

  SSL* const ssl_;
  const int descriptor_;
};

}  // namespace

Result<std::unique_ptr<GroupStream>> take_stream(WebSocket& channel) {
  constexpr size_t kReadBufferBytes = 64 << 10;
  SSL* ssl = channel.next_layer().native_handle();
  boost::system::error_code error;
  const int descriptor = socket_of(channel).release(error);
  if (error) return fail(ErrorCode::kUnavailable, "{}", error.message());
  BIO* socket = BIO_new_socket(descriptor, BIO_NOCLOSE);
  if (socket == nullptr || ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK) != 0) {
    BIO_free(socket);
    ::close(descriptor);
    return fail(ErrorCode::kUnavailable, "no stream on the socket");
  }
  SSL_up_ref(ssl);
  SSL_set_bio(ssl, socket, socket);  // instead of the pair through which Asio fed it
  SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_clear_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
  SSL_set_read_ahead(ssl, 1);  // header and body of a record with one call of the system
  SSL_set_default_read_buffer_len(ssl, kReadBufferBytes);
  return std::make_unique<NativeStream>(ssl, descriptor);
}

}  // namespace exo::net

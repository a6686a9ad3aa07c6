#pragma once
// Errors as values. Every fallible function of the project returns Result<T>.

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"

namespace exo {

// Chosen by what the caller does next, not by where the error arose. One table (error_table in api and ring) maps
// each code to an HTTP status and to the ring's reaction.
enum class ErrorCode {
  kInvalidArgument,    // the request is wrong; repeating it will not help
  kNotFound,           // the named thing does not exist
  kPermissionDenied,   // key, secret or identity refused
  kCorrupt,            // a file or a message is malformed
  kUnsupported,        // well-formed, but this build or version cannot do it
  kResourceExhausted,  // memory, disk, slots or queue are full; may pass
  kUnavailable,        // a peer or an epoch is gone; wait for the next one
  kDeadlineExceeded,   // a wait reached its deadline
  kCancelled,          // the caller gave up
  kInternal,           // a defect of this program
};

std::string_view to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // for a person: what is wrong and, where known, what to do

  // The same error with `context: ` in front of its message.
  Error with_context(std::string_view context) &&;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// fail(ErrorCode::kCorrupt, "tensor {} ends at byte {}", name, end) → an unexpected value for any Result<T>.
template <typename... Args>
std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
  return std::unexpected(Error{code, fmt::format(text, std::forward<Args>(args)...)});
}

}  // namespace exo

#define EXO_CONCAT_INNER(a, b) a##b
#define EXO_CONCAT(a, b) EXO_CONCAT_INNER(a, b)

// EXO_TRY(auto file, GgufFile::open(path)); declares or assigns the value, or returns the error.
#define EXO_TRY(target, expression) EXO_TRY_IMPL(EXO_CONCAT(exo_try_, __LINE__), target, expression)
#define EXO_TRY_IMPL(result, target, expression)                  \
  auto result = (expression);                                     \
  if (!result) return std::unexpected(std::move(result).error()); \
  target = std::move(*result)

// EXO_CHECK_OK(write(…)); returns the error of a Status.
#define EXO_CHECK_OK(expression)                                                                            \
  do {                                                                                                      \
    if (auto exo_status = (expression); !exo_status) return std::unexpected(std::move(exo_status).error()); \
  } while (false)

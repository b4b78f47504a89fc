// Conditional requests (RFC 9110 §13) over berth's ETags, which are quoted digests.
#pragma once

#include <string>
#include <string_view>

#include "api/http.h"
#include "oci/digest.h"
#include "registry/registry.h"

namespace berth::api {

std::string etag(const oci::Digest& digest);

enum class ReadCondition : std::uint8_t {
  proceed,
  not_modified,  ///< 304: the client has it
  failed,        ///< 412: the client wants something else
};

/// If-Match, then If-None-Match, as the RFC orders them. Tags are accepted without quotes, as container clients send
/// both forms; `*` matches whatever exists.
ReadCondition check_read(const Headers& headers, const oci::Digest& current);

/// May a Range be honoured? Without If-Range yes; with it only when it names `current`.
bool range_applies(const Headers& headers, const oci::Digest& current);

/// What a write of a tag or manifest asks for. Errors: request_invalid (If-None-Match with anything but `*`, which no
/// write can mean).
Result<registry::Precondition> write_precondition(const Headers& headers);

}  // namespace berth::api

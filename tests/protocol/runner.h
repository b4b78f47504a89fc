// Plays a transcript against a server of its own and compares every reply.
//
// A reply must be the one in the file, byte by byte, but for the fields that every reply has. Those are checked and
// left out: Date (present once), X-Request-Id (a uuid), X-Content-Type-Options, Content-Security-Policy and, below
// /v2/, Docker-Distribution-API-Version. A reply that the server made before it knew a request (a head it refused) has
// Date alone; where the file shows a field, the reply is taken whole.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::test {

struct Played {
  std::vector<std::string> failures;  ///< each with the line of the file
  std::string rewritten;              ///< the file with the replies as they came
  std::size_t replies = 0;            ///< that were compared
};

/// `exact`: what is rewritten has {{any}} and {{digits}} replaced by what came. `tls`: all of it over TLS.
Played play(std::string_view transcript, bool exact = false, bool tls = false);

}  // namespace berth::test

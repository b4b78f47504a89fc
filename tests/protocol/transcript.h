// A transcript: requests as they go over the wire, replies as they must come back, one file a behaviour.
//
//   # a comment; the first ones say which rule the file shows
//   option deletion off            how the server is set up (test_server.h); before everything else
//   let config = {"a":1}           a variable
//   --- blob REPO NAME             push the value of a variable as a blob (setting the scene: anything but 201 fails)
//   --- manifest REPO REFERENCE NAME [TYPE]
//   --- wait 100                   let milliseconds pass; --- advance 25 moves the server's clock by hours instead
//   --- disk full|free             the disk; --- draining: the server is being stopped
//   --- close [CONNECTION]         hang up; --- finish [CONNECTION] half-closes
//   --- cut [CONNECTION]           the reply breaks off
//   >>> [CONNECTION]               a request: lines end in CR LF, {{length}} is the size of its body, which is what
//   GET /v2/ HTTP/1.1              follows the empty line, without the line feed at its end
//   Host: localhost
//
//   >>> raw [CONNECTION]           bytes: escapes count (\r \n \xNN), and lines are simply put together
//   <<< [CONNECTION]               the reply: all of it, but for the header fields that every reply has (runner.h)
//   HTTP/1.1 200 OK
//   Content-Length: 2
//
//   {}
//   <<< closed [CONNECTION]        the server hangs up and has nothing more to say
//   <<< silence [CONNECTION]       nothing comes for a while
//
// A connection is opened when it is first used and again when it was closed; without a name it is called main.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::test {

struct Step {
  enum class Kind { option, let, act, request, reply, closed, silence } kind = Kind::act;
  std::size_t line = 0;  ///< of the file, from 1
  std::vector<std::string> words = {};  ///< of the line that begins it, without the mark
  std::string connection = "main";
  bool raw = false;
  std::string head = {};  ///< lines joined with '\n'; all of it for a raw request; the value for `let`
  std::string body = {};
  // Where the block's text lies in the file, so that it can be rewritten: [first, last) of the lines, from 0.
  std::size_t text_begin = 0;
  std::size_t text_end = 0;
};

struct Transcript {
  std::vector<std::string> lines;
  std::vector<Step> steps;
};

/// Errors: request_invalid with the line.
Result<Transcript> parse_transcript(std::string_view text);

}  // namespace berth::test

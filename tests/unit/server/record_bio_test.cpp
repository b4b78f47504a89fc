#include "server/record_bio.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>

using namespace berth;
using namespace berth::server;

namespace {

/// Two ends, neither waits, and the first takes little before somebody reads.
struct Ends {
  Ends() {
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both.data()) == 0);
    const int small = 4096;
    ::setsockopt(both[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  }
  ~Ends() {
    ::close(both[0]);
    if (both[1] >= 0) ::close(both[1]);
  }
  std::string read() const {
    std::string all;
    std::array<char, 65536> piece{};
    for (ssize_t got = 0; (got = ::read(both[1], piece.data(), piece.size())) > 0;) {
      all.append(piece.data(), static_cast<std::size_t>(got));
    }
    return all;
  }
  void hang_up() {
    ::close(both[1]);
    both[1] = -1;
  }
  std::array<int, 2> both{-1, -1};
};

bool put(BIO& bio, const std::string& bytes) {
  std::size_t written = 0;
  return BIO_write_ex(&bio, bytes.data(), bytes.size(), &written) == 1 && written == bytes.size();
}

/// A record that nothing else looks like.
std::string record(char letter) { return std::string(16'401, letter); }

}  // namespace

TEST_CASE("record bio: without a batch each write goes to the socket at once") {
  const Ends ends;
  RecordBio records(ends.both[0]);
  const BioPtr bio = records.make_bio();
  REQUIRE(bio);
  CHECK(put(*bio, "hello"));
  CHECK(ends.read() == "hello");
  CHECK(BIO_flush(bio.get()) == 1);
}

TEST_CASE("record bio: the records of a batch leave together, in order") {
  const Ends ends;
  RecordBio records(ends.both[0]);
  const BioPtr bio = records.make_bio();
  records.begin_batch();
  CHECK(put(*bio, "one "));
  CHECK(put(*bio, "two"));
  CHECK(ends.read().empty());
  CHECK(records.end_batch() == RecordBio::Outcome::done);
  CHECK(records.empty());
  CHECK(ends.read() == "one two");
}

TEST_CASE("record bio: a batch has room for four records") {
  const Ends ends;
  RecordBio records(ends.both[0]);
  const BioPtr bio = records.make_bio();
  records.begin_batch();
  int taken = 0;
  for (; records.has_room(); ++taken) REQUIRE(put(*bio, record('a')));
  CHECK(taken == 4);
}

TEST_CASE("record bio: what the socket does not take is kept and goes first") {
  const Ends ends;
  RecordBio records(ends.both[0]);
  const BioPtr bio = records.make_bio();
  std::string sent;
  records.begin_batch();
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    REQUIRE(put(*bio, record(letter)));
    sent += record(letter);
  }
  REQUIRE(records.end_batch() == RecordBio::Outcome::blocked);
  CHECK_FALSE(records.empty());

  // Nothing overtakes it: an alert waits.
  CHECK_FALSE(put(*bio, "alert"));
  CHECK(BIO_should_retry(bio.get()));
  CHECK(BIO_should_write(bio.get()));

  std::string got = ends.read();
  CHECK(got.size() + records.unsent() == sent.size());
  while (records.flush() == RecordBio::Outcome::blocked) got += ends.read();
  got += ends.read();
  CHECK(got == sent);
  CHECK(records.unsent() == 0);
  CHECK(put(*bio, "alert"));
  CHECK(ends.read() == "alert");
}

TEST_CASE("record bio: a peer that is gone is told from one that is slow") {
  Ends ends;
  RecordBio records(ends.both[0]);
  const BioPtr bio = records.make_bio();
  ends.hang_up();
  records.begin_batch();
  REQUIRE(put(*bio, "late"));
  CHECK(records.end_batch() == RecordBio::Outcome::broken);
  CHECK_FALSE(put(*bio, "later"));
  CHECK_FALSE(BIO_should_retry(bio.get()));
}

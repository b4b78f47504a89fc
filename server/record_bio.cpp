#include "server/record_bio.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace berth::server {
namespace {

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

/// The open batch of this thread. One is enough: a batch ends before its thread does anything else.
std::vector<std::byte>& batch() {
  thread_local std::vector<std::byte> bytes = [] {
    std::vector<std::byte> made;
    made.reserve(RecordBio::kBatchBytesMax);
    return made;
  }();
  return bytes;
}

}  // namespace

struct RecordBio::Method {
  static RecordBio& self(BIO* bio) { return *static_cast<RecordBio*>(BIO_get_data(bio)); }

  static int write(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
    RecordBio& records = self(bio);
    const auto bytes = std::as_bytes(std::span(data, size));
    BIO_clear_retry_flags(bio);
    *written = 0;
    if (records.gathering_ && batch().size() + size <= kBatchBytesMax) {
      batch().insert(batch().end(), bytes.begin(), bytes.end());
      *written = size;
      return 1;
    }
    // An alert or an answer to the peer's key update comes after what is still to be sent.
    const Outcome before = records.flush();
    const auto sent = before == Outcome::done ? records.send(bytes) : -1;
    if (sent >= 0) {
      *written = static_cast<std::size_t>(sent);
      return 1;
    }
    if (before == Outcome::blocked || (before == Outcome::done && would_block(errno))) BIO_set_retry_write(bio);
    return -1;
  }

  static long control(BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* get() {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "records");
      if (made != nullptr) {
        BIO_meth_set_write_ex(made, &Method::write);
        BIO_meth_set_ctrl(made, &Method::control);
      }
      return made;
    }();
    return method;
  }
};

BioPtr RecordBio::make_bio() {
  const BIO_METHOD* method = Method::get();
  BioPtr bio(method != nullptr ? BIO_new(method) : nullptr);
  if (!bio) return bio;
  BIO_set_data(bio.get(), this);
  BIO_set_init(bio.get(), 1);
  return bio;
}

std::ptrdiff_t RecordBio::send(std::span<const std::byte> bytes) {
  return ::send(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

RecordBio::Outcome RecordBio::flush() {
  while (left_at_ < left_.size()) {
    const auto sent = send(std::span(left_).subspan(left_at_));
    if (sent < 0) return would_block(errno) ? Outcome::blocked : Outcome::broken;
    left_at_ += static_cast<std::size_t>(sent);
  }
  if (!left_.empty()) {
    left_ = {};
    left_at_ = 0;
  }
  return Outcome::done;
}

void RecordBio::begin_batch() {
  batch().clear();
  gathering_ = true;
}

bool RecordBio::has_room() const { return batch().size() + kRecordBytesMax <= kBatchBytesMax; }

RecordBio::Outcome RecordBio::end_batch() {
  gathering_ = false;
  std::span<const std::byte> bytes = batch();
  while (!bytes.empty()) {
    const auto sent = send(bytes);
    if (sent < 0 && !would_block(errno)) return Outcome::broken;
    if (sent < 0) break;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  left_.assign(bytes.begin(), bytes.end());
  left_at_ = 0;
  return bytes.empty() ? Outcome::done : Outcome::blocked;
}

}  // namespace berth::server

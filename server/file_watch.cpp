#include "server/file_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>

namespace berth::server {
namespace {

/// The folder whose entries change when the file does.
std::string folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

}  // namespace

FileWatch::FileWatch() : changes_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {}

void FileWatch::add(const std::string& file) {
  if (file.empty() || !changes_) return;
  (void)::inotify_add_watch(changes_.get(), folder_of(file).c_str(),
                            IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
}

void FileWatch::drain() const {
  std::array<char, 4096> events;
  while (::read(changes_.get(), events.data(), events.size()) > 0) {
  }
}

}  // namespace berth::server

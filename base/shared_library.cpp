#include "base/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "base/log.h"

namespace berth {

const std::string& SharedLibrary::load() {
  std::call_once(once_, [this] {
    handle_ = ::dlopen(name_, RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) {
      const char* why = ::dlerror();
      problem_ = why != nullptr ? why : std::string(name_) + " cannot be loaded";
    }
  });
  return problem_;
}

void* SharedLibrary::find(const char* symbol) {
  void* found = load().empty() ? ::dlsym(handle_, symbol) : nullptr;
  if (found != nullptr) return found;
  log::error("a shared library is not what berth was built for",
             {{"library", name_}, {"function", symbol}, {"error", problem_}});
  log::flush();
  std::abort();
}

}  // namespace berth

// A shared library that is loaded when it is first needed: who never asks anybody over HTTP or a directory pays neither
// memory nor start time for libcurl, libldap and the thirty libraries behind them.
//
// How it is used: one .cpp defines the library's own functions, which forward to it (curl_on_demand.cpp,
// auth/ldap_on_demand.cpp). Callers include the library's header and call as ever; berth is not linked to it.
#pragma once

#include <mutex>
#include <string>

namespace berth {

/// Thread-safe. Meant to live as long as the process: it never unloads.
class SharedLibrary {
 public:
  /// `name` as the dynamic linker knows it: "libcurl.so.4".
  explicit SharedLibrary(const char* name) : name_(name) {}
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  /// Empty: it is loaded. Else why it cannot be, the same each time.
  const std::string& load();

  /// One of its functions; the first argument only tells the type. Ends the process when the library or the function is
  /// not there: ask load() before the first use.
  template <class Function>
  Function* function(Function*, const char* symbol) {
    return reinterpret_cast<Function*>(find(symbol));
  }

 private:
  void* find(const char* symbol);

  const char* name_;
  std::once_flag once_;
  void* handle_ = nullptr;
  std::string problem_;
};

/// libcurl. Ask its load() before curl_global_init().
SharedLibrary& libcurl();

}  // namespace berth

// The functions of libcurl that berth calls, forwarded to the library once it is needed (shared_library.h). The
// library's header declares them: a wrong type here does not compile.
// curl.h wraps these three in checking macros; what is defined here are the functions behind.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include <cstdarg>

#include "base/shared_library.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

namespace berth {

SharedLibrary& libcurl() {
  static SharedLibrary library(BERTH_LIBCURL);
  return library;
}

}  // namespace berth

using berth::libcurl;

namespace {

/// What libcurl expects an option's argument to be is part of its number.
template <class Set, class Handle, class Option>
auto set_option(Set* set, Handle* handle, Option option, va_list arguments) {
  const int kind = static_cast<int>(option) / 10000 * 10000;
  if (kind == CURLOPTTYPE_LONG) return set(handle, option, va_arg(arguments, long));
  if (kind == CURLOPTTYPE_OFF_T) return set(handle, option, va_arg(arguments, curl_off_t));
  return set(handle, option, va_arg(arguments, void*));  // an object, a function or a blob
}

}  // namespace

// libcurl's own signatures name an enumeration before the dots.
#pragma clang diagnostic ignored "-Wvarargs"

extern "C" {

CURLcode curl_global_init(long flags) { return libcurl().function(&curl_global_init, "curl_global_init")(flags); }

CURL* curl_easy_init() { return libcurl().function(&curl_easy_init, "curl_easy_init")(); }
void curl_easy_cleanup(CURL* easy) { libcurl().function(&curl_easy_cleanup, "curl_easy_cleanup")(easy); }
CURLcode curl_easy_perform(CURL* easy) { return libcurl().function(&curl_easy_perform, "curl_easy_perform")(easy); }
const char* curl_easy_strerror(CURLcode code) {
  return libcurl().function(&curl_easy_strerror, "curl_easy_strerror")(code);
}
CURLcode curl_easy_setopt(CURL* easy, CURLoption option, ...) {
  va_list arguments;
  va_start(arguments, option);
  const CURLcode code = set_option(libcurl().function(&curl_easy_setopt, "curl_easy_setopt"), easy, option, arguments);
  va_end(arguments);
  return code;
}
CURLcode curl_easy_getinfo(CURL* easy, CURLINFO info, ...) {
  va_list arguments;
  va_start(arguments, info);
  void* answer = va_arg(arguments, void*);
  va_end(arguments);
  return libcurl().function(&curl_easy_getinfo, "curl_easy_getinfo")(easy, info, answer);
}

CURLM* curl_multi_init() { return libcurl().function(&curl_multi_init, "curl_multi_init")(); }
CURLMcode curl_multi_cleanup(CURLM* multi) {
  return libcurl().function(&curl_multi_cleanup, "curl_multi_cleanup")(multi);
}
CURLMcode curl_multi_add_handle(CURLM* multi, CURL* easy) {
  return libcurl().function(&curl_multi_add_handle, "curl_multi_add_handle")(multi, easy);
}
CURLMcode curl_multi_remove_handle(CURLM* multi, CURL* easy) {
  return libcurl().function(&curl_multi_remove_handle, "curl_multi_remove_handle")(multi, easy);
}
CURLMcode curl_multi_perform(CURLM* multi, int* running) {
  return libcurl().function(&curl_multi_perform, "curl_multi_perform")(multi, running);
}
CURLMcode curl_multi_poll(CURLM* multi, curl_waitfd extra[], unsigned count, int timeout_ms, int* ready) {
  return libcurl().function(&curl_multi_poll, "curl_multi_poll")(multi, extra, count, timeout_ms, ready);
}
CURLMcode curl_multi_wakeup(CURLM* multi) { return libcurl().function(&curl_multi_wakeup, "curl_multi_wakeup")(multi); }
CURLMsg* curl_multi_info_read(CURLM* multi, int* left) {
  return libcurl().function(&curl_multi_info_read, "curl_multi_info_read")(multi, left);
}
CURLMcode curl_multi_setopt(CURLM* multi, CURLMoption option, ...) {
  va_list arguments;
  va_start(arguments, option);
  const CURLMcode code =
      set_option(libcurl().function(&curl_multi_setopt, "curl_multi_setopt"), multi, option, arguments);
  va_end(arguments);
  return code;
}

curl_slist* curl_slist_append(curl_slist* list, const char* line) {
  return libcurl().function(&curl_slist_append, "curl_slist_append")(list, line);
}
void curl_slist_free_all(curl_slist* list) {
  if (list != nullptr) libcurl().function(&curl_slist_free_all, "curl_slist_free_all")(list);
}

}  // extern "C"

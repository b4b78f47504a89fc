#include "auth/ldap_watch.h"

#include <lber.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace berth::auth {

struct LdapWatch::Layer {
  static LdapWatch& watch(Sockbuf_IO_Desc* layer) { return *static_cast<LdapWatch*>(layer->sbiod_pvt); }

  /// Errors: ETIMEDOUT in errno, which neither libldap nor its TLS takes for a reason to try again.
  static bool wait(Sockbuf_IO_Desc* layer, short event) {
    ber_socket_t descriptor = -1;
    ber_sockbuf_ctrl(layer->sbiod_sb, LBER_SB_OPT_GET_FD, &descriptor);
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(watch(layer).deadline_ -
                                                                     std::chrono::steady_clock::now());
      pollfd one{.fd = descriptor, .events = event, .revents = 0};
      const auto time = std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, 3'600'000);
      const int ready = left.count() <= 0 ? 0 : ::poll(&one, 1, static_cast<int>(time));
      if (ready > 0) return true;
      if (ready < 0 && errno == EINTR) continue;
      if (ready == 0) errno = ETIMEDOUT;
      return false;
    }
  }
  static ber_slen_t read(Sockbuf_IO_Desc* layer, void* buffer, ber_len_t size) {
    for (;;) {
      if (!wait(layer, POLLIN)) return -1;
      const ber_slen_t count = LBER_SBIOD_READ_NEXT(layer, buffer, size);
      if (count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return count;
    }
  }
  static ber_slen_t write(Sockbuf_IO_Desc* layer, void* buffer, ber_len_t size) {
    for (;;) {
      if (!wait(layer, POLLOUT)) return -1;
      const ber_slen_t count = LBER_SBIOD_WRITE_NEXT(layer, buffer, size);
      if (count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return count;
    }
  }
  static int set_up(Sockbuf_IO_Desc* layer, void* argument) {
    layer->sbiod_pvt = argument;
    return 0;
  }
  static int nothing(Sockbuf_IO_Desc*) { return 0; }
  static int control(Sockbuf_IO_Desc* layer, int option, void* argument) {
    return LBER_SBIOD_CTRL_NEXT(layer, option, argument);
  }

  static int connected(LDAP*, Sockbuf* socket, LDAPURLDesc*, sockaddr*, ldap_conncb* callback) {
    static Sockbuf_IO calls{&set_up, &nothing, &control, &read, &write, &nothing};
    return ber_sockbuf_add_io(socket, &calls, LBER_SBIOD_LEVEL_TRANSPORT, callback->lc_arg);
  }
  static void closing(LDAP*, Sockbuf*, ldap_conncb*) {}
};

LdapWatch::LdapWatch() : callback_{&Layer::connected, &Layer::closing, this} {}

bool LdapWatch::attach(ldap* handle) {
  return ldap_set_option(handle, LDAP_OPT_CONNECT_CB, &callback_) == LDAP_OPT_SUCCESS;
}

}  // namespace berth::auth

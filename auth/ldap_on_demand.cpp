// The functions of libldap and liblber that berth calls, forwarded to the libraries once they are needed. Their headers
// declare them: a wrong type here does not compile.
#include "auth/ldap_on_demand.h"

#include <lber.h>
#include <ldap.h>

namespace berth::auth {

SharedLibrary& libldap() {
  static SharedLibrary library(BERTH_LIBLDAP);
  return library;
}

namespace {
SharedLibrary& liblber() {
  static SharedLibrary library(BERTH_LIBLBER);
  return library;
}
}  // namespace

}  // namespace berth::auth

using berth::auth::liblber;
using berth::auth::libldap;

extern "C" {

char ber_pvt_opt_on = 1;  // LDAP_OPT_ON is its address; all libldap asks is that it is not null

int ber_sockbuf_ctrl(Sockbuf* socket, int option, void* argument) {
  return liblber().function(&ber_sockbuf_ctrl, "ber_sockbuf_ctrl")(socket, option, argument);
}
int ber_sockbuf_add_io(Sockbuf* socket, Sockbuf_IO* calls, int layer, void* argument) {
  return liblber().function(&ber_sockbuf_add_io, "ber_sockbuf_add_io")(socket, calls, layer, argument);
}

int ldap_initialize(LDAP** handle, const char* url) {
  return libldap().function(&ldap_initialize, "ldap_initialize")(handle, url);
}
int ldap_connect(LDAP* handle) { return libldap().function(&ldap_connect, "ldap_connect")(handle); }
int ldap_get_option(LDAP* handle, int option, void* value) {
  return libldap().function(&ldap_get_option, "ldap_get_option")(handle, option, value);
}
int ldap_set_option(LDAP* handle, int option, const void* value) {
  return libldap().function(&ldap_set_option, "ldap_set_option")(handle, option, value);
}
int ldap_start_tls_s(LDAP* handle, LDAPControl** server, LDAPControl** client) {
  return libldap().function(&ldap_start_tls_s, "ldap_start_tls_s")(handle, server, client);
}
int ldap_sasl_bind_s(LDAP* handle, const char* dn, const char* mechanism, berval* credential, LDAPControl** server,
                     LDAPControl** client, berval** answer) {
  return libldap().function(&ldap_sasl_bind_s, "ldap_sasl_bind_s")(handle, dn, mechanism, credential, server, client,
                                                                   answer);
}
int ldap_search_ext_s(LDAP* handle, const char* base, int scope, const char* filter, char** attributes, int types_only,
                      LDAPControl** server, LDAPControl** client, timeval* timeout, int size_max,
                      LDAPMessage** answer) {
  return libldap().function(&ldap_search_ext_s, "ldap_search_ext_s")(
      handle, base, scope, filter, attributes, types_only, server, client, timeout, size_max, answer);
}
int ldap_unbind_ext_s(LDAP* handle, LDAPControl** server, LDAPControl** client) {
  return libldap().function(&ldap_unbind_ext_s, "ldap_unbind_ext_s")(handle, server, client);
}
LDAPMessage* ldap_first_entry(LDAP* handle, LDAPMessage* answer) {
  return libldap().function(&ldap_first_entry, "ldap_first_entry")(handle, answer);
}
LDAPMessage* ldap_next_entry(LDAP* handle, LDAPMessage* entry) {
  return libldap().function(&ldap_next_entry, "ldap_next_entry")(handle, entry);
}
char* ldap_get_dn(LDAP* handle, LDAPMessage* entry) {
  return libldap().function(&ldap_get_dn, "ldap_get_dn")(handle, entry);
}
berval** ldap_get_values_len(LDAP* handle, LDAPMessage* entry, const char* attribute) {
  return libldap().function(&ldap_get_values_len, "ldap_get_values_len")(handle, entry, attribute);
}
void ldap_value_free_len(berval** values) { libldap().function(&ldap_value_free_len, "ldap_value_free_len")(values); }
void ldap_memfree(void* memory) { libldap().function(&ldap_memfree, "ldap_memfree")(memory); }
int ldap_msgfree(LDAPMessage* message) { return libldap().function(&ldap_msgfree, "ldap_msgfree")(message); }
char* ldap_err2string(int code) { return libldap().function(&ldap_err2string, "ldap_err2string")(code); }

}  // extern "C"

"""A real LDAP directory (slapd) with StartTLS, for a test."""

import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Failure, Skip, run

SLAPD = "/usr/sbin/slapd"
BASE = "dc=example,dc=org"
SEARCHER, SEARCHER_PASSWORD = f"cn=berth,{BASE}", "may look for users"


class Directory:
    """`users` by name with a password each, `groups` by name with their members. The certificate is for
    127.0.0.1."""

    def __init__(self, folder, users, groups, ca, certificate, key):
        if not os.path.exists(SLAPD):
            raise Skip("slapd is not here")
        self.folder = folder
        os.makedirs(os.path.join(folder, "data"))
        settings = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "nis", "inetorgperson"))
        settings += (f"modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {folder}/pid\nargsfile {folder}/args\n"
                     f"TLSCACertificateFile {ca}\nTLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n"
                     "security simple_bind=128\n"  # passwords over TLS alone
                     f'database mdb\nmaxsize 16777216\nsuffix "{BASE}"\ndirectory {folder}/data\n'
                     "access to attrs=userPassword by anonymous auth by * none\n"
                     f'access to * by dn.exact="{SEARCHER}" read by anonymous auth by * none\n')
        entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n",
                   f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n",
                   f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups\n",
                   f"dn: {SEARCHER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: berth\n"
                   f"userPassword: {SEARCHER_PASSWORD}\n"]
        entries += [f"dn: uid={name},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
                    f"userPassword: {password}\n" for name, password in users.items()]
        entries += [f"dn: cn={name},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {name}\n"
                    + "".join(f"member: uid={member},ou=people,{BASE}\n" for member in members) for name, members in groups.items()]
        for name, text in (("slapd.conf", settings), ("content.ldif", "\n".join(entries)), ("password", SEARCHER_PASSWORD)):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
            os.chmod(os.path.join(folder, name), 0o600)
        run(SLAPD, "-T", "add", "-f", os.path.join(folder, "slapd.conf"), "-l", os.path.join(folder, "content.ldif"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"ldap://127.0.0.1:{self.port}"  # libldap takes "localhost" for the machine's full name
        with open(os.path.join(folder, "log"), "ab") as log:
            self.process = subprocess.Popen([SLAPD, "-d", "0", "-f", os.path.join(folder, "slapd.conf"), "-h", self.url], stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise Failure("slapd does not start:\n" + open(os.path.join(folder, "log"), errors="replace").read()[-2000:])
            time.sleep(0.05)

    def settings(self, ca):
        """As berth's configuration has it."""
        return {"url": self.url, "start_tls": True, "ca": ca, "bind_dn": SEARCHER,
                "bind_password_file": os.path.join(self.folder, "password"), "user_base": f"ou=people,{BASE}",
                "user_filter": "(uid={user})", "group_base": f"ou=groups,{BASE}", "group_filter": "(member={dn})"}

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

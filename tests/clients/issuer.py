"""A real issuer of OpenID Connect: discovery and keys over https, and tokens signed with RS256 by openssl."""

import base64
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import run


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    def __init__(self, folder, kid):
        self.path, self.kid = os.path.join(folder, f"{kid}.pem"), kid
        run("openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)
        modulus = run("openssl", "rsa", "-in", self.path, "-noout", "-modulus").strip().removeprefix("Modulus=")
        self.jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}

    def jwt(self, claims):
        parts = [{"alg": "RS256", "kid": self.kid, "typ": "JWT"}, claims]
        text = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.path], input=text.encode(), check=True,
                                   stdout=subprocess.PIPE).stdout
        return f"{text}.{base64url(signature)}"


class Issuer:
    """`asked` counts the requests for each path, `parents` and `states` have traceparent and
    tracestate of the last one."""

    def __init__(self, folder, certificate, key):
        self.key = SigningKey(folder, "first")
        self.asked, self.parents, self.states = {}, {}, {}
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked[self.path] = issuer.asked.get(self.path, 0) + 1
                issuer.parents[self.path] = self.headers["traceparent"]
                issuer.states[self.path] = self.headers["tracestate"]
                document = issuer.documents().get(self.path)
                body = json.dumps(document or {"error": "not here"}).encode()
                self.send_response(200 if document else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def documents(self):
        return {"/.well-known/openid-configuration": {
                    "issuer": self.url, "jwks_uri": self.url + "/openid/v1/jwks", "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]},
                "/openid/v1/jwks": {"keys": [self.key.jwk]}}

    def service_account_token(self, namespace, name, audience, lifetime=3600, key=None, **more):
        """As a cluster projects it into a pod."""
        now = int(time.time())
        return (key or self.key).jwt(dict({
            "aud": [audience], "exp": now + lifetime, "iat": now, "nbf": now, "iss": self.url, "jti": base64url(os.urandom(12)),
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "kubernetes.io": {"namespace": namespace, "node": {"name": "node-1", "uid": "5a6b6ee0-6c7e-44e7-9f46-17b64e6dfd1b"},
                              "pod": {"name": f"{name}-0", "uid": "21dd7c4f-7ea5-4c0f-a2cd-0ce11a9cbda4"},
                              "serviceaccount": {"name": name, "uid": "f2f1a52e-4a2b-4c9a-8b9c-4d7a8f4cf7dd"}}}, **more))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

"""Where Alertmanager sends to in a test: what takes the place of Slack's webhook, and a mail server that keeps nothing."""

import email
import email.policy
import http.server
import json
import re
import socketserver
import threading

# What both ways begin a message with: the severity, or that all is well again; the alert; the instance.
HEADING = re.compile(r"(?:\[berth\] )?(critical|warning|resolved): (Berth\w+) ?(\S*)")
WAYS = ("slack", "mail")


class Heard:
    """Messages by way, alert and instance; of each kind the last one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.fired = {way: {} for way in WAYS}  # (alert, instance): (severity, text)
        self.resolved = {way: set() for way in WAYS}
        self.strange = []

    def tell(self, way, heading, text):
        found = HEADING.fullmatch(heading)
        with self.lock:
            if not found:
                self.strange.append(f"{way}: {heading}")
            elif found[1] == "resolved":
                self.resolved[way].add((found[2], found[3]))
            else:
                self.fired[way][found[2], found[3]] = (found[1], text)

    def everywhere(self):
        """(alert, instance) that came both ways."""
        with self.lock:
            return set(self.fired["slack"]) & set(self.fired["mail"])

    def over_everywhere(self):
        with self.lock:
            return self.resolved["slack"] & self.resolved["mail"]


def serve_slack(heard):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            note = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["attachments"][0]
            heard.tell("slack", note["title"].strip(), note["text"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    return start(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def serve_mail(heard):
    class Handler(socketserver.StreamRequestHandler):
        def say(self, line):
            self.wfile.write(line.encode() + b"\r\n")

        def handle(self):
            self.say("220 test")
            while line := self.rfile.readline():
                verb = line[:4].upper().strip()
                if verb == b"DATA":
                    self.say("354 go on")
                    lines = []
                    while (line := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(line)
                    message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                    heard.tell("mail", message["Subject"].strip(), message.get_body(("plain",)).get_content())
                    self.say("250 kept")
                elif verb == b"QUIT":
                    return self.say("221 bye")
                else:
                    self.say("250 test" if verb != b"EHLO" else "250 8BITMIME")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    return start(Server(("127.0.0.1", 0), Handler))


def start(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]

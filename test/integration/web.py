"""Servers of configurations: HTTP with and without TLS, and what may go
wrong with them."""

import hashlib
import http.server
import ssl
import threading
import time

import lib


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with self.server.web.lock:
            self.server.web.requests.append((self.path, dict(self.headers)))
            document = self.server.web.documents.get(self.path)
        if callable(document):
            document(self)
        elif document is None:
            self.answer(404, b"<html>not here</html>")
        else:
            self.document(document)

    def document(self, body):
        tag = '"%s"' % hashlib.sha256(body).hexdigest()[:16]
        if self.server.web.tags and self.headers["If-None-Match"] == tag:
            self.answer(304, None, ETag=tag)
        elif self.server.web.tags:
            self.answer(200, body, ETag=tag)
        else:
            self.answer(200, body)

    def answer(self, status, body=b"", length=None, **headers):
        with self.server.web.lock:
            self.server.web.statuses.append((self.path, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(
                len(body) if length is None else length))
        self.end_headers()
        if body:
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

    def log_message(self, *args):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass			# clients may leave whenever they like


class Web:
    """documents is {path: bytes or function of the handler}."""

    def __init__(self, documents=(), pair=None, tags=True):
        self.documents = {k: v.encode() if isinstance(v, str) else v
                          for k, v in dict(documents).items()}
        self.tags = tags
        self.requests, self.statuses = [], []
        self.lock = threading.Lock()
        self.port = lib.free_port()
        self.pair = pair
        self.scheme = "https" if pair else "http"
        self.server = None
        self.open()

    def open(self):
        self.server = Quiet(("127.0.0.1", self.port), Handler)
        self.server.web = self
        if self.pair:
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            c.load_cert_chain(str(self.pair.cert), str(self.pair.key))
            self.server.socket = c.wrap_socket(
                self.server.socket, server_side=True,
                do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def close(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
        self.server = None

    def put(self, path, body):
        with self.lock:
            self.documents[path] = body.encode() if isinstance(body, str) \
                else body

    def url(self, path="/relay.conf", credentials=""):
        return f"{self.scheme}://{credentials}127.0.0.1:{self.port}{path}"

    def count(self, path, status=None):
        with self.lock:
            return len([s for p, s in self.statuses if p == path and
                        status in (None, s)])


# ---- ways to answer

def redirect(to, status=302):
    return lambda h: h.answer(status, b"", Location=to)


def silent(handler):
    time.sleep(60)


def truncated(handler):
    handler.answer(200, b"id = spawnd { listen = { port = 1", length=1000)
    handler.close_connection = True


def large(handler):
    handler.answer(200, b"#" * (17 << 20))


def endless(handler):
    """No length is said, and no end comes."""
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    try:
        while True:
            handler.wfile.write(b"#" * 65536)
    except OSError:
        pass

#!/usr/bin/env python3
"""An Elasticsearch that misbehaves: real HTTP, and a bulk API that does what it is told.

fault_server.py PORT [CERTIFICATE KEY]

POST /fault?MODE[=N]  the next N answers (for ever without N) are of this mode; GET /documents: how many ids came, and
how many of the accepted bulks' documents; GET /requests: paths that were asked for.
"""
import gzip, json, socket, ssl, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
fault = {"mode": "none", "left": -1}
ids, requests, templates = {}, [], {}


def mode_now():
    with lock:
        if fault["left"] == 0:
            fault["mode"], fault["left"] = "none", -1
        if fault["left"] > 0:
            fault["left"] -= 1
        return fault["mode"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def other(self):
        path, _, query = self.path.partition("?")
        body = self.body()
        if path == "/fault":
            mode, _, n = query.partition("=")
            with lock:
                fault["mode"], fault["left"] = mode, int(n) if n else -1
            return self.answer(200, {"mode": mode})
        if path == "/documents":
            with lock:
                return self.answer(200, {"ids": len(ids), "most": max(ids.values(), default=0)})
        if path == "/requests":
            with lock:
                return self.answer(200, requests)
        with lock:
            requests.append({"path": path, "method": self.command, "authorization": self.headers.get("Authorization"),
                             "encoding": self.headers.get("Content-Encoding")})
        mode = mode_now()
        if mode == "redirect":
            return self.answer(302, b"", Location="http://169.254.169.254/latest")
        if mode == "html":
            return self.answer(200, b"<html>It works!</html>")
        if mode in ("401", "403", "429", "500", "502", "503", "504", "400", "404"):
            return self.answer(int(mode), {"error": {"type": "told_to", "reason": "it was told to"}})
        if mode == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            return self.connection.close()
        if mode == "silent":
            self.connection.recv(1)  # until the client gives up
            self.close_connection = True
            return None
        if path == "/_nodes":
            return self.answer(200, {"nodes": {"x": {"version": "8.19.0", "build_flavor": "default"}}})
        if path.startswith("/_index_template/"):
            if mode == "template-403" and self.command == "PUT":
                return self.answer(403, {"error": {"type": "security_exception", "reason": "no"}})
            if mode == "template-403":
                return self.answer(404, {})
            if self.command == "PUT":
                templates[path] = json.loads(body)
                return self.answer(200, {"acknowledged": True})
            if path not in templates:
                return self.answer(404, {})
            return self.answer(200, {"index_templates": [{"name": path, "index_template": templates[path]}]})
        if path != "/_bulk":
            return self.answer(404, {})
        lines = body.decode().split("\n")
        items = [json.loads(line)["create"] for line in lines[:-1:2]]
        result = json.dumps({"items": [{"create": {"status": 201}} for _ in items]}).encode()
        if mode == "fewer":
            return self.answer(200, {"items": [{"create": {"status": 201}} for _ in items[1:]]})
        if mode == "truncated":
            self.send_response(200)
            self.send_header("Content-Length", str(len(result)))
            self.end_headers()
            self.wfile.write(result[: len(result) // 2])
            self.close_connection = True
            return None
        if mode == "half":
            return self.answer(200, result[: len(result) // 2])
        if mode == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            except OSError:
                self.close_connection = True
                return None
        if mode == "forbidden":
            return self.answer(200, {"items": [{"create": {"status": 403, "error": {"type": "security_exception", "reason": "no"}}} for _ in items]})
        if mode == "refuse-one":
            statuses = [400 if json.loads(lines[2 * i + 1])["attributes"].get("bad") else 201 for i in range(len(items))]
            result = json.dumps({"items": [{"create": {"status": s, **({"error": {"type": "told_to", "reason": "it was told to"}} if s == 400 else {})}} for s in statuses]}).encode()
        with lock:
            for item in items:
                ids[item["_id"]] = ids.get(item["_id"], 0) + 1
        return self.answer(200, result)

    do_GET = do_POST = do_PUT = do_DELETE = other


class Server(ThreadingHTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    if len(sys.argv) > 4:  # and a client has to have a certificate of this CA
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()

"""The outside payment host: HTTPS at `payments.py ADDRESS CERTIFICATE KEY`."""
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

address, certificate, key = sys.argv[1:]


class Payments(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"status": "accepted"}\n'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer((address, 443), Payments)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()

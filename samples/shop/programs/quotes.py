"""shop/quotes: an HTTP server on port 40001, a port that some call ephemeral."""
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Quotes(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"EUR 1.0731\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("", 40001), Quotes).serve_forever()

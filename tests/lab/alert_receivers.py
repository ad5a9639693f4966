"""What alerts are sent to, over TLS: a web hook and a mail server that note what they get.

`python3 -c … ADDRESS CERTIFICATE KEY FILE HOOK_PORT MAIL_PORT`; a line of JSON for each thing.
"""

RECEIVERS = r"""
import base64, json, socketserver, ssl, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

address, certificate, key, file, hook_port, mail_port = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)

def note(**what):
    with open(file, "a") as out:
        out.write(json.dumps(what) + "\n")

class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        note(path=self.path, authorization=self.headers["Authorization"], body=body)
        self.send_response(200)
        self.end_headers()

class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        def say(line):
            self.wfile.write(line.encode() + b"\r\n")
        say("220 mail")
        login, lines = "", []
        for line in self.rfile:
            word, _, rest = line.decode().strip().partition(" ")
            if word == "EHLO":
                say("250-mail")
                say("250 AUTH PLAIN")
            elif word == "AUTH":
                login = base64.b64decode(rest.split()[1]).decode()
                say("235 welcome")
            elif word == "DATA":
                say("354 go on")
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part.decode())
                note(login=login, mail="".join(lines))
                say("250 taken")
            elif word == "QUIT":
                say("221 bye")
                return
            else:
                say("250 well")

class Tls(socketserver.ThreadingTCPServer):
    def get_request(self):
        connection, peer = super().get_request()
        return context.wrap_socket(connection, server_side=True), peer

hook = ThreadingHTTPServer((address, int(hook_port)), Hook)
hook.socket = context.wrap_socket(hook.socket, server_side=True)
threading.Thread(target=hook.serve_forever, daemon=True).start()
Tls((address, int(mail_port)), Mail).serve_forever()
"""

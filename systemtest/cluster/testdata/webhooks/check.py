# Runs the receiver of docs/wire.md, which stands above, on a free port. It
# prints the port, and then every receipt that it has found genuine, until
# standard input ends.
import json
import os
import sys
import threading


def received(webhook_id, receipt):
    print(json.dumps({"id": webhook_id, "receipt": receipt}), flush=True)


Receiver.secret = os.environ["KUBBI_WEBHOOK_SECRET"]
server = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()

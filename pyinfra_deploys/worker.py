"""The host worker: imports pyinfra once, then forks for every request.

`python -m pyinfra_deploys.worker FD`: FD is a SOCK_SEQPACKET socket on which each message carries
one stream socket; a child reads one request from that, answers on it, and ends. The worker ends
when FD is closed. It starts no thread and no greenlet itself, so that forking is safe.
"""

import array
import os
import signal
import socket
import sys


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    from pyinfra_deploys import job  # noqa: PLC0415 - the heavy import that this process is for

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
    size = array.array("i", [0]).itemsize
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, size, 1)
        if not message:
            return
        with socket.socket(fileno=descriptors[0]) as channel:
            if os.fork():
                continue
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            job.serve(channel)
            os._exit(0)  # no interpreter shutdown: paramiko's threads would be joined


if __name__ == "__main__":
    main()

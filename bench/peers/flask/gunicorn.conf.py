"""The settings of gunicorn: the number of workers that its documentation advises."""

import ctypes
import os
import signal

wsgi_app = "app:app"
bind = "127.0.0.1:0"
# As the documentation advises, for the cores of this process.
workers = 2 * len(os.sched_getaffinity(0)) + 1
# All workers can answer as soon as the first one does.
preload_app = True
# The socket would be in the home folder.
control_socket_disable = True


def when_ready(server):
    host, port = server.LISTENERS[0].sock.getsockname()
    print(f"listening on {host}:{port}", flush=True)


def post_fork(server, worker):
    # Killing the first process kills all workers: prctl(PR_SET_PDEATHSIG, SIGKILL).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)

import ctypes
import os
import signal

wsgi_app = "app:app"
bind = "127.0.0.1:0"
# As the documentation advises, for the cores that are ours.
workers = 2 * len(os.sched_getaffinity(0)) + 1
# All of them can answer as soon as the first does.
preload_app = True
# It would be in the home folder.
control_socket_disable = True


def when_ready(server):
    host, port = server.LISTENERS[0].sock.getsockname()
    print(f"listening on {host}:{port}", flush=True)


def post_fork(server, worker):
    # Whoever kills the first process means all: prctl(PR_SET_PDEATHSIG, SIGKILL).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)

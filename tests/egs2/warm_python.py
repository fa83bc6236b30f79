"""A Python that has its imports done: recipes start a dozen interpreters, and each would spend seconds on torch.

    python warm_python.py serve SOCKET     imports what recipes need, then forks one process for each request
    python warm_python.py run SOCKET ...   what a recipe calls as `python3 ...`; ends as what was run ended

A request has the arguments, environment, folder and open files of the caller, so that what runs is what would have run.
Signals that the caller gets are passed on, and when the caller is killed so is what runs for it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys

PRELOADED = ("numpy", "torch", "transformers", "slm_espnet.task", "espnet2.main_funcs.average_nbest_models", "lhotse",
             "lhotse.recipes", "slm_espnet.bin.encode", "slm_espnet.bin.decode", "slm_espnet.bin.score",
             "slm_espnet.bin.stats", "slm_espnet.data.corpus", "jiwer", "sacrebleu", "soundfile", "soxr")  # fmt: skip


def serve(path: str) -> None:
    """Answer requests until the standard input closes."""
    import importlib
    import threading

    from slm_espnet.compat import stand_in_for_torchaudio

    stand_in_for_torchaudio()
    for name in PRELOADED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    print("ready", flush=True)
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    server.settimeout(1)
    while os.getppid() != 1:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        connection.settimeout(None)
        if os.fork() == 0:  # this one waits for the one that works, and tells its status
            server.close()
            _answer(connection)
        connection.close()
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _answer(connection: socket.socket) -> None:
    data, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while not data.endswith(b"\n"):
        data += connection.recv(1 << 20)
    worker = os.fork()
    if worker == 0:
        connection.close()
        for target, file in enumerate(files):
            os.dup2(file, target)
        _work(json.loads(data))
    for file in files:
        os.close(file)
    ended = os.pidfd_open(worker)
    while ended not in select.select([ended, connection], [], [])[0]:
        number = connection.recv(1)
        os.kill(worker, number[0] if number else signal.SIGKILL)
        if not number:
            os._exit(0)
    _, status = os.waitpid(worker, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _work(request: dict) -> None:
    """Be the interpreter that was asked for; does not return."""
    import runpy
    import warnings

    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")  # it is there already: that is the point
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    sys.modules["torch"].set_num_threads(threads)  # remakes the pool, for which threads that load weights would race
    status = 1
    try:
        sys.path[1:1] = [entry for entry in os.environ.get("PYTHONPATH", "").split(":") if entry]
        kind, *rest = request["argv"]
        if kind == "-m":
            sys.argv, sys.path[0] = rest, request["cwd"]
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind in ("-c", "-"):
            code = rest.pop(0) if kind == "-c" else sys.stdin.read()
            sys.argv, sys.path[0] = [kind, *rest], request["cwd"]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv, sys.path[0] = [kind, *rest], os.path.dirname(os.path.realpath(kind))
            runpy.run_path(kind, run_name="__main__")
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(path: str, arguments: list[str]) -> int:
    """Have the arguments run by the server; its exit status, as Python's would be."""
    request = {"argv": arguments, "cwd": os.getcwd(), "env": dict(os.environ)}
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda which, _: connection.sendall(bytes([which])))
    socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
    return int(connection.recv(16) or 1)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(run(sys.argv[2], sys.argv[3:]) & 255)

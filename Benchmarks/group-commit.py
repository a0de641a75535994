#!/usr/bin/env python3
"""Group commit: messages for each flush, rate and latency at 1, 20 and 200 sessions, as the disk is and with a disk that takes 5 ms for each flush,
beside Postfix and limit_fsync in one run. Needs root (for Postfix), cc, and the benchmark suite's tools (smtpload, sink, limit_fsync).

    TOOLS=DIRECTORY_OF_THE_TOOLS Benchmarks/group-commit.py BINARY [--repeat 3] [--delay 0.005] [--peers postern,postfix]

Every server relays to the sink while it accepts, 4 KiB messages, kept connections, PIPELINING. Flushes are counted by the preloaded shim of the
power-cut tests, which also delays them; of the accepting server's queue directory only.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "Tests", "Acceptance"))
import powercut  # noqa: E402
from postern import end, free_port, port_open, wait_for  # noqa: E402

TOOLS = os.environ.get("TOOLS", "")
MAIN = """
compatibility_level = 3.6
myhostname = mx.example.test
mydomain = example.test
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:@SINK@
queue_directory = @DIR@/spool
data_directory = @DIR@/data
maillog_file = @DIR@/maillog
maillog_file_prefixes = @DIR@
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
default_process_limit = 400
smtpd_client_connection_count_limit = 400
"""


class Sink:
    def __init__(self, directory):
        self.port, self.path = free_port(), f"{directory}/sink.sock"
        self.process = subprocess.Popen([f"{TOOLS}/sink", "--port", str(self.port), "--unix", self.path], stdout=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.path), what="the sink")

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(200)
            s.connect(self.path)
            s.sendall((command + "\n").encode())
            return s.recv(400).decode().split()


class Peer:
    def __init__(self, sink, delay):
        self.directory = tempfile.mkdtemp(prefix="postern-bench-")
        os.chmod(self.directory, 0o755)
        self.port, self.delay = free_port(), delay
        for name in ("spool", "data"):
            os.mkdir(f"{self.directory}/{name}")
            shutil.chown(f"{self.directory}/{name}", "postfix" if name == "data" or self.owns_queue else "root")
        self.counts = f"{self.directory}/counts"
        with open(self.counts, "wb") as f:
            f.write(bytes(16))
        self.shim = powercut.build(f"{self.directory}/shim.so", f"{self.directory}/spool", delay=delay, counts=self.counts)
        self.write("main.cf", MAIN.replace("@DIR@", self.directory).replace("@SINK@", str(sink.port)))

    def write(self, name, text):
        with open(f"{self.directory}/{name}", "w") as f:
            f.write(text)

    def flushes(self):
        with open(self.counts, "rb") as f:
            return struct.unpack("QQ", f.read(16))

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Postern(Peer):
    name, owns_queue = "postern", True

    def start(self, binary):
        self.write("master.cf", f"127.0.0.1:{self.port} inet n - n - - smtpd\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n")
        self.process = subprocess.Popen(
            [binary, "start", "-c", self.directory, "--foreground"], env={**os.environ, "LD_PRELOAD": self.shim}, stderr=subprocess.DEVNULL)
        wait_for(lambda: port_open(self.port), what="postern")

    def stop(self):
        end(self.process, seconds=60)


class Postfix(Peer):
    name, owns_queue = "postfix", False

    def start(self, _):
        with open(f"{self.directory}/main.cf", "a") as f:
            f.write(f"import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_PRELOAD={self.shim}\n"
                    f"export_environment = TZ MAIL_CONFIG LANG LD_PRELOAD={self.shim}\n")
        services = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        with open("/usr/share/postfix/master.cf.dist") as f:
            for line in f:
                words = line.split()
                if line[:1].isalpha() and len(words) >= 8 and words[1] != "inet":
                    words[4] = "n"
                    services.append(" ".join(words))
        self.write("master.cf", "\n".join(services) + "\n")
        subprocess.run(["postfix", "-c", self.directory, "start"], check=True, capture_output=True, timeout=60)
        wait_for(lambda: port_open(self.port), what="postfix")

    def stop(self):
        subprocess.run(["postfix", "-c", self.directory, "stop"], capture_output=True, timeout=60)


def load(peer, messages, sessions):
    command = [f"{TOOLS}/smtpload", "--port", str(peer.port), "--messages", str(messages), "--sessions", str(sessions), "--size", "4096",
               "--pipelining", "--to", "rcpt@example.org", "--duration", "60"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return json.loads(out.stdout.splitlines()[-1])


def measure(kind, binary, sink, delay, sessions):
    """A fresh server for each: rate and latency of accepting, and flushes until everything has been relayed and its outcome is durable."""
    peer = kind(sink, delay)
    try:
        peer.start(binary)
        sink.ask("RESET")
        load(peer, 60, min(sessions, 20))
        sink.ask("WAIT 60 60")
        time.sleep(0.5)
        sink.ask("RESET")
        before = peer.flushes()
        wanted = {1: 400, 20: 3000, 200: 8000}[sessions] if kind is Postern else {1: 200, 20: 1500, 200: 3000}[sessions]
        result = load(peer, wanted, sessions)
        accepted = peer.flushes()
        sink.ask(f"WAIT {result['messages']} 120")
        time.sleep(0.5)
        after = peer.flushes()
        files = after[0] - before[0]
        return {
            "rate": result["msgs_per_s"], "p50": result["latency_ms"]["p50"], "p99": result["latency_ms"]["p99"], "errors": sum(result["errors"].values())
            if isinstance(result["errors"], dict) else result["errors"], "while_accepting": result["messages"] / max(1, accepted[0] - before[0]),
            "per_flush": result["messages"] / max(1, files), "directories": (after[1] - before[1]) / result["messages"],
        }
    finally:
        peer.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.005)
    parser.add_argument("--peers", default="postern,postfix")
    arguments = parser.parse_args()
    if not os.path.exists(f"{TOOLS}/smtpload"):
        sys.exit("set TOOLS to the directory with smtpload, sink and limit_fsync")
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as directory:
        limit = subprocess.run([f"{TOOLS}/limit_fsync", directory, "2", "4096"], capture_output=True, text=True, timeout=120).stdout
        print("limit_fsync:", limit.strip(), flush=True)
        sink, rows = Sink(directory), {}
        try:
            for round in range(arguments.repeat):
                for delay in (0, arguments.delay):
                    for sessions in (1, 20, 200):
                        for kind in (Postern, Postfix):
                            if kind.name in arguments.peers.split(","):
                                row = measure(kind, os.path.realpath(arguments.binary), sink, delay, sessions)
                                rows.setdefault((delay, sessions, kind.name), []).append(row)
                                print(round, kind.name, delay, sessions, json.dumps(row), flush=True)
        finally:
            end(sink.process)
    print("\n| each flush | sessions | | msg/s | p50 ms | p99 ms | messages per flush | while accepting | errors |\n|---|---:|---|---:|---:|---:|---:|---:|---:|")
    for (delay, sessions, name), found in rows.items():
        m = {key: statistics.median(row[key] for row in found) for key in found[0]}
        print(f"| {'as it is' if not delay else f'+ {delay * 1000:g} ms'} | {sessions} | {name} | {m['rate']:,.0f} | {m['p50']:.2f} | {m['p99']:.1f} "
              f"| {m['per_flush']:.2f} | {m['while_accepting']:.2f} | {m['errors']:.0f} |")


if __name__ == "__main__":
    main()

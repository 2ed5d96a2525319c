"""The servers that scripts/compare runs: ringtail, its peers, and one that runs already.

In: a name and the arguments of the script. Out: a process with a fresh folder and ports of its own,
and what it has used so far.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

BINARIES = {"influxdb": "influxd", "victoria-metrics": "victoria-metrics", "carbon": "carbon-cache"}
# What is cold is written out and merged after 3 s, else the disk use would be that of its log.
INFLUX_CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{dir}/meta"
[data]
  dir = "{dir}/data"
  wal-dir = "{dir}/wal"
  query-log-enabled = false
  cache-snapshot-write-cold-duration = "3s"
  compact-full-write-cold-duration = "3s"
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "error"
[[opentsdb]]
  enabled = true
  bind-address = "127.0.0.1:{telnet}"
  database = "load"
  log-point-errors = false
[[graphite]]
  enabled = true
  bind-address = "127.0.0.1:{graphite}"
  database = "load"
"""
# The defaults create 50 files a minute and write 500 points a second.
CARBON_CONF = """
[cache]
STORAGE_DIR = {dir}
CONF_DIR = {dir}
LOG_DIR = {dir}/log
PID_DIR = {dir}
LOCAL_DATA_DIR = {dir}/whisper
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
ENABLE_UDP_LISTENER = False
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = inf
CACHE_WRITE_STRATEGY = max
LOG_UPDATES = False
LOG_CREATES = False
"""
CARBON_SCHEMAS = "[all]\npattern = .*\nretentions = 10s:2h\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One running server and its folder."""

    db, ours = "load", True

    def __init__(self, name, args):
        self.name, self.args = name, args
        self.port, self.graphite_port = free_port(), free_port()
        self.telnet_port, self.pickle_port = free_port(), free_port()
        self.folder = tempfile.mkdtemp(prefix=f"compare-{name}-", dir=os.environ.get("TMPDIR"))
        self.process, self.cpu_before, self.peak = None, 0.0, 0.0

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def command(self):
        here, http, graphite = self.folder, f"127.0.0.1:{self.port}", self.graphite_port
        if self.name == "ringtail":
            return [self.args.ringtail, "serve", "--data-dir", here, "--http-bind", http,
                    "--telnet-bind", f"127.0.0.1:{self.telnet_port}",
                    "--graphite-bind", f"127.0.0.1:{graphite}",
                    "--pickle-bind", f"127.0.0.1:{self.pickle_port}"]
        if self.name == "influxdb":
            conf = INFLUX_CONF.format(dir=here, http=self.port, rpc=free_port(),
                                      graphite=graphite, telnet=self.telnet_port)
            return ["influxd", "-config", self.write("influxdb.conf", conf)]
        if self.name == "victoria-metrics":
            return ["victoria-metrics", "-storageDataPath", here, "-httpListenAddr", http,
                    "-graphiteListenAddr", f"127.0.0.1:{graphite}", "-retentionPeriod", "100y",
                    "-opentsdbListenAddr", f"127.0.0.1:{self.telnet_port}",
                    "-search.disableCache", "-search.maxUniqueTimeseries", "10000000",
                    "-loggerLevel", "ERROR"]
        self.write("storage-schemas.conf", CARBON_SCHEMAS)
        conf = CARBON_CONF.format(dir=here, line=graphite, pickle=self.pickle_port,
                                  query=self.port)
        return ["carbon-cache", "--nodaemon", "--config", self.write("carbon.conf", conf), "start"]

    def start(self):
        """Starts it and waits until it takes connections."""
        began, command = time.monotonic(), self.command()
        log = os.path.join(self.folder, "output.txt")
        while True:
            with open(log, "wb") as file:
                self.process = subprocess.Popen(command, stdout=file, stderr=file, cwd=self.folder)
            while self.process.poll() is None and not self.answers():
                time.sleep(0.01)
            if self.process.poll() is None:
                return
            # The kernel may hold the ports of a killed server for a moment.
            if time.monotonic() - began > 10:
                with open(log, encoding="utf-8", errors="replace") as file:
                    end = file.read()[-1000:]
                raise SystemExit(f"{self.name} did not start: {' '.join(command)}\n{end}")
            time.sleep(0.02)

    def answers(self):
        try:
            if self.name == "carbon":
                socket.create_connection(("127.0.0.1", self.graphite_port), 1).close()
            else:
                self.get("/health" if self.name == "victoria-metrics" else "/ping", 1)
            return True
        except OSError:
            return False

    def get(self, path, timeout=120, **form):
        url = f"http://{self.address(self.port)}{path}"
        data = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(url, data, self.headers())
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def address(self, port):
        return f"127.0.0.1:{port}"

    def headers(self):
        return {}

    def flags(self, port):
        """How ringtail-load reaches it."""
        return ["--address", self.address(port), "--pid", str(self.process.pid)]

    def kill(self):
        self.cpu_before, self.peak = self.cpu(), self.peak_mb()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def proc(self, name):
        with open(f"/proc/{self.process.pid}/{name}", encoding="ascii") as file:
            return file.read()

    def cpu(self):
        """CPU-seconds since the first start, by the process's own clock (that of its id)."""
        return self.cpu_before + time.clock_gettime((~self.process.pid << 3) | 2)

    def peak_mb(self):
        lines = self.proc("status").splitlines()
        now = next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))
        return max(self.peak, now)

    def written(self):
        lines = self.proc("io").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))

    def settle(self):
        """Lets it write out and merge what it got: on request, or until it is quiet."""
        if self.name == "ringtail":
            self.get("/debug/maintain?work=compact", 600, now=1)
            return
        quiet, last = 0, self.cpu()
        for _ in range(self.args.settle):
            time.sleep(1)
            now = self.cpu()
            quiet, last = (quiet + 1 if now - last < 0.1 else 0), now
            if quiet >= 5:
                return

    def rest(self):
        """Waits until it has made ready what it makes ready; CPU-seconds and bytes written then."""
        last = -1
        for _ in range(20):
            now = self.written()
            if now == last:
                break
            last = now
            time.sleep(0.5)
        return self.cpu(), last

    def bytes_used(self):
        """Bytes of its files; a log that is written full once and used again is no data."""
        used = 0
        for folder, _, files in os.walk(self.folder):
            if self.name == "ringtail" and "log" in folder.split(os.sep):
                continue
            for file in files:
                try:
                    # Blocks, not lengths: some peers make files longer than what is in them.
                    used += os.lstat(os.path.join(folder, file)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return used

    def count(self, start, end):
        """Values stored from `start` up to `end` (seconds), or None while it cannot say."""
        try:
            if self.name == "victoria-metrics":
                query = f'sum(count_over_time({{__name__=~"cpu_.*"}}[{end - start}s]))'
                body = self.get("/api/v1/query", query=query, time=end - 1, nocache=1)
                result = json.loads(body)["data"]["result"]
                return int(float(result[0]["value"][1])) if result else 0
            query = f"SELECT count(*) FROM cpu WHERE time >= {start}s AND time < {end}s"
            result = json.loads(self.get("/query", db=self.db, q=query))["results"][0]
            if "error" in result:
                return None
            series = result.get("series")
            return sum(series[0]["values"][0][1:]) if series else 0
        except (OSError, KeyError, ValueError):
            return None

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Yours(Server):
    """A server that runs already: it is asked and written to, never stopped; what was written is
    a database of its own, dropped at the end."""

    db, ours = "ringtail_compare", False

    def __init__(self, name, args):
        self.name, self.args = name, args
        self.host, _, port = args.against.removeprefix("http://").strip("/").partition(":")
        self.port, self.folder = int(port or 8086), None
        self.pid = listener(self.port) if self.host in ("127.0.0.1", "localhost") else None

    def start(self):
        try:
            self.get("/ping", 5)
            self.get("/query", q=f'DROP DATABASE "{self.db}"')
        except OSError as error:
            raise SystemExit(f"{self.args.against}: {error}") from error

    def address(self, port):
        return f"{self.host}:{port}"

    def headers(self):
        user = (self.args.against_user or "").encode()
        return {"Authorization": f"Basic {base64.b64encode(user).decode()}"} if user else {}

    def flags(self, port):
        user = ["--user", self.args.against_user] if self.args.against_user else []
        pid = ["--pid", str(self.pid)] if self.pid else []
        return ["--address", self.address(port), "--db", self.db, *user, *pid]

    def cpu(self):
        return time.clock_gettime((~self.pid << 3) | 2) if self.pid else float("nan")

    def written(self):
        return float("nan")

    def settle(self):
        self.rest()

    def rest(self):
        """Waits until it is quiet, where that can be seen."""
        quiet, last = 0, self.cpu()
        for _ in range(self.args.settle if self.pid else 0):
            time.sleep(1)
            now = self.cpu()
            quiet, last = (quiet + 1 if now - last < 0.1 else 0), now
            if quiet >= 3:
                break
        return last, float("nan")

    def close(self):
        try:
            self.get("/query", q=f'DROP DATABASE "{self.db}"')
        except OSError:
            pass


def listener(port):
    """The process that listens on a port of this machine, or None."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{table}", encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        inodes |= {f"socket:[{row[9]}]" for row in rows
                   if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
            if any(os.readlink(f"/proc/{pid}/fd/{fd}") in inodes for fd in fds):
                return int(pid)
        except OSError:
            pass
    return None

"""influx (the shell of InfluxDB): typed lines on a terminal. Arguments: host, port."""
import os
import pty
import sys

host, port = sys.argv[1:3]
process, terminal = pty.fork()
if process == 0:
    os.environ.update(TERM="dumb", INFLUX_HISTORY=os.devnull, HOME="/tmp")
    os.execvp("influx", ["influx", "-host", host, "-port", port])

text = ""


def until_prompt():
    """What is printed before the next prompt."""
    global text
    while not text.endswith("> "):
        text += os.read(terminal, 65536).decode()
    found, text = text, ""
    return found.replace("\r\n", "\n")


def typed(line):
    os.write(terminal, line.encode() + b"\n")
    return until_prompt()


def expect(line, *parts):
    found = typed(line)
    for part in parts:
        assert part in found, (line, part, found)
    return found


# The shell blackens passwords that are typed before it sends them.
made = ["influx", "-host", host, "-port", port, "-execute", "create user joe with password 'p'"]
assert os.spawnvp(os.P_WAIT, "influx", made) == 0
banner = until_prompt()
assert "Connected to http://%s:%s version 1.8.10" % (host, port) in banner, banner
expect("create database shell")
expect("create retention policy short on shell duration 1w replication 1")
expect("show databases", "name: databases\n", "\nshell\n")
expect("use nowhere", "nowhere doesn't exist")
expect("use shell", "Using database shell")
expect("insert cpu,host=a v=1 1609459200000000000")
expect("insert cpu,host=b v=2.5 1609459201000000000")
expect("insert into other cpu v=1", "retention policy not found: other")
expect("use shell.autogen", "Using retention policy autogen")
expect("insert cpu,host=a v=bad", "unable to parse")
expect("select * from cpu", "name: cpu\n", "1609459201000000000 b    2.5\n")
expect("precision rfc3339")
expect("select * from cpu", "2021-01-01T00:00:01Z b    2.5\n")
expect("precision s")
expect("format csv")
expect("select v from cpu where host = 'b'", "name,time,v\ncpu,1609459201,2.5\n")
expect("format json")
expect("select v from cpu limit 1", '"values":[[1609459200,1]]')
expect("format column")
expect("chunked", "chunk")
expect("chunk size 1", "chunk size set to 1")
expect("select v from cpu", "1609459200 1\n", "1609459201 2.5\n")
expect("show series", "cpu,host=a\n", "cpu,host=b\n")
expect("show measurements", "name: measurements\n", "\ncpu\n")
expect("show tag keys", "\nhost\n")
expect("show field keys", "v        float\n")
expect("show retention policies", "autogen", "short", "168h0m0s")
expect("show stats", "name: httpd\n")
expect("show diagnostics", "name: build\n")
expect("settings", "Database", "shell")
expect("grant read on shell to joe")
expect("show users", "joe  false\n")
expect("show grants for joe", "shell    READ\n")
expect("drop user joe")
expect("nonsense", "ERR: found nonsense, expected SELECT, DELETE, SHOW")
expect("select nope(v) from cpu", "ERR: undefined function nope()")
expect("delete from cpu where host = 'a'")
expect("select count(v) from cpu", "0    1\n")
expect("drop database shell")
os.write(terminal, b"exit\n")
_, status = os.waitpid(process, 0)
assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, status

"""influxdb (1.x client): creates a database, writes, queries. Arguments: host, port."""
import sys

# The script's own name is that of the package: look for it elsewhere.
sys.path.pop(0)
from influxdb import InfluxDBClient

client = InfluxDBClient(sys.argv[1], int(sys.argv[2]), database="pyclient", gzip=True)
client.create_database("pyclient")
assert {"name": "pyclient"} in client.get_list_database(), client.get_list_database()
points = [
    {"measurement": "cpu", "tags": {"host": "web 01"}, "time": 1609459200 + n,
     "fields": {"load": 0.5 + n, "count": n, "ok": n % 2 == 0, "text": 'a "b"\\c'}}
    for n in range(100)
]
assert client.write_points(points, time_precision="s", batch_size=30)
found = list(client.query('SELECT load, "count", ok, text FROM cpu', epoch="s").get_points())
assert len(found) == 100, len(found)
expected = {"time": 1609459202, "load": 2.5, "count": 2, "ok": True, "text": 'a "b"\\c'}
assert found[2] == expected, found[2]
means = client.query("SELECT mean(load) FROM cpu GROUP BY host")
assert list(means.items())[0][0] == ("cpu", {"host": "web 01"}), means

"""influxdb (1.x client): frames of pandas, chunked answers, users. Arguments: host, port."""
import sys

# The script's own name is that of the package: look for it elsewhere.
sys.path.pop(0)
import pandas
from influxdb import DataFrameClient, InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

host, port = sys.argv[1], int(sys.argv[2])
frames = DataFrameClient(host, port, database="frames")
frames.create_database("frames")
index = pandas.date_range("2021-01-01", periods=2500, freq="s", tz="UTC")
frame = pandas.DataFrame(
    {"load": [n / 4 for n in range(2500)], "count": range(2500), "ok": [n % 2 == 0 for n in range(2500)],
     "text": ["a %d" % n for n in range(2500)], "host": ["h%d" % (n % 5) for n in range(2500)]},
    index=index,
)
assert frames.write_points(frame, "cpu", tag_columns=["host"], batch_size=1000, protocol="line")
found = frames.query("SELECT load, \"count\", ok, text, host FROM cpu")["cpu"]
assert len(found) == 2500, len(found)
assert (found.index == index).all(), found.index
assert found["load"].tolist() == frame["load"].tolist()
assert found["ok"].tolist() == frame["ok"].tolist() and found["text"].tolist() == frame["text"].tolist()
means = frames.query("SELECT mean(load) FROM cpu WHERE time < '2021-01-02' GROUP BY host, time(1h) fill(none)")
assert len(means) == 5, means.keys()
first = means[("cpu", (("host", "h0"),))]
assert first["mean"].tolist() == [sum(range(0, 2500, 5)) / 4 / 500], first
one = frames.query("SELECT load FROM cpu WHERE host = $host LIMIT 1", bind_params={"host": "h3"})
assert one["cpu"]["load"].tolist() == [0.75], one
assert frames.query("SELECT load FROM nothing") == {}

# In MessagePack a chunked answer is several documents, which this client cannot read from anyone.
plain = InfluxDBClient(host, port, database="frames", headers={"Accept": "application/json"})
chunks = list(plain.query("SELECT load FROM cpu", chunked=True, chunk_size=400))
rows = [row for chunk in chunks for row in chunk.get_points()]
assert len(chunks) == 7 and [row["load"] for row in rows] == frame["load"].tolist(), len(chunks)
chunks = list(plain.query("SELECT load FROM cpu GROUP BY host", chunked=True, chunk_size=200, epoch="ms"))
assert len(chunks) == 15, len(chunks)
assert sum(len(list(chunk.get_points(tags={"host": "h3"}))) for chunk in chunks) == 500
series = plain.get_list_series(measurement="cpu")
assert sorted(series) == ["cpu,host=h%d" % n for n in range(5)], series
assert plain.get_list_measurements() == [{"name": "cpu"}]
plain.create_retention_policy("short", "7d", "1", shard_duration="1d")
plain.alter_retention_policy("short", duration="14d")
policies = {one["name"]: one for one in plain.get_list_retention_policies()}
assert policies["short"]["duration"] == "336h0m0s" and policies["autogen"]["default"], policies
plain.create_continuous_query("c", "SELECT mean(load) INTO rolled FROM cpu GROUP BY time(1h)")
standing = {name: all for one in plain.get_list_continuous_queries() for name, all in one.items()}
assert [one["name"] for one in standing["frames"]] == ["c"], standing
plain.drop_continuous_query("c")
plain.create_user("joe", "p")
plain.grant_privilege("read", "frames", "joe")
assert plain.get_list_privileges("joe") == [{"database": "frames", "privilege": "READ"}]
plain.drop_user("joe")
plain.delete_series(measurement="cpu", tags={"host": "h0"})
assert len(list(plain.query("SELECT load FROM cpu").get_points())) == 2000
try:
    plain.query("SELECT nope(")
    raise AssertionError("a broken query was taken")
except InfluxDBClientError as error:
    assert error.code == 400 and "error parsing query" in str(error), error
try:
    plain.write_points([{"measurement": "cpu", "time": "2021-01-01T00:00:00Z", "fields": {"load": "text"}}])
    raise AssertionError("a conflict was taken")
except InfluxDBClientError as error:
    assert error.code == 400 and "field type conflict" in str(error), error
assert plain.ping() == "1.8.10"
plain.drop_measurement("cpu")
plain.drop_database("frames")

"""kairosdb-python: health, features, metric names, a query. Arguments: host, port."""
import json
import sys
import urllib.request

# The script lies beside others that have names of packages.
sys.path.pop(0)
from kairosdb import KairosDB

url = f"http://{sys.argv[1]}:{sys.argv[2]}"
client = KairosDB(url + "/")
assert client.check_health()
status = client.check_health_status()
assert status == ["JVM-Thread-Deadlock: OK", "Datastore-Query: OK"], status
assert {one["name"] for one in client.features()} == {"aggregators", "group_by"}
names = [one["name"] for one in client.features("aggregators")]
assert "least_squares" in names and names == sorted(names), names

# The client only reads.
points = [{"name": "py.load", "tags": {"host": "a"}, "datapoints": [[1000, 1], [2000, 2.5]]}]
request = urllib.request.Request(url + "/api/v1/datapoints", json.dumps(points).encode())
assert urllib.request.urlopen(request).status == 204
assert client.get_metric_names("py.") == {"results": ["py.load"]}
assert client.get_metric_names("zz") == {"results": []}
query = {
    "start_absolute": 0,
    "metrics": [{"name": "py.load", "aggregators": [
        {"name": "sum", "align_start_time": True, "sampling": {"value": 1, "unit": "minutes"}}]}],
}
found = client.query(query)["queries"][0]
assert found["sample_size"] == 2 and found["results"][0]["values"] == [[0, 3.5]], found
assert found["results"][0]["tags"] == {"host": ["a"]}, found

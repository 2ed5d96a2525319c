"""python-kairosdb: version, lists, query, deletes. Arguments: host, port."""
import json
import sys
import urllib.request

# The script lies beside others that have names of packages.
sys.path.pop(0)
from kairosdb import KairosDBAPI, client as api

url = f"http://{sys.argv[1]}:{sys.argv[2]}/api/v1"
points = [
    {"name": name, "tags": {"host": host}, "datapoints": [[1000, 1], [2000, "2.5"], [3000, 4]]}
    for name in ("py.one", "py.two") for host in ("a", "b")
]
request = urllib.request.Request(url + "/datapoints", json.dumps(points).encode())
assert urllib.request.urlopen(request).status == 204


def connect():
    # It remembers the lists that it has read.
    return KairosDBAPI(api.KairosDBAPIClient(api_endpoint=url))


kairos = connect()
assert kairos.version.startswith("KairosDB "), kairos.version
assert kairos.health_check == {"return_code": 204, "status": "success"}, kairos.health_check
assert kairos.metricnames == ["py.one", "py.two"], kairos.metricnames
assert kairos.tagnames == ["host"] and kairos.tagvalues == ["a", "b"]
assert kairos.search_metrics(["py.*"], ["*two"]) == ["py.one"]
query = {"start_absolute": 0, "metrics": [{"name": "py.one", "tags": {"host": "a"}}]}
found = kairos.query_metrics(query)
values = found["queries"][0]["results"][0]["values"]
assert found["return_code"] == 200 and values == [[1000, 1], [2000, 2.5], [3000, 4]], found
wrong = kairos.query_metrics({"start_absolute": 0})
assert wrong["return_code"] == 400, wrong
assert wrong["errors"] == ["query.metric[] must have a size of at least 1"], wrong
deleted = kairos.delete_datapoints(dict(query, end_absolute=2000))
assert deleted["return_code"] == 204, deleted
values = kairos.query_metrics(query)["queries"][0]["results"][0]["values"]
assert values == [[3000, 4]], values
assert kairos.delete_metric("py.two")["return_code"] == 204
assert connect().metricnames == ["py.one"], connect().metricnames

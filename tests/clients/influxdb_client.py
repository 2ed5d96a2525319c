"""influxdb-client (2.x client against 1.x): writes by /api/v2/write. Arguments: host, port."""
import sys

# The script's own name is that of the package: look for it elsewhere.
sys.path.pop(0)
from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

url = "http://%s:%s" % (sys.argv[1], sys.argv[2])
with InfluxDBClient(url=url, token="user:password", org="-", enable_gzip=True) as client:
    assert client.ping()
    with client.write_api(write_options=SYNCHRONOUS) as writer:
        points = [
            Point("cpu").tag("host", "web 01").field("load", 0.5 + n)
            .time(1609459200 + n, WritePrecision.S)
            for n in range(20)
        ]
        writer.write(bucket="v2client/autogen", record=points, write_precision=WritePrecision.S)

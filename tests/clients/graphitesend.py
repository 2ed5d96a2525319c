"""graphitesend: plaintext, then pickle of Python's default protocol. Arguments: host, ports."""
import sys

# The script's own name is that of the package: look for it elsewhere.
sys.path.pop(0)
import graphitesend

host, plain, pickle = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
names = dict(graphite_server=host, prefix="graphitesend", system_name="", lowercase_metric_names=True)
client = graphitesend.GraphiteClient(graphite_port=plain, **names)
client.send("plain", 45, 1609459200)
client.send_dict({"Dict": 50.5}, 1609459200)
client.disconnect()
client = graphitesend.GraphitePickleClient(graphite_port=pickle, **names)
client.send_list([("pickled", 1.5, 1609459200), ("pickled", 2, 1609459201)])
client.disconnect()

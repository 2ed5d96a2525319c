"""graphyte: plaintext over TCP and UDP, with tags. Arguments: host, port, udp port."""
import sys

# The script's own name is that of the package: look for it elsewhere.
sys.path.pop(0)
import graphyte

host, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sender = graphyte.Sender(host, port=tcp, prefix="graphyte", raise_send_errors=True)
sender.send("cpu.load", 42.5, timestamp=1609459200)
sender.send("cpu.load", 7, timestamp=1609459201, tags={"dc": "eu"})
sender.stop()
sender = graphyte.Sender(host, port=udp, protocol="udp", raise_send_errors=True)
sender.send("graphyte.udp", 1.25, timestamp=1609459200)
sender.stop()

import sys, io
sys.path.insert(0, sys.argv[1])
socket, good, bad = sys.argv[2:5]
import clamd
c = clamd.ClamdUnixSocket(socket)
print("clamd ping", c.ping())
print("clamd version", c.version())
print("clamd stats", "POOLS" in c.stats())
print("clamd scan", c.scan(bad))
print("clamd contscan", len(c.contscan(sys.argv[5])))
print("clamd multiscan", len(c.multiscan(sys.argv[5])))
print("clamd stream", c.instream(open(bad, "rb")))
print("clamd clean", c.instream(open(good, "rb")))
print("clamd reload", c.reload())
import pyclamd
p = pyclamd.ClamdUnixSocket(socket)
print("pyclamd ping", p.ping())
print("pyclamd file", p.scan_file(bad))
print("pyclamd stream", p.scan_stream(open(bad, "rb").read()))
print("pyclamd clean", p.scan_stream(b"nothing"))
print("pyclamd multi", len(p.multiscan_file(sys.argv[5])))

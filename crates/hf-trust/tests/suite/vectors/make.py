#!/usr/bin/env python3
"""Writes cosignatures.txt after C2SP tlog-cosignature, with the package `cryptography` alone."""

import base64
import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TEXT = "log.example/holdfast\n1234567\n" + base64.b64encode(bytes(range(32))).decode() + "\n"
EXTRA = TEXT + "extension line\n"
TIME = 1796000000


def vkey(name, kind, key):
    ident = hashlib.sha256(name.encode() + b"\n" + kind + key).digest()[:4]
    return ident, "%s+%s+%s" % (name, ident.hex(), base64.b64encode(kind + key).decode())


def line(name, ident, sig):
    blob = ident + struct.pack(">Q", TIME) + sig
    return "\u2014 %s %s\n" % (name, base64.b64encode(blob).decode())


def emit(vkey, text, lines):
    print("vkey", vkey)
    print("cosigned", base64.b64encode((text + "\n" + lines).encode()).decode())


for text in (TEXT, EXTRA):
    name = "witness.example/w1"
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    ident, verifier = vkey(name, b"\x04", public)
    sig = key.sign(("cosignature/v1\ntime %d\n" % TIME + text).encode())
    emit(verifier, text, line(name, ident, sig))

    name = "witness.example/w2"
    key = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes([8] * 32))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    ident, verifier = vkey(name, b"\x06", public)
    origin, size, root = text.split("\n")[:3]
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name.encode() + struct.pack(">Q", TIME)
    message += bytes([len(origin)]) + origin.encode() + struct.pack(">QQ", 0, int(size))
    message += base64.b64decode(root)
    emit(verifier, text, line(name, ident, key.sign(message)))

    name = "alice.example/holdfast"
    ident, verifier = vkey(name, b"\xffholdfast-mldsa44\n", public)
    sig = key.sign(b"holdfast-note/v1\n" + text.encode())
    print("vkey", verifier)
    blob = base64.b64encode(ident + sig).decode()
    note = text + "\n\u2014 %s %s\n" % (name, blob)
    print("signed", base64.b64encode(note.encode()).decode())

#!/usr/bin/env python3
"""Drives a TUF client through good and hostile repositories made by python-tuf.

    scenarios.py CLIENT [NAME...]

CLIENT takes the commands of the TUF conformance suite (init, refresh, download). The repositories are
made and signed by python-tuf, so that two implementations have to agree on formats, canonical JSON and
signatures. What is checked is what that suite checks: exit codes, trusted metadata, downloads and the
requests that were made. Needs the packages `tuf` and `cryptography`, and `faketime` for one scenario.
"""

import datetime
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from urllib.parse import quote, unquote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole, Delegations, MetaFile, Metadata, Root, Snapshot, SuccinctRoles, TargetFile,
    Targets, Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
LATER = NOW + datetime.timedelta(days=30)
PAST = NOW - datetime.timedelta(days=2)
TOP = ["root", "targets", "snapshot", "timestamp"]
CLIENT = None


class Repo:
    """A repository in memory; `publish` signs what `mds` holds."""

    def __init__(self):
        self.mds = {
            "root": Metadata(Root(expires=LATER)), "targets": Metadata(Targets(expires=LATER)),
            "snapshot": Metadata(Snapshot(expires=LATER)),
            "timestamp": Metadata(Timestamp(expires=LATER)),
        }
        self.files, self.signers, self.artifacts, self.requests = {}, {}, {}, []
        self.hashes = False
        for role in TOP:
            self.add_key(role)
        self.publish("targets", "snapshot", "timestamp", "root")

    def signed(self, role):
        return self.mds[role].signed

    def add_key(self, role, delegator="root", signer=None):
        signer = signer or CryptoSigner.generate_ed25519()
        self.signed(delegator).add_key(signer.public_key, role)
        self.signers.setdefault(role, {})[signer.public_key.keyid] = signer
        return signer

    def rotate(self, role):
        self.signed("root").roles[role].keyids.clear()
        self.signers[role].clear()
        self.add_key(role)

    def publish(self, *roles):
        for role in roles:
            md = self.mds[role]
            if self.files.get(role):
                md.signed.version += 1
            md.signatures.clear()
            for signer in self.signers[role].values():
                md.sign(signer, append=True)
            data = md.to_bytes(JSONSerializer())
            self.files.setdefault(role, {})[md.signed.version] = data
            meta = MetaFile(md.signed.version)
            if self.hashes:
                digest = hashlib.sha256(data).hexdigest()
                meta = MetaFile(md.signed.version, len(data), {"sha256": digest})
            if role == "snapshot":
                self.signed("timestamp").snapshot_meta = meta
            elif role not in ("root", "timestamp"):
                self.signed("snapshot").meta[role + ".json"] = meta

    def publish_all(self):
        self.publish("targets", "snapshot", "timestamp")

    def restart(self, role):
        """Forgets what was published of a role, which then starts at version 1 again."""
        self.files[role] = {}
        self.signed(role).version = 1

    def edit(self, role, change):
        """Changes the newest file of a role after it was signed."""
        version = max(self.files[role])
        data = json.loads(self.files[role][version])
        data = change(data) or data
        self.files[role][version] = data if isinstance(data, bytes) else json.dumps(data).encode()

    def delegate(self, delegator, name, paths=("*",), terminating=False, expires=LATER, prefixes=None):
        if self.signed(delegator).delegations is None:
            self.signed(delegator).delegations = Delegations({}, roles={})
        patterns = None if prefixes else list(paths)
        role = DelegatedRole(name, [], 1, terminating, patterns, prefixes)
        self.signed(delegator).delegations.roles[name] = role
        self.mds.setdefault(name, Metadata(Targets(expires=expires)))
        self.add_key(name, delegator)

    def artifact(self, path, data, role="targets", hashes=("sha256",)):
        self.signed(role).targets[path] = TargetFile.from_data(path, data, list(hashes))
        self.artifacts[path] = data

    def get(self, path):
        kind, _, name = path.partition("/")
        if kind == "metadata":
            stem = name.removesuffix(".json")
            version, _, role = stem.partition(".")
            if not version.isdigit():
                version, role = None, stem
            self.requests.append((role, version and int(version)))
            files = self.files.get(unquote(role), {})
            if role == "root" and version is None:
                return None
            return files.get(int(version)) if version else files[max(files)] if files else None
        folder, sep, file = name.rpartition("/")
        digest, _, file = file.partition(".")
        path = unquote(folder + sep + file)
        self.requests.append(("artifact", path))
        target = [t for md in self.mds.values() if isinstance(md.signed, Targets)
                  for p, t in md.signed.targets.items() if p == path]
        if path in self.artifacts and any(digest in t.hashes.values() for t in target):
            return self.artifacts[path]
        return None


class Case:
    """A repository on a server, and a client's folders."""

    def __init__(self):
        self.repo, self.temp = Repo(), tempfile.mkdtemp()
        self.metadata = os.path.join(self.temp, "metadata")
        self.targets = os.path.join(self.temp, "targets")
        os.makedirs(self.targets)
        repo = self.repo

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = repo.get(self.path.lstrip("/"))
                if data is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/" % self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.temp)

    def run(self, *args, when=None):
        command = [CLIENT, "--metadata-dir", self.metadata, *args]
        if when:
            command = ["faketime", when.strftime("%Y-%m-%d %H:%M:%S"), *command]
        env = dict(os.environ, TZ="UTC")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
        self.said = done.stderr
        assert done.returncode in (0, 1), (done.returncode, done.stderr)
        assert "panicked" not in done.stderr, done.stderr
        return done.returncode == 0

    def init(self, root=None):
        path = os.path.join(self.temp, "root.json")
        with open(path, "wb") as file:
            file.write(root or self.repo.files["root"][1])
        return self.run("init", path)

    def refresh(self, when=None):
        self.repo.requests.clear()
        return self.run("--metadata-url", self.url + "metadata/", "refresh", when=when)

    def download(self, name, when=None):
        self.repo.requests.clear()
        return self.run(
            "--metadata-url", self.url + "metadata/", "--target-name", name, "--target-base-url",
            self.url + "targets/", "--target-dir", self.targets, "download", when=when)

    def refused(self, attack):
        """The last command was refused under this name."""
        assert self.said.startswith(attack + ":"), self.said
        return True

    def version(self, role):
        try:
            with open(os.path.join(self.metadata, role + ".json"), "rb") as file:
                return json.load(file)["signed"]["version"]
        except FileNotFoundError:
            return None

    def trusted(self, role):
        with open(os.path.join(self.metadata, role + ".json"), "rb") as file:
            return file.read()

    def downloaded(self):
        names = sorted(os.listdir(self.targets))
        return sorted(open(os.path.join(self.targets, name), "rb").read() for name in names)


def first_refresh(c):
    assert c.init() and not c.repo.requests
    assert c.refresh()
    assert c.repo.requests == [("root", 2), ("timestamp", None), ("snapshot", 1), ("targets", 1)]
    for role in TOP:
        assert c.trusted(role) == c.repo.files[role][1], role
    assert c.refresh()
    assert c.repo.requests == [("root", 2), ("timestamp", None)]


def implicit_refresh(c):
    c.init()
    assert not c.download("nothing") and c.refused("no-such-target")
    assert [c.version(role) for role in TOP] == [1, 1, 1, 1]


def bad_initial_root(c):
    for change in (lambda d: d["signed"].pop("version"),
                   lambda d: d["signatures"][0].update(sig="00" * 64)):
        data = json.loads(c.repo.files["root"][1])
        change(data)
        c.init(json.dumps(data).encode())
        assert not c.refresh() and not c.repo.requests


def unknown_fields(c):
    c.init()
    root = c.repo.signed("root")
    root.unrecognized_fields["custom"] = {"a": ["é\n\"\\", True, None, -1]}
    root.keys[root.roles["root"].keyids[0]].unrecognized_fields["more"] = {"b": 2}
    root.roles["root"].unrecognized_fields["else"] = "x"
    c.repo.signed("targets").unrecognized_fields["y"] = "\u2028"
    c.repo.publish("root", "targets", "snapshot", "timestamp")
    assert c.refresh() and c.version("root") == 2 and c.version("targets") == 2


def keys_of_all_kinds(c):
    c.init()
    made = [CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(),
            CryptoSigner.generate_rsa(scheme="rsa-pkcs1v15-sha256")]
    if hasattr(CryptoSigner, "generate_mldsa"):
        made.append(CryptoSigner.generate_mldsa())
    else:
        from cryptography.hazmat.primitives.asymmetric import mldsa
        made += [CryptoSigner(kind.generate()) for kind in
                 (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey)]
    for version, signer in enumerate(made, 2):
        c.repo.add_key("root", signer=signer)
        c.repo.signed("root").roles["root"].threshold += 1
        c.repo.publish("root")
        assert c.refresh(), (signer.public_key.scheme, c.said)
        assert c.version("root") == version
    for signer in made:
        c.repo.publish("root")

        def spoil(data, keyid=signer.public_key.keyid):
            for sig in data["signatures"]:
                if sig["keyid"] == keyid:
                    sig["sig"] = sig["sig"][:-2] + ("00" if sig["sig"][-2:] != "00" else "01")
        good = c.repo.files["root"][max(c.repo.files["root"])]
        c.repo.edit("root", spoil)
        assert not c.refresh() and c.refused("arbitrary-software"), signer.public_key.scheme
        c.repo.files["root"][max(c.repo.files["root"])] = good
        assert c.refresh()


def thresholds(c):
    c.repo.signed("root").roles["snapshot"].threshold = 3
    c.repo.add_key("snapshot")
    c.repo.add_key("snapshot")
    c.repo.publish("root", "targets", "snapshot", "timestamp")
    c.init()
    assert c.refresh()
    c.repo.signers["snapshot"].popitem()
    c.repo.publish_all()
    assert not c.refresh() and c.refused("arbitrary-software") and c.version("snapshot") == 2


def duplicate_keys(c):
    c.init()
    signer = c.repo.add_key("snapshot")
    role = c.repo.signed("root").roles["snapshot"]
    role.threshold = 6
    role.keyids.extend([signer.public_key.keyid] * 8)
    c.repo.publish("root", "snapshot", "timestamp")
    c.repo.edit("snapshot", lambda d: d["signatures"].extend([d["signatures"][-1]] * 8))
    assert not c.refresh() and c.version("snapshot") is None


def one_key_under_many_ids(c):
    c.init()
    signer = c.repo.add_key("snapshot")
    root = c.repo.signed("root")
    key = root.keys[signer.public_key.keyid]
    ids = []
    for number in range(3):
        again = type(key)("%064x" % number, key.keytype, key.scheme, key.keyval)
        root.add_key(again, "snapshot")
        ids.append(again.keyid)
    root.roles["snapshot"].threshold = 4
    c.repo.publish("root", "snapshot", "timestamp")

    def spread(data):
        sig = [s for s in data["signatures"] if s["keyid"] == signer.public_key.keyid][0]
        data["signatures"].extend({"keyid": keyid, "sig": sig["sig"]} for keyid in ids)
    c.repo.edit("snapshot", spread)
    assert not c.refresh() and c.refused("arbitrary-software") and c.version("root") == 2


def duplicate_signature_ids(c):
    c.init()
    c.repo.edit("snapshot", lambda d: d["signatures"].append(d["signatures"][0]))
    assert not c.refresh() and c.version("snapshot") is None


def bad_signature_beside_good(c):
    c.init()
    c.repo.add_key("timestamp")
    for bad in ("00" * 64, "", "no hex"):
        c.repo.publish("root", "timestamp")
        c.repo.edit("timestamp", lambda d, bad=bad: d["signatures"][0].update(sig=bad))
        assert c.refresh(), bad


def duplicate_names_in_json(c):
    c.init()
    c.repo.edit("timestamp", lambda d: json.dumps(d).encode().replace(
        b'"signatures":', b'"signed": {}, "signatures":', 1))
    assert not c.refresh() and c.refused("malformed") and c.version("timestamp") is None


def root_rotations(c):
    """Keys and signers by number: each step is signed by the old and new thresholds, or refused."""
    signers = [CryptoSigner.generate_ed25519() for _ in range(10)]
    cases = [
        (True, [([1], 1, [1]), ([2], 1, [2, 1]), ([2], 1, [2])]),
        (True, [([1], 1, [3, 1, 4]), ([2], 1, [3, 2, 1, 4]), ([2], 1, [3, 2, 4])]),
        (True, [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 1])]),
        (True, [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]),
                ([5, 6, 7, 8, 9], 3, [5, 6, 7])]),
        (True, [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1, 2]), ([1, 2, 3], 1, [1])]),
        (True, [([1], 1, [1]), ([1, 2], 2, [1, 2])]),
        (False, [([1], 1, [1]), ([2], 1, [2, 3, 4])]),
        (False, [([1], 1, [1]), ([2], 1, [1, 3, 4])]),
        (False, [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 2, 4])]),
        (False, [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 5])]),
        (False, [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [2])]),
        (False, [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1])]),
    ]
    for good, versions in cases:
        shutil.rmtree(c.metadata, ignore_errors=True)
        c.repo.files["root"] = {}
        c.repo.signed("root").version = 1
        role = c.repo.signed("root").roles["root"]
        for keys, threshold, sigs in versions:
            role.keyids.clear()
            role.threshold = threshold
            for number in keys:
                c.repo.signed("root").add_key(signers[number].public_key, "root")
            c.repo.signers["root"] = {number: signers[number] for number in sigs}
            c.repo.publish("root")
        c.init()
        assert c.refresh() == good, (versions, c.said)
        last = len(versions) if good else len(versions) - 1
        assert c.trusted("root") == c.repo.files["root"][last], versions


def root_skips_a_version(c):
    c.init()
    c.repo.publish("root")
    c.repo.publish("root")
    c.repo.files["root"][2] = c.repo.files["root"][3]
    assert not c.refresh() and c.refused("mix-and-match") and c.version("root") == 1
    c.repo.files["root"][2] = c.repo.files["root"][1]
    assert not c.refresh() and c.refused("rollback") and c.version("root") == 1


def expired(c):
    c.init()
    assert c.refresh()
    for role in ("timestamp", "snapshot", "targets"):
        c.repo.signed(role).expires = PAST
        c.repo.publish_all()
        assert not c.refresh() and c.refused("freeze"), role
        assert c.version(role) == 1 or role != "timestamp"
        c.repo.signed(role).expires = LATER
    c.repo.publish_all()
    assert c.refresh()
    c.repo.signed("root").expires = PAST
    before = c.version("timestamp")
    c.repo.publish("root", "targets", "snapshot", "timestamp")
    assert not c.refresh() and c.refused("freeze")
    assert c.version("root") == 2 and c.version("timestamp") == before


def expired_local_files_do_not_block(c):
    c.init()
    c.repo.signed("timestamp").expires = NOW + datetime.timedelta(days=7)
    c.repo.publish("timestamp")
    assert c.refresh()
    c.repo.signed("timestamp").expires = NOW + datetime.timedelta(days=21)
    c.repo.publish_all()
    assert c.refresh(when=NOW + datetime.timedelta(days=18)), c.said
    assert c.version("timestamp") == 3 and c.version("targets") == 2


def expired_local_files_still_count(c):
    """What has expired is not used, but nothing older is believed either."""
    late = NOW + datetime.timedelta(days=18)
    for role in ("timestamp", "snapshot"):
        shutil.rmtree(c.metadata, ignore_errors=True)
        c.repo.__init__()
        c.init()
        c.repo.signed("timestamp").expires = NOW + datetime.timedelta(days=7)
        c.repo.publish("snapshot", "timestamp")
        assert c.refresh() and c.version("timestamp") == 2
        c.repo.signed("timestamp").expires = NOW + datetime.timedelta(days=21)
        c.repo.restart(role)
        c.repo.publish(*dict(timestamp=["timestamp"], snapshot=["snapshot", "timestamp"])[role])
        assert not c.refresh(when=late) and c.refused("rollback"), (role, c.said)
        assert c.version("timestamp") == 2 and c.version("snapshot") == 2


def frozen(c):
    c.init()
    assert c.refresh()
    assert not c.refresh(when=NOW + datetime.timedelta(days=40)) and c.refused("freeze")


def expired_delegations(c):
    c.init()
    c.repo.delegate("targets", "gone", ["gone/*"], expires=PAST)
    c.repo.artifact("gone/a", b"gone", "gone")
    week = NOW + datetime.timedelta(days=7)
    c.repo.delegate("targets", "week", ["week/*"], expires=week)
    c.repo.artifact("week/a", b"a", "week")
    c.repo.artifact("week/b", b"b", "week")
    c.repo.publish("gone", "week", "targets", "snapshot", "timestamp")
    assert c.refresh() and not c.download("gone/a") and c.refused("freeze")
    assert c.version("gone") is None and c.download("week/a") and c.downloaded() == [b"a"]
    late = NOW + datetime.timedelta(days=18)
    assert not c.download("week/b", when=late) and c.refused("freeze")
    c.repo.signed("week").expires = NOW + datetime.timedelta(days=21)
    c.repo.publish("week", "snapshot", "timestamp")
    assert c.download("week/b", when=late) and c.downloaded() == [b"a", b"b"]


def timestamp_changes_under_its_version(c):
    c.init()
    assert c.refresh()
    before = c.trusted("timestamp")
    c.repo.signed("timestamp").snapshot_meta.version = 100
    c.repo.restart("timestamp")
    c.repo.publish("timestamp")
    assert c.refresh() and c.trusted("timestamp") == before


def rollbacks(c):
    for hashes in (False, True):
        shutil.rmtree(c.metadata, ignore_errors=True)
        c.repo.__init__()
        c.repo.hashes = hashes
        c.init()
        c.repo.publish_all()
        assert c.refresh()
        saved = {role: dict(files) for role, files in c.repo.files.items()}
        for role in ("timestamp", "snapshot", "targets"):
            c.repo.restart(role)
            c.repo.publish(*dict(timestamp=("timestamp",), snapshot=("snapshot", "timestamp"),
                                 targets=("targets", "snapshot", "timestamp"))[role])
            assert not c.refresh() and c.refused("rollback"), (role, c.said)
            assert c.version("snapshot") == 2 and c.version("targets") == 2
            for name in TOP:
                c.repo.files[name] = dict(saved[name])
                c.repo.signed(name).version = max(saved[name])


def role_removed(c):
    c.init()
    c.repo.delegate("targets", "some", ["some/*"])
    c.repo.publish("some", "targets", "snapshot", "timestamp")
    assert c.refresh()
    del c.repo.signed("snapshot").meta["some.json"]
    c.repo.publish("snapshot", "timestamp")
    assert not c.refresh() and c.refused("rollback") and c.version("snapshot") == 2


def fast_forward_recovery(c):
    c.init()
    for role in ("targets", "snapshot", "timestamp"):
        for _ in range(20):
            c.repo.publish(role)
    c.repo.publish("snapshot", "timestamp")
    assert c.refresh() and c.version("targets") == 21
    c.repo.rotate("snapshot")
    c.repo.rotate("timestamp")
    for role in ("targets", "snapshot", "timestamp"):
        c.repo.restart(role)
    c.repo.publish("root", "targets", "snapshot", "timestamp")
    assert c.refresh(), c.said
    assert [c.version(role) for role in TOP] == [2, 1, 1, 1]


def snapshot_key_rotation_alone(c):
    c.init()
    c.repo.delegate("targets", "some", ["some/*"])
    c.repo.publish("some", *["targets"] * 9, "snapshot", "timestamp")
    assert c.refresh() and c.version("targets") == 10
    c.repo.rotate("snapshot")
    c.repo.restart("targets")
    del c.repo.signed("snapshot").meta["some.json"]
    c.repo.publish("root", "targets", "snapshot", "timestamp")
    assert c.refresh() and c.version("targets") == 1


def mix_and_match(c):
    c.init()
    c.repo.hashes = True
    c.repo.publish_all()
    assert c.refresh()
    # Another targets file under the version that the snapshot names.
    c.repo.publish_all()
    version = max(c.repo.files["targets"])
    c.repo.files["targets"][version] = c.repo.files["targets"][version] + b"\n"
    assert not c.refresh() and c.version("targets") == 2
    assert c.said.startswith(("mix-and-match:", "endless-data:")), c.said
    # A snapshot of another version than timestamp names.
    c.repo.hashes = False
    c.repo.publish_all()
    c.repo.files["snapshot"][max(c.repo.files["snapshot"])] = c.repo.files["snapshot"][2]
    assert not c.refresh() and c.refused("mix-and-match")


def endless_data(c):
    c.init()
    c.repo.edit("timestamp", lambda d: json.dumps(d).encode() + b" " * 20_000_000)
    assert not c.refresh() and c.refused("endless-data") and c.version("timestamp") is None


def missing_files(c):
    c.init()
    for role in ("targets", "snapshot", "timestamp"):
        c.repo.files[role] = {}
        assert not c.refresh() and c.refused("missing-file"), role


def delegation_graphs(c):
    star = ["*"]
    graphs = [
        ("A", [("targets", "A", star, False)]),
        ("AB", [("targets", "A", star, False), ("targets", "B", star, False)]),
        ("ACDB", [("targets", "A", star, False), ("targets", "B", star, False),
                  ("A", "C", star, False), ("A", "D", star, False)]),
        ("ACDB", [("targets", "A", star, False), ("targets", "B", star, False),
                  ("A", "C", star, False), ("C", "D", star, False)]),
        ("AC", [("targets", "A", star, False), ("targets", "B", star, False),
                ("A", "C", star, True), ("A", "D", star, False)]),
        ("ACD", [("targets", "A", star, False), ("targets", "B", star, False),
                 ("A", "C", star, True), ("C", "D", star, False)]),
        ("B", [("targets", "A", ["*.py"], False), ("targets", "B", star, False),
               ("A", "C", star, False)]),
        ("ABCD", [("targets", "A", star, False), ("targets", "B", star, False),
                  ("B", "C", star, False), ("C", "D", star, False), ("D", "B", star, False)]),
        ("ACB", [("targets", "A", star, False), ("targets", "B", star, False),
                 ("B", "C", star, False), ("A", "C", star, False)]),
        ("ABC", [("targets", "A", star, False), ("targets", "B", star, False),
                 ("B", "C", star, False), ("A", "C", ["*.py"], False)]),
    ]
    for order, delegations in graphs:
        shutil.rmtree(c.metadata, ignore_errors=True)
        c.repo.__init__()
        for delegator, name, paths, terminating in delegations:
            c.repo.delegate(delegator, name, paths, terminating)
        c.repo.publish(*sorted(set(d[1] for d in delegations)), "targets", "snapshot", "timestamp")
        c.init()
        assert not c.download("missing") and c.refused("no-such-target")
        asked = "".join(role for role, _ in c.repo.requests if len(role) == 1)
        assert asked == order, (asked, order)


def delegated_paths(c):
    c.repo.delegate("targets", "A", ["*.doc", "*.md"])
    c.repo.delegate("targets", "B", ["rel/*/*"])
    c.repo.delegate("B", "C", ["rel/x/*"])
    c.repo.delegate("B", "D", ["rel/y/*.zip"])
    digest = hashlib.sha256(b"bin/1").hexdigest()
    c.repo.delegate("targets", "E", prefixes=["ffffffffff", digest[:3]])
    for path, role in [("t", "targets"), ("R.md", "A"), ("rel/x/v1", "C"), ("rel/y/v1.zip", "D"),
                       ("rel/z/v1.zip", "D"), ("bin/1", "E")]:
        c.repo.artifact(path, path.encode(), role)
    c.repo.publish("A", "B", "C", "D", "E", "targets", "snapshot", "timestamp")
    c.init()
    for path, asked in [("t", ""), ("R.md", "A"), ("rel/x/v1", "BC"), ("rel/y/v1.zip", "BD")]:
        assert c.download(path), (path, c.said)
        got = "".join(role for role, _ in c.repo.requests if len(role) == 1)
        assert set(got) <= set(asked), (path, got)
    assert not c.download("rel/z/v1.zip") and c.refused("no-such-target")
    assert c.download("bin/1")
    assert c.downloaded() == sorted([b"t", b"R.md", b"rel/x/v1", b"rel/y/v1.zip", b"bin/1"])


def hash_bins(c):
    """TAP 15: the hash of a path says which of many roles has it."""
    for bits in (1, 3, 8, 10):
        shutil.rmtree(c.metadata, ignore_errors=True)
        shutil.rmtree(c.targets)
        os.makedirs(c.targets)
        c.repo.__init__()
        bins = SuccinctRoles([], 1, bits, "bin")
        c.repo.signed("targets").delegations = Delegations({}, None, bins)
        signer = CryptoSigner.generate_ed25519()
        c.repo.signed("targets").add_key(signer.public_key)
        paths = ["a", "some/file", "other/file", "%d" % bits]
        roles = {bins.get_role_for_target(path) for path in [*paths, "missing"]}
        for role in roles:
            c.repo.mds[role] = Metadata(Targets(expires=LATER))
            c.repo.signers[role] = {signer.public_key.keyid: signer}
        for path in paths:
            c.repo.artifact(path, path.encode(), bins.get_role_for_target(path))
        c.repo.publish(*sorted(roles), "targets", "snapshot", "timestamp")
        c.init()
        for path in paths:
            assert c.download(path), (bits, path, c.said)
        assert not c.download("missing") and c.refused("no-such-target")
        assert c.downloaded() == sorted(path.encode() for path in paths)
    for change in ({"bit_length": 0}, {"bit_length": 33}, {"name_prefix": None}, {"threshold": 0}):
        c.repo.publish("targets", "snapshot", "timestamp")
        c.repo.edit("targets", lambda d: d["signed"]["delegations"]["succinct_roles"].update(change))
        shutil.rmtree(c.metadata)
        c.init()
        assert not c.refresh() and c.refused("malformed"), c.said


def endless_delegations(c):
    before = "targets"
    for number in range(40):
        c.repo.delegate(before, "r%02d" % number)
        before = "r%02d" % number
    names = ["r%02d" % number for number in range(40)]
    c.repo.publish(*names, "targets", "snapshot", "timestamp")
    c.init()
    assert not c.download("x") and c.refused("endless-data")
    assert 20 <= len([r for r, _ in c.repo.requests if r.startswith("r") and r != "root"]) <= 40


def unusual_role_names(c):
    for name in ("?", "#", "/role", "../role", "a b%é"):
        shutil.rmtree(c.metadata, ignore_errors=True)
        c.repo.__init__()
        c.repo.delegate("targets", name)
        c.repo.publish(name, "targets", "snapshot", "timestamp")
        c.init()
        assert not c.download("nothing") and c.refused("no-such-target"), (name, c.said)
        assert (quote(name, ""), 1) in c.repo.requests, c.repo.requests
        assert len([f for f in os.listdir(c.metadata) if f.endswith(".json")]) == 5
        assert sorted(os.listdir(c.temp)) == ["metadata", "root.json", "targets"]
        assert not c.download("nothing")
        assert (quote(name, ""), 1) not in c.repo.requests, "it was at hand"


def downloads(c):
    c.init()
    c.repo.artifact("a b/f.txt", b"one")
    c.repo.artifact("g", b"two", hashes=("sha512",))
    c.repo.artifact("h", b"three", hashes=("sha256", "sha512"))
    c.repo.publish_all()
    for path in ("a b/f.txt", "g", "h"):
        assert c.download(path), c.said
        assert c.download(path) and ("artifact", path) not in c.repo.requests, "it was at hand"
    assert c.downloaded() == [b"one", b"three", b"two"]


def wrong_downloads(c):
    c.init()
    for number, bad in enumerate([b"bad", b"longer than it may be", b""]):
        path = "f%d" % number
        c.repo.artifact(path, b"one")
        c.repo.artifacts[path] = bad
    c.repo.signed("targets").targets["u"] = TargetFile(3, {"unknown": "00"}, "u")
    c.repo.artifacts["u"] = b"one"
    c.repo.publish_all()
    for path in ("f0", "f1", "f2", "u"):
        assert not c.download(path), path
    assert c.downloaded() == []


def bytes_are_kept(c):
    c.init()
    c.repo.edit("timestamp", lambda d: json.dumps(d, indent=7, sort_keys=False).encode())
    assert c.refresh() and c.trusted("timestamp") == c.repo.files["timestamp"][1]


SCENARIOS = [value for value in list(globals().values())
             if callable(value) and getattr(value, "__code__", None)
             and value.__code__.co_varnames[:1] == ("c",)]


def main():
    global CLIENT
    CLIENT = os.path.abspath(sys.argv[1])
    wanted, passed, failed, skipped = sys.argv[2:], 0, 0, 0
    for scenario in SCENARIOS:
        name = scenario.__name__
        if wanted and name not in wanted:
            continue
        case = Case()
        if not shutil.which("faketime") and "('when',)" in str(scenario.__code__.co_consts):
            print("skipped: %s, because faketime is missing" % name)
            skipped += 1
            continue
        try:
            scenario(case)
            passed += 1
        except Exception:
            failed += 1
            print("FAILED: %s\n%s" % (name, traceback.format_exc()))
        finally:
            case.close()
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Reads a channel that `holdfast-publish` laid out with python-tuf's own client.

    channel.py HOLDFAST_PUBLISH

A channel with a source of its keeper's and one that is delegated to two of three maintainers is made,
served, and read: python-tuf has to find the manifest by the targets role and the delegated file by its own
role, with the digests that were signed; and to follow the delegation to another key, but not back.
Needs the package `tuf`.
"""

import functools
import http.server
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater


def client(home, name, base):
    metadata, targets = home / f"{name}-metadata", home / f"{name}-targets"
    metadata.mkdir()
    targets.mkdir()
    root = (home / "alice/root.json").read_bytes()
    updater = Updater(str(metadata), f"{base}/metadata/", str(targets), f"{base}/targets/",
                      bootstrap=root)
    updater.refresh()
    return updater


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as temp:
        home = pathlib.Path(temp)

        def run(*arguments):
            subprocess.run([program, *arguments], cwd=home, check=True, stdout=subprocess.DEVNULL)

        def sign(name, source):
            run("sign-source", "--home", name, "--channel", "alice/channel", "--id", source, "feed")

        (home / "own").mkdir()
        (home / "own/own.ndb").write_text("Own.A-1:0:*:6162636465666768\n")
        (home / "feed").mkdir()
        feed = b"Feed.A-1:0:*:6162636465666769\n"
        (home / "feed/feed.ndb").write_bytes(feed)
        run("init", "--home", "alice", "--name", "alice.example")
        for source in ["own", "feed"]:
            run("add-source", "--home", "alice", "--id", source, "--author", "A", "--licence", "MIT",
                source)
        keys = []
        for name in ["f1", "f2", "f3", "other"]:
            run("init", "--home", name, "--name", f"{name}.example", "--part", "source", "--root",
                "alice/root.json")
            keys += ["--key", f"{name}/keys/source.pub"]
        run("delegate", "--home", "alice", "--threshold", "2", *keys[:6], "feed")
        sign("f1", "feed")
        sign("f3", "feed")
        run("build", "--home", "alice")

        handler = functools.partial(http.server.SimpleHTTPRequestHandler,
                                    directory=str(home / "alice/channel"))
        http.server.SimpleHTTPRequestHandler.log_message = lambda *_: None
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"

        updater = client(home, "first", base)
        manifest = updater.get_targetinfo("main/manifest.json")
        updater.download_target(manifest)
        path = "main/sources/feed/feed.ndb"
        assert path not in updater._trusted_set.targets.targets, "the targets role signs it itself"
        found = updater.get_targetinfo(path)
        assert pathlib.Path(updater.download_target(found)).read_bytes() == feed
        assert updater.get_targetinfo("main/sources/own/own.ndb") is None

        # The delegation names another's key from here on; then what the first ones signed lies there.
        run("delegate", "--home", "alice", *keys[6:], "feed")
        sign("other", "feed")
        run("build", "--home", "alice")
        updater = client(home, "second", base)
        assert updater.get_targetinfo(path) is not None
        metadata = home / "alice/channel/metadata"
        (metadata / "2.source-feed.json").write_bytes((metadata / "1.source-feed.json").read_bytes())
        try:
            client(home, "third", base).get_targetinfo(path)
        except (DownloadError, RepositoryError) as error:
            print(f"refused as it should be: {error}")
        else:
            sys.exit("python-tuf believed the wrong role")
        server.shutdown()
    print("ok: python-tuf reads a channel with delegated sources")


if __name__ == "__main__":
    main()

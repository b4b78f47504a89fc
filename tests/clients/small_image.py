"""An image that costs nothing to move."""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import MANIFEST, check, image, sha256


class SmallImage:
    """An OCI layout with the tag `image`: one file in one layer."""

    def __init__(self, folder):
        self.layout = folder
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            entry = tarfile.TarInfo("payload")
            entry.size = 100_000
            archive.addfile(entry, io.BytesIO(os.urandom(entry.size)))
        self.layer = gzip.compress(tar.getvalue())
        self.config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": [sha256(tar.getvalue())]}}).encode()
        document = image(sha256(self.config), len(self.config), [(sha256(self.layer), len(self.layer))])
        document["layers"][0]["mediaType"] += "+gzip"
        self.manifest = json.dumps(document).encode()
        self.digest = sha256(self.manifest)
        index = json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.manifest),
             "annotations": {"org.opencontainers.image.ref.name": "image"}}]}).encode()
        os.makedirs(os.path.join(folder, "blobs/sha256"))
        for data in (self.layer, self.config, self.manifest):
            with open(os.path.join(folder, "blobs/sha256", hashlib.sha256(data).hexdigest()), "wb") as f:
                f.write(data)
        for name, data in (("index.json", index), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)

    def push(self, client, repository, tag="1"):
        client.push_blob(repository, self.layer)
        client.push_blob(repository, self.config)
        client.push_manifest(repository, tag, self.manifest)

    def pull(self, client, repository, tag="1"):
        headers, body = client.expect(200, "GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST})
        check(body == self.manifest and headers["docker-content-digest"] == self.digest, "another manifest")
        for data in (self.layer, self.config):
            check(client.expect(200, "GET", f"/v2/{repository}/blobs/{sha256(data)}")[1] == data, "other bytes")

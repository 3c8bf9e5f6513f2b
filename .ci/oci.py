"""Writes an image of one file as an OCI archive (image-spec 1.1, image-layout), the same bytes for the same input: for
.ci/image and for the images of tests/cluster/node. `ctr images import`, `podman load` and `skopeo` read it.
"""
import hashlib
import io
import json
import tarfile


def write_archive(out, name, program, at, entry_point, user="", labels=None):
    """`program` (a path) becomes the file `at` of an otherwise empty root. `name` is `registry/repository:tag`."""
    layer = layer_of(program, at)
    config = canonical({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": entry_point, "User": user, "Labels": labels or {}, "WorkingDir": "/",
                   "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created_by": f"COPY {at}"}],
    })
    manifest = canonical({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer)],
    })
    tag = name.rsplit(":", 1)[1]
    index = canonical({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described("application/vnd.oci.image.manifest.v1+json", manifest) | {
            "platform": {"architecture": "amd64", "os": "linux"},
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}}],
    })
    files = {"oci-layout": canonical({"imageLayoutVersion": "1.0.0"}), "index.json": index}
    files |= {f"blobs/sha256/{digest(blob)[7:]}": blob for blob in (layer, config, manifest)}
    with open(out, "wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(files):
            add(archive, path, files[path], 0o644)


def layer_of(program, at):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, at.lstrip("/"), open(program, "rb").read(), 0o755)
    return buffer.getvalue()


def add(archive, path, content, mode):
    """Owner root, time 0."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def described(media_type, content):
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}

"""Upload and download by the real client, from and to a Hub on loopback."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from slm_espnet.bin import pack
from slm_espnet.hub.manifest import write_manifest

TOKEN = "hf_me"
SPEAK = {"text": "call james on monday", "instruction": "translate this speech from english to spanish"}


def fails(client, message, name, **arguments):
    with pytest.raises(Exception, match=message):
        client(name, **arguments)


@pytest.fixture(scope="module")
def shared(hub, client, package):
    """The package on the Hub; its commit."""
    done = client("upload", folder=package, repo="me/model", token=TOKEN)
    assert done["changed"] and done["url"] == f"{hub.url}/me/model"
    return done["commit"]


def test_what_is_uploaded_is_what_is_there_and_twice_sends_nothing(hub, client, package, shared):
    there = hub.files("me/model")
    ours = {path.relative_to(package).as_posix(): path for path in package.rglob("*") if path.is_file()}
    assert there.keys() - {".gitattributes"} == ours.keys()
    assert all(there[name] == path.read_bytes() for name, path in ours.items())
    hub.requests.clear()
    again = client("upload", folder=package, repo="me/model", token=TOKEN)
    assert not again["changed"] and again["commit"] == shared
    assert hub.count("PUT ") == 0 and hub.count("POST .*/commit/") == 0


def test_only_what_changed_is_sent_and_what_others_put_there_stays(hub, client, package, shared, tmp_path):
    folder = shutil.copytree(package, tmp_path / "package")
    client("upload", folder=folder, repo="me/second", token=TOKEN)
    added = {**hub.repositories["me/second"].commits[-1][1], "demo.wav": hub.entry(b"mine")}
    hub.repositories["me/second"].add(added)
    (folder / "RESULTS.md").unlink()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# new\n")
    write_manifest(folder)
    hub.requests.clear()
    assert client("upload", folder=folder, repo="me/second", token=TOKEN)["changed"]
    there = hub.files("me/second")
    assert "RESULTS.md" not in there and there["demo.wav"] == b"mine" and b"# new" in there["README.md"]
    assert hub.count("PUT ") == 0, "no weights are sent again"


def test_an_upload_that_breaks_off_goes_on(hub, client, package):
    for blob in [name for name, data in hub.blobs.items() if len(data) > 100_000]:
        del hub.blobs[blob]
    hub.requests.clear()
    hub.faults = ["PUT /_lfs/", "POST /api/models/me/third/commit/"]
    done = client("upload", folder=package, repo="me/third", token=TOKEN)
    weights = list(package.rglob("*.safetensors"))
    assert done["changed"] and hub.faults == [] and len(weights) == 3
    # the one whose connection broke is sent twice, and so may be those under way beside it; after the commit none
    assert len(weights) < hub.count("PUT /_lfs/") <= 2 * len(weights)
    assert hub.count("POST /api/models/me/third/commit/") == 2


def test_a_private_repository(hub, client, package, tmp_path):
    client("upload", folder=package, repo="me/secret", private=True, token=TOKEN)
    assert hub.repositories["me/secret"].private
    cure = "me/secret does not exist on the Hub, or is private: .*hf auth login.*HF_TOKEN"
    fails(client, cure, "fetch", model="me/secret", cache_dir=tmp_path)
    assert client("fetch", model="me/secret", token=TOKEN, cache_dir=tmp_path)
    fails(client, "is private and --hf_private asks for public", "upload", folder=package, repo="me/secret",
          private=False, token=TOKEN)  # fmt: skip
    fails(client, "me/secret is not allowed: .*hf auth login|private: .*hf auth login", "upload", folder=package,
          repo="me/secret")  # fmt: skip
    fails(client, "not allowed: log in", "upload", folder=package, repo="others/model", token=TOKEN)
    fails(client, "is user/name, not 'model'", "upload", folder=package, repo="model", token=TOKEN)


def test_a_pinned_revision_stays_and_the_cache_is_used(hub, client, package, shared, tmp_path):
    folder = shutil.copytree(package, tmp_path / "package")
    hub.requests.clear()
    first = client("fetch", model="me/model", cache_dir=tmp_path / "cache")
    assert first.endswith(shared) and hub.count("GET .*/resolve/.*adapter.safetensors") == 1
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# later\n")
    later = client("upload", folder=folder, repo="me/model", token=TOKEN)["commit"]
    hub.requests.clear()
    assert client("fetch", model=f"me/model@{shared}", cache_dir=tmp_path / "cache") == first
    assert client("fetch", model="me/model", cache_dir=tmp_path / "cache").endswith(later)
    assert hub.count("GET .*/resolve/.*safetensors") == 0, "both revisions have the same weights"
    count = len(hub.requests)
    assert client("fetch", model="me/model", cache_dir=tmp_path / "cache", local_files_only=True).endswith(later)
    assert len(hub.requests) == count, "no server was asked"
    fails(client, "no such revision", "fetch", model="me/model@nowhere", cache_dir=tmp_path)
    fails(client, "does not exist on the Hub", "fetch", model="me/none", cache_dir=tmp_path)
    fails(client, "not in the local cache", "fetch", model="me/none", cache_dir=tmp_path, local_files_only=True)
    fails(client, "nor a name on the Hub", "fetch", model="me/model@", cache_dir=tmp_path)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub, client, package, shared, tmp_path):
    hub.requests.clear()
    hub.faults = ["GET .*/foundations/llm/model.safetensors", "GET .*/package.json", "GET /api/models/me/model/"]
    folder = client("fetch", model=f"me/model@{shared}", cache_dir=tmp_path)
    assert hub.faults == []
    name = "foundations/llm/model.safetensors"
    assert (package / name).read_bytes() == (Path(folder) / name).read_bytes()
    assert hub.count(f"GET .*{name} bytes=[1-9]") == 1, "the second half alone is asked for"


def test_a_damaged_file_is_fetched_again_once_and_refused_if_it_stays_so(hub, client, package, shared, tmp_path):
    folder = Path(client("fetch", model=f"me/model@{shared}", cache_dir=tmp_path))
    blob = (folder / "adapter.safetensors").resolve()
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    client("fetch", model=f"me/model@{shared}", cache_dir=tmp_path)
    assert (folder / "adapter.safetensors").read_bytes() == good
    name = next(name for name, data in hub.blobs.items() if data == good)
    try:
        hub.blobs[name] = good[:-1] + bytes([good[-1] ^ 1])
        fails(client, "adapter.safetensors is damaged or was changed", "fetch", model=f"me/model@{shared}",
              cache_dir=tmp_path / "other")  # fmt: skip
    finally:
        hub.blobs[name] = good
    assert client("fetch", model=f"me/model@{shared}", cache_dir=tmp_path / "other")


def test_nothing_but_a_packages_files_is_downloaded(hub, client, package, shared, tmp_path):
    good = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*") if path.is_file()}
    hub.publish("bad/extra", {**good, "run.py": b"evil", "model.pkl": b"evil"})
    hub.requests.clear()
    client("fetch", model="bad/extra", cache_dir=tmp_path)
    assert hub.count("(GET|HEAD) .*(run.py|model.pkl)") == 0
    manifest = json.loads(good["package.json"])
    for repo, name, message in (
        ("bad/outside", "../../outside.json", "outside of its folder"),
        ("bad/pickle", "weights.bin", "weights must be safetensors"),
    ):
        files = {**manifest["files"], name: {"size": 4, "sha256": "0" * 64}}
        hub.publish(repo, {**good, "package.json": json.dumps({**manifest, "files": files}).encode()})
        hub.requests.clear()
        fails(client, message, "fetch", model=repo, cache_dir=tmp_path)
        assert hub.count("GET .*/resolve/") == 1, "the manifest alone was fetched"
    pickle = b"\x80\x04evil"
    facts = {"size": len(pickle), "sha256": hashlib.sha256(pickle).hexdigest()}
    files = {**manifest["files"], "adapter.safetensors": facts}
    changed = {"package.json": json.dumps({**manifest, "files": files}).encode(), "adapter.safetensors": pickle}
    hub.publish("bad/weights", {**good, **changed})
    fails(client, "adapter.safetensors is a pickle", "fetch", model="bad/weights", cache_dir=tmp_path)
    hub.publish("bad/none", {"README.md": b"hello"})
    fails(client, "is no package of slm_espnet", "fetch", model="bad/none", cache_dir=tmp_path)


def test_a_name_is_enough_for_the_model_and_for_espnets_downloader(client, package, shared, tmp_path):
    expected = client("answer", model=str(package), options={}, **SPEAK)
    options = {"cache_dir": str(tmp_path / "cache")}
    assert client("answer", model=f"me/model@{shared}", options=options, **SPEAK) == expected and expected
    assert client("espnet", model=f"me/model@{shared}", cachedir=tmp_path / "zoo", **SPEAK) == expected
    fails(client, "no such folder, and no name", "answer", model="./nowhere", options={}, **SPEAK)


def test_foundations_are_fetched_at_their_revisions_and_then_found_without_a_network(
    hub, client, pack_arguments, package, top, tmp_path
):
    """The models' own repositories: a T5, and an encoder as ESPnet packs it."""
    sides = {side: top / "egs2/mini/foundations" / side for side in ("encoder", "llm")}
    files = {side: {path.name: path.read_bytes() for path in folder.iterdir()} for side, folder in sides.items()}
    named = {"files": {"asr_model_file": "model.safetensors"}, "yaml_files": {"asr_train_config": "config.yaml"}}
    files["encoder"]["meta.yaml"] = json.dumps(named).encode()
    commits = {side: hub.publish(f"me/{side}", files[side]) for side in sides}
    hub.publish("me/llm", {"config.json": b"{}"})  # another model since then
    names = ["--speech_encoder_name", f"me/encoder@{commits['encoder']}", "--llm_name", f"me/llm@{commits['llm']}"]
    pack.main([*pack_arguments, "--output_dir", str(tmp_path / "light"), *names])
    client("upload", folder=tmp_path / "light", repo="me/light", token=TOKEN)
    expected = client("answer", model=str(package), options={}, **SPEAK)
    assert client("answer", model="me/light", options={}, **SPEAK) == expected
    hub.stop()
    try:
        assert client("answer", model="me/light", options={}, **SPEAK) == expected
    finally:
        hub.start()
    # weights that are others than in training
    other = bytearray(files["llm"]["model.safetensors"])
    other[-1] ^= 1
    changed = hub.publish("me/llm", {**files["llm"], "model.safetensors": bytes(other)})
    pack.main([*pack_arguments, "--output_dir", str(tmp_path / "light"), *names[:3], f"me/llm@{changed}"])
    fails(client, f"weights_sha256: [0-9a-f]{{64}} in training, {hashlib.sha256(other).hexdigest()} now", "answer",
          model=str(tmp_path / "light"), options={}, **SPEAK)  # fmt: skip

"""Named weights: readers, checks, the cache, the commands."""

import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitcore import weights
from hitcore.errors import ParameterError, WeightsError
from hitcore.weights.foreign import crc32c, read_npz, read_tensor_bundle

RANDOM = np.random.default_rng(0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the folder of installed weights in it."""
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def published(shared: Path) -> Path:
    return shared / "reference" / "hsp_cnn"


# --- TensorFlow's format, written here to be read there ------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    body, last = b"", b""
    for key, value in entries:
        pairs = zip(last, key, strict=False)
        n_shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        own = key[n_shared:]
        body += varint(n_shared) + varint(len(own)) + varint(len(value)) + own + value
        last = key
    body += struct.pack("<II", 0, 1)
    return body + b"\0" + masked(body + b"\0")


def tensor_bundle(tensors: dict[str, np.ndarray], shards: int = 1) -> tuple[bytes, bytes]:
    """Index and data of a checkpoint, as TensorFlow's BundleWriter lays them out."""
    codes = {"float32": 1, "float64": 2, "int32": 3, "int64": 9}
    entries, data = [(b"", b"\x08" + varint(shards) + b"\x1a\x02\x08\x01")], b""
    for key in sorted(tensors):
        value = np.asarray(tensors[key], order="C")
        content = value.tobytes()
        dims = b"".join(
            b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in value.shape)
        )
        entry = b"\x08" + varint(codes[value.dtype.name]) + b"\x12" + varint(len(dims)) + dims
        entry += b"\x20" + varint(len(data)) + b"\x28" + varint(len(content))
        entries.append((key.encode(), entry + b"\x35" + masked(content)))
        data += content
    first = block(entries)
    meta = block([])
    handle = varint(0) + varint(len(first) - 5)
    top = block([(b"\xff", handle)])
    footer = varint(len(first)) + varint(len(meta) - 5)
    footer += varint(len(first) + len(meta)) + varint(len(top) - 5)
    footer = footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    return first + meta + top + footer, data


def random_tensors(shapes: weights.NamedWeights) -> dict[str, np.ndarray]:
    return {
        key: RANDOM.standard_normal(shape).astype(np.float32)
        for key, shape in shapes.shapes.items()
    }


SMALL = {
    "a/kernel": RANDOM.standard_normal((3, 5)).astype(np.float32),
    "a/kernel/Adam": RANDOM.standard_normal((3, 5)),
    "b": np.arange(7, dtype=np.int64),
    "step": np.array(3, np.int32),
}


def test_checksum_of_the_standard_vectors() -> None:
    vectors = {
        bytes(32): 0x8A9136AA,
        b"\xff" * 32: 0x62A8AB43,
        bytes(range(32)): 0x46DD794E,
        bytes(range(31, -1, -1)): 0x113FDB5C,
        b"": 0,
        b"a": 0xC1D04330,
    }
    for content, expected in vectors.items():
        assert crc32c(content) == expected


@given(st.binary(max_size=300) | st.binary(min_size=500, max_size=3000))
def test_checksum_equals_bit_by_bit(content: bytes) -> None:
    state = 0xFFFFFFFF
    for byte in content:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    assert crc32c(content) == state ^ 0xFFFFFFFF


def test_bundle_round_trip() -> None:
    found = read_tensor_bundle(*tensor_bundle(SMALL))
    assert found.keys() == SMALL.keys()
    for key, value in SMALL.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)


def test_bundle_damage_names_the_tensor() -> None:
    index, data = tensor_bundle(SMALL)
    position = data.index(SMALL["b"].tobytes()) + 3
    changed = data[:position] + b"\x55" + data[position + 1 :]
    with pytest.raises(WeightsError, match="tensor b: its checksum"):
        read_tensor_bundle(index, changed)
    with pytest.raises(WeightsError, match=r"tensor step: bytes .* outside the data file"):
        read_tensor_bundle(index, data[:-1])
    other, _ = tensor_bundle({**SMALL, "a/kernel": SMALL["a/kernel"] + 1})
    with pytest.raises(WeightsError, match=r"tensor a/kernel: .* another index"):
        read_tensor_bundle(other, data)
    with pytest.raises(WeightsError, match="2 shards"):
        read_tensor_bundle(*tensor_bundle(SMALL, shards=2))
    with pytest.raises(WeightsError, match="closing mark"):
        read_tensor_bundle(index[:-1], data)
    with pytest.raises(WeightsError, match="closing mark"):
        read_tensor_bundle(b"", b"")


@settings(deadline=None)
@given(st.data())
def test_bundle_index_damaged_anywhere_is_an_error_or_harmless(choose: st.DataObject) -> None:
    index, data = tensor_bundle(SMALL)
    position = choose.draw(st.integers(0, len(index) - 1))
    damaged = bytearray(index)
    damaged[position] ^= choose.draw(st.integers(1, 255))
    try:
        found = read_tensor_bundle(bytes(damaged), data)
    except WeightsError:
        return
    # Only the parts that nothing reads (the empty block of statistics) may change unnoticed.
    assert found.keys() == SMALL.keys()
    assert all(np.array_equal(found[key], SMALL[key]) for key in SMALL)


# --- numpy's archive -----------------------------------------------------------------------------


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def test_npz_round_trip_in_either_order_of_memory() -> None:
    value = np.asfortranarray(RANDOM.standard_normal((3, 4)))
    found = read_npz(npz(a=value, b=value[:0]))
    np.testing.assert_array_equal(found["a"], value)
    assert found["b"].shape == (0, 4)


def test_npz_refuses_objects_bombs_lies_and_damage() -> None:
    with pytest.raises(WeightsError, match=r"tags\.npy holds object; only numbers"):
        read_npz(npz(tags=np.array(["a", None], dtype=object)))
    bomb = npz(zeros=np.zeros(3_000_000))
    assert len(bomb) < 30_000
    with pytest.raises(WeightsError, match="unpacks to 24000"):
        read_npz(bomb, max_bytes=1_000_000)
    good = npz(a=np.ones((3, 4), np.float32))
    with pytest.raises(WeightsError, match=r"not an \.npz"):
        read_npz(good[: len(good) // 2])
    with pytest.raises(WeightsError, match=r"not an \.npz"):
        read_npz(b"")
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.npy", stream.getvalue())
    with pytest.raises(WeightsError, match=r"a\.npy claims shape \(1099511627776,\)"):
        read_npz(archive.getvalue())


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_npz_damaged_anywhere_raises_only_ours(position: int, change: int) -> None:
    content = bytearray(npz(a=np.arange(50.0), b=np.ones(3)))
    content[position % len(content)] ^= change
    try:
        found = read_npz(bytes(content))
    except WeightsError:
        return
    assert all(np.isfinite(value).all() for value in found.values())


# --- conversion ----------------------------------------------------------------------------------

NAM = weights.REGISTRY["nam-lf"]


def nam_files(tensors: dict[str, np.ndarray]) -> dict[str, bytes]:
    index, data = tensor_bundle(tensors)
    return {NAM.files[0].path: index, NAM.files[1].path: data}


def test_convert_keeps_the_networks_tensors_only() -> None:
    tensors = random_tensors(NAM)
    slots = {f"{key}/Adam": value for key, value in tensors.items()}
    converted = weights.convert(NAM, nam_files(tensors | slots))
    assert converted.tensors.keys() == tensors.keys()
    assert all(np.array_equal(converted.tensors[key], tensors[key]) for key in tensors)
    assert converted.metadata["licence"].startswith("CC BY-NC")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("Conv_1/weights"), "nam-lf: the tensor Conv_1/weights is missing"),
        (lambda t: t.update({"Conv/weights": t["Conv/weights"][1:]}), "Conv/weights is float32"),
        (
            lambda t: t.update({"Conv/weights": t["Conv/weights"].astype(np.float64)}),
            "Conv/weights is float64",
        ),
        (lambda t: t["fully_connected/weights"].__setitem__((3, 3), np.nan), "holds NaN"),
        (lambda t: t["Conv_2/BatchNorm/beta"].__setitem__(0, np.inf), "Conv_2/BatchNorm/beta"),
    ],
)
def test_convert_names_the_bad_tensor(change, message: str) -> None:
    tensors = random_tensors(NAM)
    change(tensors)
    with pytest.raises(WeightsError, match=message):
        weights.convert(NAM, nam_files(tensors))


def test_convert_needs_whole_tag_lists(published: Path) -> None:
    entry = weights.REGISTRY["jynet"]
    files = {file.path: (published / file.path).read_bytes() for file in entry.files}
    good = weights.convert(entry, files)
    assert len(good.metadata["tag_names"]) == 50
    assert len(good.metadata["all_tag_names"]) == 188
    short = entry.files[2].path
    for damaged in (b"", files[short][:-20], files[short].replace(b"guitar", b"kazoo")):
        with pytest.raises(WeightsError, match=r"tag"):
            weights.convert(entry, files | {short: damaged})


def test_every_entry_is_fully_described() -> None:
    for name, entry in weights.REGISTRY.items():
        assert entry.name == name
        assert all((entry.title, entry.trained_on, entry.source, entry.licence, entry.limits))
        assert all(file.sha256 for file in entry.files) or not entry.fetchable
        assert all(min(shape) > 0 for shape in entry.shapes.values())
    n_parameters = {
        name: sum(int(np.prod(s)) for s in entry.shapes.values())
        for name, entry in weights.REGISTRY.items()
    }
    assert n_parameters["kkbox-ret30"] == 107_361 + 18_261


# --- files of ours -------------------------------------------------------------------------------


def test_saved_weights_come_back(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "w.safetensors"
    weights.save(path, SMALL, {"name": "w", "spec": {"n": 3}, "licence": "MIT"})
    found = weights.load(path)
    assert found.metadata["spec"] == {"n": 3}
    assert all(np.array_equal(found.tensors[key], SMALL[key]) for key in SMALL)
    assert [file.name for file in path.parent.iterdir()] == ["w.safetensors"]
    assert path.stat().st_mode & 0o044


def test_damaged_files_of_ours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(path, SMALL, {"name": "w"})
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        damaged = bytearray(good)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        try:
            found = weights.load(path)
        except WeightsError:
            continue
        # What the checksum leaves out is the description alone.
        assert all(np.array_equal(found.tensors[key], SMALL[key]) for key in SMALL)
    for content in (b"", good[:40], good[:-3], good + b"x", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="damaged"):
            weights.load(path)
    with pytest.raises(WeightsError, match="tensor a holds NaN"):
        weights.save(path, {"a": np.array([np.nan])}, {})


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "foreign.safetensors"
    save_file(SMALL, path)
    with pytest.raises(WeightsError, match="does not say what it is"):
        weights.load(path)
    with pytest.raises(WeightsError, match="does not exist"):
        weights.load(tmp_path / "absent.safetensors")
    with pytest.raises(ParameterError, match="no weights are named 'nix'"):
        weights.load("nix")


def test_killed_writer_leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    program = (
        "import sys, numpy as np; from hitcore import weights\n"
        "a = np.zeros(1_000_000, np.float32); print('ready', flush=True)\n"
        "while True: weights.save(sys.argv[1], {'a': a}, {'name': 'w'}); a = a + 1\n"
    )
    for delay in (0.0, 0.01, 0.02, 0.05):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if path.exists():
            assert np.ptp(weights.load(path).tensors["a"]) == 0


# --- the cache -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("kkbox-ret30", "."),
        ("kkbox-ret30", "ret30.mdl"),
        ("kkbox-ret30", "ret30.mdl/model.ckpt.index"),
        ("kkbox-ret30", "ret30.mdl/model.ckpt.data-00000-of-00001"),
        ("jynet", "."),
        ("jynet", "data"),
        ("jynet", "data/models/model.20160309_111546.npz"),
    ],
)
def test_import_from_whatever_path(cache: Path, published: Path, name: str, where: str) -> None:
    assert not weights.is_installed(name)
    path = weights.import_local(name, published / where)
    assert path.parent == cache
    found = weights.load(name)
    assert {key: value.shape for key, value in found.tensors.items()} == dict(
        weights.REGISTRY[name].shapes
    )


def test_import_refuses_what_is_not_the_published_file(
    cache: Path, published: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    names = ["model.ckpt.index", "model.ckpt.data-00000-of-00001"]
    with pytest.raises(WeightsError, match=r"model\.ckpt\.index was not found"):
        weights.import_local("kkbox-ret30", folder)
    for name in names:
        (folder / name).write_bytes((published / "ret30.mdl" / name).read_bytes())
    data = bytearray((folder / names[1]).read_bytes())
    (folder / names[1]).write_bytes(data[:-4])
    with pytest.raises(WeightsError, match=r"has 1004972 bytes, the published .* has 1004976"):
        weights.import_local("kkbox-ret30", folder)
    data[1000] ^= 1
    (folder / names[1]).write_bytes(data)
    with pytest.raises(WeightsError, match=r"-00001 is not the published .* its sha256 is"):
        weights.import_local("kkbox-ret30", folder)
    (folder / "model.20160309_111546.npz").write_bytes(
        (published / "data/models/model.20160309_111546.npz").read_bytes()
    )
    with pytest.raises(WeightsError, match=r"tag_list\.top188\.txt was not found"):
        weights.import_local("jynet", folder)
    with pytest.raises(WeightsError, match="does not exist; jynet is read from"):
        weights.import_local("jynet", tmp_path / "nowhere")
    fake = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    fake.write_bytes(b"no wheel")
    with pytest.raises(WeightsError, match="is not the published musicnn-0"):
        weights.import_local("musicnn-mtt", fake)
    assert not list(cache.glob("*.safetensors"))


def test_damage_in_the_cache_is_found_and_told(cache: Path, published: Path) -> None:
    path = weights.import_local("kkbox-ret30", published)
    weights.verify()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="hitcore weights import kkbox-ret30"):
        weights.load("kkbox-ret30")
    with pytest.raises(WeightsError, match="checksum"):
        weights.verify()
    states = {row.name: row.state for row in weights.status()}
    assert states["kkbox-ret30"] == "damaged"
    assert states["jynet"] == "absent"
    weights.import_local("kkbox-ret30", published)
    assert weights.is_installed("kkbox-ret30")


def test_another_networks_file_under_our_name_is_refused(cache: Path) -> None:
    weights.save(cache / "jynet.safetensors", SMALL, {"name": "jynet"})
    with pytest.raises(WeightsError, match="jynet: the tensor arr_0 is missing"):
        weights.load("jynet")


def test_two_processes_import_at_once(cache: Path, published: Path) -> None:
    cache.mkdir(parents=True)
    (cache / ".jynet.0123456789ab.part.safetensors").write_bytes(b"left by a killed process")
    command = [sys.executable, "-m", "hitcore", "weights", "import", "jynet", str(published)]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert weights.is_installed("jynet")
    assert not list(cache.glob("*.part.*"))


def test_unwritable_cache_says_what_to_do(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="set HITCORE_CACHE"):
        weights.import_local("jynet", published)


def test_packaged_weights_go_by_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ASSETS", tmp_path)
    weights.save(
        tmp_path / "demo-j.safetensors",
        SMALL,
        {"name": "demo-j", "title": "Demo", "kind": "hit model", "licence": "MIT"},
    )
    assert weights.load("demo-j").metadata["title"] == "Demo"
    row = weights.status()[-1]
    assert (row.name, row.state, row.title, row.licence) == ("demo-j", "installed", "Demo", "MIT")
    json.dumps(row.to_dict(), allow_nan=False)


# --- the network ---------------------------------------------------------------------------------


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                accepted.append(server.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    for connection in accepted:
        connection.close()


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hitcore", "weights", *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_optional_fetch_gives_up_in_time_and_does_not_wait_again(
    cache: Path, deaf_server: str
) -> None:
    words = ["fetch", "kkbox-ret30", "jynet", "--quiet", "--optional", "--timeout", "2"]
    proxy = {"HTTPS_PROXY": deaf_server, "https_proxy": deaf_server, "NO_PROXY": "", "no_proxy": ""}
    start = time.monotonic()
    done = command(*words, **proxy)
    first_s = time.monotonic() - start
    assert (done.returncode, done.stdout) == (0, "")
    assert len(done.stderr.splitlines()) == 1
    assert "hitcore weights import kkbox-ret30" in done.stderr
    assert "hitcore weights import jynet" in done.stderr
    assert first_s < 8
    again = command(*words, **proxy)
    assert again.returncode == 0
    assert "within the last day" in again.stderr
    needed = command("fetch", "jynet", "--timeout", "0.5", **proxy)
    assert (needed.returncode, len(needed.stderr.splitlines())) == (2, 1)
    assert "did not arrive within 0.5 s" in needed.stderr


def test_a_wheel_that_is_not_the_published_one_is_refused(cache: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "musicnn-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("musicnn/__init__.py", "")
        info = "musicnn-0.1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    local = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    done = command("fetch", "musicnn-mtt", **local)
    assert done.returncode == 2
    assert "is not the published musicnn-0.1.0-py3-none-any.whl" in done.stderr
    (tmp_path / "musicnn-0.1.0-py3-none-any.whl").unlink()
    done = command("fetch", "musicnn-mtt", **local)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "hitcore weights import musicnn-mtt PATH" in done.stderr


def test_import_only_weights_are_never_downloaded(cache: Path) -> None:
    with pytest.raises(WeightsError, match="CC BY-NC"):
        weights.fetch("nam-lf")


def test_commands(cache: Path, published: Path) -> None:
    done = command("import", "kkbox-ret30", str(published))
    assert done.returncode == 0, done.stderr
    again = command("fetch", "kkbox-ret30")  # installed: nothing to download
    assert str(cache / "kkbox-ret30.safetensors") in again.stdout
    rows = {row["name"]: row for row in json.loads(command("list", "--json").stdout)}
    assert rows["kkbox-ret30"]["state"] == "installed"
    assert rows["jynet"]["message"]
    assert "kkbox-ret30" in command("list").stdout
    assert command("verify").returncode == 0
    (cache / "kkbox-ret30.safetensors").write_bytes(b"no longer")
    done = command("verify")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    wrong = command("import", "nix", str(published))
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)


def test_a_wrong_pin_is_told_by_the_file(cache: Path, published: Path) -> None:
    entry = weights.REGISTRY["kkbox-ret30"]
    changed = replace(entry, files=tuple(replace(f, sha256="0" * 64) for f in entry.files))
    from hitcore.weights.obtain import from_local

    with (
        from_local(changed, published) as files,
        pytest.raises(WeightsError, match=r"model\.ckpt\.index is not the published"),
    ):
        files(changed)

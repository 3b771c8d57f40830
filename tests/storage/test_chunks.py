"""The files of arrays are those that zarr writes, and their values are those that zarr reads."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from numcodecs.zstd import compress
from zarr.codecs import ZstdCodec

from circuitstore.errors import DamageError
from circuitstore.storage.chunks import encoded, metadata, rows
from circuitstore.storage.content import DTYPES
from circuitstore.storage.group import files_of
from circuitstore.storage.layout import Store
from circuitstore.storage.listed import ListedFiles, StoredArray, checked_array
from circuitstore.storage.objects import ObjectReader, write_object

TEXT = np.dtypes.StringDType()
KINDS = [*sorted(DTYPES), "text"]


@st.composite
def arrays(draw) -> tuple[StoredArray, np.ndarray]:
    """An array of any dtype, cut into any chunks and files that the format allows, and its values."""
    kind = draw(st.sampled_from(KINDS))
    dtype = np.dtype(TEXT if kind == "text" else kind)
    shape = draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7))
    chunk = tuple(draw(st.integers(1, max(1, n))) for n in shape)
    most = [range(n, 2 * max(1, m) + 1, n) for n, m in zip(chunk, shape, strict=True)]
    file = chunk if kind == "text" else tuple(draw(st.sampled_from(list(sizes))) for sizes in most)
    number = np.random.default_rng(draw(st.integers(0, 99)))
    values = number.integers(-3, 1000, shape)
    if kind == "text":
        values = np.vectorize(lambda n: "é" * (n % 5) + str(n), otypes=[object])(values)
    attrs = draw(st.sampled_from([{}, {"units": "nats", "list": [1, 2.5]}]))
    dims = tuple(f"dim{i}" for i in range(len(shape)))
    return StoredArray("x", shape, dtype, dims, attrs, file, chunk), values.astype(dtype)


def by_zarr(folder: Path, array: StoredArray, values: np.ndarray) -> dict[str, bytes]:
    """The files that zarr writes for an array, by their paths."""
    stored = zarr.create_array(
        folder,
        shape=array.shape,
        dtype=array.dtype,
        chunks=array.chunk,
        shards=None if array.is_text else array.file,
        compressors=[ZstdCodec(level=1, checksum=True)],
        dimension_names=array.dims,
        attributes=array.attrs,
        config={"write_empty_chunks": True},
    )
    if values.size:
        stored[...] = values
    found = (path for path in folder.rglob("*") if path.is_file())
    return {f"x/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in found}


def listed(folder: Path, files: dict[str, bytes]) -> ListedFiles:
    """These files in a folder, as a manifest lists them, without their hashes."""
    for path, raw in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(raw)
    return ListedFiles(str(folder), str(folder), {path: (len(raw), "") for path, raw in files.items()})


@settings(max_examples=150, deadline=None)
@given(arrays(), st.data())
def test_files_and_values_are_those_of_zarr(tmp_path_factory, made, data):
    """Metadata as JSON; chunks byte for byte where only the first dim is cut, as we cut arrays (zarr has an
    order of its own else). Any rows of what zarr wrote are those of the array, and zarr reads what we wrote.
    """
    array, values = made
    folder = tmp_path_factory.mktemp("array")
    theirs = by_zarr(folder / "zarr", array, values)
    ours = {"x/zarr.json": json.dumps(metadata(array)).encode(), **dict(encoded(array, values))}
    assert json.loads(ours["x/zarr.json"]) == json.loads(theirs["x/zarr.json"])
    assert ours.keys() == theirs.keys()
    if array.file[1:] == array.chunk[1:]:
        assert ours.items() - theirs.items() <= {("x/zarr.json", ours["x/zarr.json"])}
    listed(folder / "ours", ours)
    assert zarr.open_array(folder / "ours" / "x", mode="r")[...].tolist() == values.tolist()
    files = listed(folder / "theirs", theirs)
    if values.size or not array.is_text:
        assert checked_array(files, "x") == array
    start = data.draw(st.integers(0, array.shape[0]))
    stop = data.draw(st.integers(start, array.shape[0]))
    found = rows(files, array, start, stop)
    assert found.shape == (stop - start, *array.shape[1:])
    assert found.tolist() == values[start:stop].tolist()


def test_rows_of_a_large_array_are_read_by_chunks(tmp_path):
    """An array of many chunks in one file: a row costs its chunk, not the file."""
    values = np.random.default_rng(0).standard_normal((200, 3, 8192)).astype(np.float32)  # 2 rows a chunk
    store = Store(tmp_path / "store").create()
    cells = [({"prompt": str(i)}, xr.Dataset({"x": (("a", "b"), row)})) for i, row in enumerate(values)]
    opened = ObjectReader(store, write_object(store, cells).object)
    asked: list[int] = []
    part = opened.files.part

    def watched(key: str, start: int, stop: int) -> bytes:
        asked.append(stop - start)
        return part(key, start, stop)

    opened.files.part = watched
    assert (opened.part("x", 37) == values[37]).all()
    assert 0 < sum(asked) < 2.1 * values[0].nbytes
    assert (opened.whole("x") == values).all()


def one_array() -> tuple[StoredArray, dict[str, bytes]]:
    array = StoredArray("x", (8, 4), np.dtype("float64"), ("a", "b"), {}, (8, 4), (2, 4))
    values = np.arange(32.0).reshape(8, 4)
    return array, {"x/zarr.json": json.dumps(metadata(array)).encode(), **dict(encoded(array, values))}


FORGED = {
    "a checksum": lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
    "a chunk that is not there": lambda raw: with_index(raw, 1, (2**64 - 1, 2**64 - 1)),
    "a place beyond the file": lambda raw: with_index(raw, 1, (10**6, 5)),
    "places that overflow": lambda raw: with_index(raw, 1, (5, 2**64 - 4)),
    "a chunk of another size": lambda raw: with_index(raw, 1, (0, 0)),
    "a file too short for its index": lambda raw: raw[-40:],
}


def with_index(raw: bytes, chunk: int, place: tuple[int, int]) -> bytes:
    """A shard of four chunks whose index says another place of one of them, with a true checksum."""
    import google_crc32c

    index = np.frombuffer(raw[-68:-4], "<u8").reshape(4, 2).copy()
    index[chunk] = place
    body = index.tobytes()
    return raw[:-68] + body + google_crc32c.value(body).to_bytes(4, "little")


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_shard_is_damage(tmp_path, forge):
    array, files = one_array()
    assert (
        rows(listed(tmp_path / "true", files), array, 0, 8).tolist() == np.arange(32.0).reshape(8, 4).tolist()
    )
    files["x/c/0/0"] = forge(files["x/c/0/0"])
    with pytest.raises(DamageError, match="x/c/0/0"):
        rows(listed(tmp_path / "forged", files), array, 0, 8)


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
def test_a_chunk_that_expands_to_more_than_it_holds_takes_no_memory(tmp_path, text):
    """Some kilobytes from a stranger may say that they are a gigabyte."""
    import google_crc32c

    bomb = compress(bytes(1 << 30), 1, True)
    array, files = one_array()
    if text:
        array = StoredArray("x", (2,), np.dtype(TEXT), ("a",), {}, (2,), (2,))
        files = {"x/zarr.json": json.dumps(metadata(array)).encode(), "x/c/0": bomb}
    else:
        index = np.array([(0, len(bomb))] * 4, "<u8").tobytes()
        files["x/c/0/0"] = bomb + index + google_crc32c.value(index).to_bytes(4, "little")
    made = listed(tmp_path, files)
    tracemalloc.start()
    try:
        with pytest.raises(DamageError, match="x/c/0"):
            rows(made, array, 0, 2)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["codecs"][0]["configuration"]["codecs"][0]["configuration"].update(endian="big"),
        lambda said: said["codecs"][0]["configuration"].update(index_location="start"),
        lambda said: said["codecs"][0]["configuration"].update(chunk_shape=[3, 4]),
    ],
    ids=["byte order", "index at the start", "files of no whole chunks"],
)
def test_an_array_outside_of_the_format_is_refused(tmp_path, change):
    """It would be read as other numbers."""
    _, files = one_array()
    said = json.loads(files["x/zarr.json"])
    change(said)
    files["x/zarr.json"] = json.dumps(said).encode()
    with pytest.raises(DamageError):
        checked_array(listed(tmp_path, files), "x")


def test_a_group_opens_in_zarr(tmp_path):
    """As `store/README.md` promises: with cells of different length, text, sparse parts and no values."""
    cells = [
        xr.Dataset(
            {
                "text": ((), np.array("plural")),
                "value": ("entry", np.arange(n, dtype=np.float32)),
                "none": (("entry", "zero"), np.empty((n, 0))),
            },
            attrs={"structure": "tree"},
        )
        for n in (3, 0, 5)
    ]
    listed(tmp_path, dict(files_of(cells)))
    group = zarr.open_group(tmp_path, mode="r")
    assert group["value"][:].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert group["size.entry"][:].tolist() == [3, 0, 5]
    assert group["text"][:].tolist() == ["plural"] * 3
    assert group["none"].shape == (8, 0) and math.prod(group["none"].shape) == 0
    assert group.attrs["cell_attributes"] == [{"structure": "tree"}] * 3

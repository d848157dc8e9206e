"""Other people's weight files, read into numpy arrays without their frameworks.

Two formats: the TensorFlow "tensor bundle" (an `.index` file that lists tensors and a `.data` file
that holds them) and numpy's `.npz`. Both come from outside, so nothing in them is believed: sizes
are compared before memory is taken, every checksum is checked, and no object is unpickled.

References:
    TensorFlow, `tensorflow/core/protobuf/tensor_bundle.proto` and `tensorflow/core/lib/io/table`.
    RFC 3720, appendix B.4 (CRC32C test vectors).
"""

import io
import math
import struct
import zipfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hitcore.errors import WeightsError

Tensors = dict[str, NDArray[np.generic]]

_TABLE_MAGIC = 0xDB4775248B80FB57
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 6: "|i1", 9: "<i8", 10: "|b1", 19: "<f2"}
_POLYNOMIAL = 0x82F63B78
MAX_BYTES = 256 * 2**20


def read_tensor_bundle(index: bytes, data: bytes, name: str = "checkpoint") -> Tensors:
    """Every tensor of a TensorFlow v2 checkpoint of one shard, by name.

    Args:
        index: Content of the `.index` file.
        data: Content of the `.data-00000-of-00001` file.
        name: How messages call the checkpoint.

    Raises:
        WeightsError: The index is no table of tensors, a tensor lies outside the data, or a
            checksum does not agree; the message names the tensor.
    """
    try:
        entries = dict(_table_entries(index))
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise WeightsError(f"{name}: the index is damaged or truncated ({error})") from error
    except ValueError as error:
        raise WeightsError(f"{name}: {error}") from error
    header = _message(entries.pop("", b""), name, "header")
    if _number(header, 1) != 1 or _number(header, 2) != 0:
        raise WeightsError(
            f"{name}: expected one little-endian shard, the header says {_number(header, 1)} "
            "shards: only checkpoints of a single .data-00000-of-00001 file can be read"
        )
    return {key: _tensor(key, _message(entry, name, key), data) for key, entry in entries.items()}


def read_npz(content: bytes, name: str = "archive", max_bytes: int = MAX_BYTES) -> Tensors:
    """Every array of an `.npz` archive, by name; objects are refused.

    Raises:
        WeightsError: It is no archive, an entry is damaged, holds objects, is not the size that
            its own header claims, or all together would take more than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > max_bytes:
                raise WeightsError(
                    f"{name}: unpacks to {total} bytes, at most {max_bytes} are accepted: "
                    "it is not the file that it claims to be"
                )
            return {
                entry.filename.removesuffix(".npy"): _npy(archive.read(entry), entry.filename, name)
                for entry in archive.infolist()
            }
    except WeightsError:
        raise
    except Exception as error:  # zipfile raises almost anything over a damaged archive
        raise WeightsError(f"{name}: damaged or not an .npz archive ({error})") from error


def crc32c(content: bytes) -> int:
    """The CRC-32C (Castagnoli) checksum.

    Long inputs are cut into equal lanes that numpy carries along side by side; the lanes' results
    are then joined in pairs, since the checksum is linear over GF(2). Leading zeros do not change
    a checksum that starts from zero, so the lanes may be filled up in front.

    References:
        RFC 3720, appendix B.4.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    if len(content) < 512:
        state = 0xFFFFFFFF
        for byte in content:
            state = _PLAIN_TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
        return state ^ 0xFFFFFFFF
    n_bits = len(content).bit_length()
    lane_bits = n_bits // 2
    lane_length = 1 << lane_bits
    n_lanes = 1 << (n_bits - lane_bits)
    padded = np.zeros(n_lanes * lane_length, np.uint8)
    start = padded.size - len(content)
    padded[start:] = np.frombuffer(content, np.uint8)
    padded[start : start + 4] ^= 0xFF  # the same as a start value of 0xFFFFFFFF
    states = np.zeros(n_lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(n_lanes, lane_length).T):
        states = _TABLE[(states ^ column) & 0xFF] ^ (states >> np.uint32(8))
    shift = _zero_byte_matrix()
    for _ in range(lane_bits):
        shift = _apply(shift, shift)
    while states.size > 1:
        states = _apply(shift, states[0::2]) ^ states[1::2]
        shift = _apply(shift, shift)
    return int(states[0]) ^ 0xFFFFFFFF


# --- TensorFlow's bundle -------------------------------------------------------------------------


def _table_entries(table: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values of an SSTable, in order; raises ValueError with a reason."""
    if len(table) < 48 or struct.unpack("<Q", table[-8:])[0] != _TABLE_MAGIC:
        raise ValueError("not a TensorFlow checkpoint index (its closing mark is missing)")
    footer = table[-48:]
    _, position = _varint(footer, 0)
    _, position = _varint(footer, position)
    for _, handle in _block_entries(_block(table, footer[position:])):
        for key, value in _block_entries(_block(table, handle)):
            yield key.decode(), value


def _block(table: bytes, handle: bytes) -> bytes:
    """The content of the block that `handle` points to, its checksum checked."""
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    block = table[offset : offset + size + 1]
    if len(block) < size + 1 or size < 4:
        raise ValueError("the index is truncated")
    if _masked(crc32c(block)) != struct.unpack_from("<I", table, offset + size + 1)[0]:
        raise ValueError(f"the index is damaged: the checksum of its block at {offset} disagrees")
    if block[-1] != 0:
        raise ValueError("the index is compressed, which TensorFlow's own writer never does")
    return block[:-1]


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys share their beginning with the key before; restart points close the block."""
    n_restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (n_restarts + 1)
    position, key = 0, b""
    while position < end:
        n_shared, position = _varint(block, position)
        n_own, position = _varint(block, position)
        n_value, position = _varint(block, position)
        key = key[:n_shared] + block[position : position + n_own]
        position += n_own
        yield key, block[position : position + n_value]
        position += n_value


def _tensor(key: str, entry: dict[int, list[int | bytes]], data: bytes) -> NDArray[np.generic]:
    """One tensor out of the data file, as its entry of the index describes it."""
    code, offset, size = _number(entry, 1), _number(entry, 4), _number(entry, 5)
    if code not in _DTYPES or 7 in entry or _number(entry, 3) != 0:
        raise WeightsError(f"tensor {key}: type {code} or a sliced tensor cannot be read")
    dtype = np.dtype(_DTYPES[code])
    dimensions = _message(_bytes(entry, 2), key, "shape").get(2, [])
    shape = tuple(_number(_message(d, key, "shape"), 1) for d in dimensions if isinstance(d, bytes))
    if math.prod(shape) * dtype.itemsize != size:
        raise WeightsError(f"tensor {key}: shape {shape} of {dtype} does not take {size} bytes")
    content = data[offset : offset + size]
    if len(content) != size:
        raise WeightsError(
            f"tensor {key}: bytes {offset} to {offset + size} lie outside the data file of "
            f"{len(data)} bytes: it is truncated or belongs to another index"
        )
    if _masked(crc32c(content)) != _number(entry, 6):
        raise WeightsError(
            f"tensor {key}: its checksum disagrees: the data file is damaged or belongs to "
            "another index"
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _message(content: bytes, name: str, what: str) -> dict[int, list[int | bytes]]:
    """The fields of a protocol-buffer message by number, each with all its values."""
    fields: dict[int, list[int | bytes]] = {}
    position = 0
    try:
        while position < len(content):
            tag, position = _varint(content, position)
            value: int | bytes
            if tag & 7 == 0:
                value, position = _varint(content, position)
            elif tag & 7 == 2:
                size, position = _varint(content, position)
                value = content[position : position + size]
                position += size
            elif tag & 7 == 5:
                value = int(struct.unpack_from("<I", content, position)[0])
                position += 4
            else:
                raise WeightsError(f"{name}: the entry of {what!r} in the index is damaged")
            fields.setdefault(tag >> 3, []).append(value)
    except (IndexError, struct.error) as error:
        raise WeightsError(f"{name}: the entry of {what!r} in the index is truncated") from error
    return fields


def _number(fields: dict[int, list[int | bytes]], field: int) -> int:
    value = fields.get(field, [0])[-1]
    return value if isinstance(value, int) else -1


def _bytes(fields: dict[int, list[int | bytes]], field: int) -> bytes:
    value = fields.get(field, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A variable-length number of at most 64 bits and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("a number of more than 64 bits")


def _masked(checksum: int) -> int:
    """The form in which these files store a checksum: rotated by 15 bits, plus a constant."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


# --- numpy's archive -----------------------------------------------------------------------------


def _npy(content: bytes, entry: str, name: str) -> NDArray[np.generic]:
    """One `.npy` file; its header is compared with its size before anything is allocated."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{name}: {entry} is no readable numpy array ({error})") from error
    if dtype.kind not in "biuf":
        raise WeightsError(f"{name}: {entry} holds {dtype}; only numbers are read")
    n_bytes = len(content) - stream.tell()
    if math.prod(shape) * dtype.itemsize != n_bytes:
        raise WeightsError(
            f"{name}: {entry} claims shape {shape} of {dtype} and holds {n_bytes} bytes"
        )
    values: NDArray[np.generic] = np.frombuffer(content, dtype, offset=stream.tell())
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


# --- CRC-32C -------------------------------------------------------------------------------------


def _byte_table() -> NDArray[np.uint32]:
    """The checksum's state after one byte, for each of the 256 bytes."""
    states = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        states = (states >> np.uint32(1)) ^ np.where(states & 1, _POLYNOMIAL, 0).astype(np.uint32)
    return states


_TABLE = _byte_table()
_PLAIN_TABLE = _TABLE.tolist()


def _zero_byte_matrix() -> NDArray[np.uint32]:
    """What one zero byte does to a state, as the 32 images of its single bits."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    return np.asarray(_TABLE[bits & 0xFF] ^ (bits >> np.uint32(8)))


def _apply(matrix: NDArray[np.uint32], states: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The matrix over GF(2), given by its columns, times each state."""
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= np.where((states >> np.uint32(bit)) & 1, matrix[bit], np.uint32(0))
    return result

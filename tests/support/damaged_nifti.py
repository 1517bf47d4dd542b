"""Small NIfTI files, and any damage to their headers and bytes."""

import gzip
import struct
import zlib

import nibabel
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import mutated_bytes

FIELDS = {"dim": (40, "h", 8), "datatype": (70, "h", 1), "bitpix": (72, "h", 1), "pixdim": (76, "f", 8), "vox_offset": (108, "f", 1),
          "scl_slope": (112, "f", 1), "scl_inter": (116, "f", 1), "qform_code": (252, "h", 1), "sform_code": (254, "h", 1),
          "quatern": (256, "f", 6), "srow": (280, "f", 12), "sizeof_hdr": (0, "i", 1), "xyzt_units": (123, "b", 1), "extension": (348, "i", 3)}  # fmt: skip
EXTREMES = {
    "b": (0, 1, 2, 127, -1),
    "h": (0, 1, -1, 2, 3, 7, 8, 12, 255, 512, 32767, -32768, 4, 16, 32, 64, 128, 256, 768, 1024, 1536, 1792, 2048, 2304),
    "i": (0, 1, -1, 348, 540, 2**31 - 1, -(2**31), 16, 7),
    "f": (0.0, -0.0, 1.0, -1.0, 1e-38, 1e-45, 3e38, -3e38, float("nan"), float("inf"), float("-inf"), 1e10, 351.5, 352.0, 353.0, 1000.0, 0.001, 30.0),
}  # fmt: skip


def volume(voxels: np.ndarray) -> bytes:
    """Return a file of these voxels, 0.8 x 0.8 x 5 mm each."""
    return nibabel.Nifti1Image(voxels, np.diag([0.8, 0.8, 5.0, 1.0])).to_bytes()


_generator = np.random.default_rng(1)
IMAGE = volume(_generator.normal(0, 300, (9, 8, 7)).astype(np.int16))
LABEL = volume((_generator.random((9, 8, 7)) < 0.3).astype(np.uint8))


def with_fields(content: bytes, changes: list[tuple[str, int, object]]) -> bytes:
    changed = bytearray(content)
    for name, index, value in changes:
        start, kind, count = FIELDS[name]
        size = struct.calcsize(kind)
        struct.pack_into(f"<{kind}", changed, start + index % count * size, value)
    return bytes(changed)


@st.composite
def fields(draw: st.DrawFn, content: bytes) -> bytes:
    names = draw(st.lists(st.sampled_from(list(FIELDS)), min_size=1, max_size=4))
    changes = [(n, draw(st.integers(0, 11)), draw(st.sampled_from(EXTREMES[FIELDS[n][1]]))) for n in names]
    return with_fields(content, changes)


def headers(content: bytes) -> SearchStrategy[bytes]:
    """The volume as it is below a header with bytes overwritten."""
    return mutated_bytes(content[:352]).map(lambda header: header + content[352:])


def mutants(content: bytes) -> SearchStrategy[tuple[str, bytes]]:
    """Ending and content of a file."""
    unpacked = fields(content) | headers(content) | mutated_bytes(content)
    packed = gzip.compress(content, mtime=0)
    return st.one_of(
        st.tuples(st.just(".nii"), unpacked),
        st.tuples(st.just(".nii.gz"), unpacked.map(lambda inner: zlib.compress(inner, 1, wbits=31))),
        st.tuples(st.just(".nii.gz"), mutated_bytes(packed)),
        st.tuples(st.just(".nii.gz"), unpacked),
    )

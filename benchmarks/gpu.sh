#!/usr/bin/env bash
# Checks and measures a CUDA machine in eight minutes: bash benchmarks/gpu.sh [MINUTES] [CELL...]
#
# Needs Python with PyTorch for CUDA; no network and no DVC. Packages that are missing are installed from wheels/,
# which `pip download --no-deps -d wheels monai nibabel pydantic ruamel.yaml isal psutil einops ...` fills on
# another machine. Writes benchmarks/gpu.csv, and cells of the paper profile under benchmarks/paper_cells.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-8}
[ $# -eq 0 ] || shift
python=${PYTHON:-python3}
missing=$("$python" - <<'PY'
from importlib.util import find_spec

names = {"monai": "monai", "nibabel": "nibabel", "pydantic": "pydantic", "ruamel.yaml": "ruamel.yaml", "isal": "isal",
         "psutil": "psutil", "einops": "einops", "scipy": "scipy", "filelock": "filelock", "tqdm": "tqdm", "pandas": "pandas"}


def absent(name):
    try:
        return find_spec(name) is None
    except ModuleNotFoundError:
        return True


print(" ".join(package for name, package in names.items() if absent(name)))
PY
)
if [ -n "$missing" ]; then
  echo "installing from wheels/: $missing"
  # shellcheck disable=SC2086 # several names
  "$python" -m pip install --quiet --no-index --find-links wheels $missing
fi
# shellcheck disable=SC2086 # several options
PYTHONPATH=src exec "$python" -m benchmarks.gpu --minutes "$minutes" ${GPU_OPTIONS:-} "$@"

"""The code of docs/how-to/keras.md runs as it stands there, for fewer epochs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "keras.md"


def test_the_code_runs(tmp_path: Path) -> None:
    training, loading = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "epochs=400" in training
    script = training.replace("epochs=400", "epochs=2") + loading + "print(model.steps_done, type(model).__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    drawn, loaded = done.stdout.splitlines()[-2:]
    assert len(drawn.split(",")) == 8
    assert loaded in {"2 Ccdcgan", "4 Ccdcgan"}  # after the first or the second epoch of two batches
    assert {path.name for path in (tmp_path / "training").iterdir()} == {"gan.keras", "log"}
    assert list(tmp_path.glob("training/log/train/events*"))

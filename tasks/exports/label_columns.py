"""The labels of prompts as columns beside the JSON text that phase `prompts` keeps."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr


def columns(prompts: xr.Dataset) -> xr.Dataset:
    """The same with a text `label_NAME` for each label, over the dims of `labels`; "" where there is none."""
    texts = prompts.labels
    rows: list[dict[str, str]] = [json.loads(str(text) or "{}") for text in texts.values.ravel()]
    return prompts.assign(
        {
            f"label_{name}": (texts.dims, np.array([row.get(name, "") for row in rows]).reshape(texts.shape))
            for name in sorted({name for row in rows for name in row})
        }
    )

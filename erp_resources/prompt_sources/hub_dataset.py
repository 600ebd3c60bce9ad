"""Datasets of the Hugging Face hub, read from the hub or from a local copy.

What belongs here: where a dataset is and how it is opened, which its sources share. What to keep out:
what its columns mean.
"""

import glob
import importlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo, field_validator

from erp_resources.hugging_face import hub_answers
from erp_resources.model_files import file_digest, folder_fingerprint
from erp_resources.settings import Settings, Text, UserError
from erp_resources.tables import check_file, told

_BUILDERS = {".parquet": "parquet", ".jsonl": "json"}


class HubDataset(Settings):
    """A dataset's place: the hub, at `revision`, or `path`, a local copy of it, relative to the project.

    A copy is a Parquet or JSONL file, a folder of such files (as the hub has it), or a folder written by
    `Dataset.save_to_disk`. The hub's files, and files other than `save_to_disk`'s, are converted once
    into the cache of `datasets` (`HF_HOME`).
    """

    path: Text | None = None
    revision: Text | None = None

    @field_validator("revision")
    @classmethod
    def _no_revision_of_a_copy(cls, revision: Text | None, info: ValidationInfo) -> str | None:
        if revision is not None and info.data.get("path") is not None:
            raise ValueError("only the hub has revisions, and path names a local copy; remove one of the two")
        return revision

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry and with the files of a local copy, wherever it is."""
        entry = self.model_dump(exclude={"path"})
        copy = self._copy(root)
        if copy is not None:
            with told(str(self.path)):
                entry["copy"] = folder_fingerprint(copy, root) if copy.is_dir() else file_digest(copy, root)
        return json.dumps(entry)

    def _copy(self, root: Path) -> Path | None:
        """The local copy; raises `UserError` when `path` names none."""
        if self.path is None:
            return None
        copy = root / self.path
        with told(self.path):
            if not copy.exists():
                raise UserError(f"path '{self.path}': there is no {copy}; give a file or folder relative to {root}")
        if not copy.is_dir():
            check_file(copy, self.path)
            if copy.suffix.lower() not in _BUILDERS:
                raise UserError(f"path '{self.path}': {copy.suffix or copy.name} is not one of {', '.join(_BUILDERS)}")
        return copy

    def _open(self, name: str, split: str, root: Path) -> Any:
        """The `datasets.Dataset` of a split (a single file has but one); its rows stay on disk.

        Raises `UserError` when the package `datasets` is missing, or the dataset cannot be loaded.
        """
        copy = self._copy(root)
        datasets = _import_datasets(name)
        place = "the hub" if copy is None else copy
        shown = not datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        offline = datasets.config.HF_HUB_OFFLINE
        if copy is None and not hub_answers():
            datasets.config.HF_HUB_OFFLINE = True  # then its cache has to do, without half a minute of retries
        try:
            if copy is None:
                return datasets.load_dataset(name, split=split, revision=self.revision)
            if copy.is_file():
                files = glob.escape(str(copy))  # the name is read as a pattern
                return datasets.load_dataset(_BUILDERS[copy.suffix.lower()], data_files=files, split="train")
            if any((copy / file).is_file() for file in ("state.json", "dataset_dict.json")):
                saved = datasets.load_from_disk(str(copy))
                return saved[split] if isinstance(saved, datasets.DatasetDict) else saved
            return datasets.load_dataset(str(copy), split=split)
        except Exception as error:  # the hub client, the file formats and datasets share no narrower class
            cause = (str(error).strip() or "no further message").splitlines()[0]
            raise UserError(
                f"dataset '{name}': it could not be loaded from {place}: {cause} ({type(error).__name__})"
                + ("; without a network, name a local copy with path:" if copy is None else "")
            ) from error
        finally:
            datasets.config.HF_HUB_OFFLINE = offline
            if shown:
                datasets.enable_progress_bars()


def _import_datasets(name: str) -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            f"dataset '{name}': it is read by the Python package 'datasets' ({error}); "
            "install it with: pip install 'datasets>=5.2'"
        ) from error

"""Files that stand for content that is somewhere else: git-annex (DataLad) and Git LFS leave them where a file was not fetched."""

import re

from p300.errors import RecordingError

N_BEGINNING = 512
_ANNEX = re.compile(rb"/annex/objects/|[^\n\0]*\.git/annex/objects/")
_LFS = re.compile(rb"version https://[a-z.-]+/spec/v1[\r\n]")


def refuse_pointer(beginning: bytes, name: str) -> None:
    """Refuse a file that is a pointer of git-annex or Git LFS.

    Parameters
    ----------
    beginning : bytes
        The file's first bytes, `N_BEGINNING` or all; or where a link leads.
    name : str
        What to call it in messages.

    Raises
    ------
    RecordingError
        ``pointer``.
    """
    if _ANNEX.match(beginning[:N_BEGINNING]):
        what, how = "a git-annex pointer", "datalad get or git annex get"
    elif _LFS.match(beginning):
        what, how = "a Git LFS pointer", "git lfs pull"
    else:
        return
    raise RecordingError(
        "pointer",
        f"{name} is {what}: it stands for a file whose content has not been fetched. Expected the content. Fetch it ({how}), then land it.",
    )

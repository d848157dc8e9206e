"""Songs of one catalogue: what is known of each, how they are split, and the folder they live in.

`songs` holds the catalogue and its folds, `workspace` the folder on disk, `importing` makes a
workspace of one's own songs.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "songs": ["FOLD_KINDS", "Catalogue", "FoldKind", "Song", "Split", "check_split"],
        "workspace": ["Workspace", "new_workspace"],
    },
)

"""Objects by name, `module:object`: how a command line reaches a sampler or method of one's own.

The name is that of Python's entry points. The folder that a command is run in counts, as with
`python -m`. Whoever names a module runs its code: names come from the person at the keyboard,
never from a file or a request.
"""

import importlib
import os
import sys
from typing import Any

from hitcore.errors import ParameterError


def is_object_name(text: str) -> bool:
    """Whether a text is of the form `module:object`.

    Example:
        >>> is_object_name("mymodule:chorus"), is_object_name("attention:weights.safetensors")
        (True, False)
    """
    module, _, attribute = text.partition(":")
    dotted = [*module.split("."), *attribute.split(".")]
    return module != "attention" and all(part.isidentifier() for part in dotted)


def object_named(text: str) -> Any:
    """What `module:object` stands for.

    Raises:
        ParameterError: No such module or object, or the module cannot be imported.

    Example:
        >>> object_named("math:sqrt")(9.0)
        3.0
    """
    module, _, attribute = text.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ParameterError(
            f"{text} cannot be found ({error}): module:object names something that Python can "
            "import from here"
        ) from error
    return found


def name_of_object(thing: Any) -> str:
    """The `module:object` that leads to a function or class, for work in other processes.

    Raises:
        ParameterError: It has no name that another process could import.

    Example:
        >>> import math
        >>> name_of_object(math.sqrt)
        'math:sqrt'
    """
    name = f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', '')}"
    if not is_object_name(name) or name.startswith("__main__:"):
        raise ParameterError(
            f"{thing!r} has no name that another process can import: define it at the top of a "
            "module, outside of functions"
        )
    return name

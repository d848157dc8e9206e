"""Every exception and warning of hitcore.

One rule for all messages: say what was given, what is allowed, the likely cause and, where there
is one, the command that mends it, in one line. `ui` and the command line catch `HitcoreError`
alone; any other exception is a bug of ours and shows as one.
"""


class HitcoreError(Exception):
    """The user's input or surroundings are at fault; the message says how to go on."""


class ParameterError(HitcoreError, ValueError):
    """An argument is outside what the function accepts."""


class AudioError(HitcoreError):
    """A sound file cannot be read, or not within the limits."""


class DataError(HitcoreError):
    """A log, table, workspace or catalogue is not what it should be."""


class StoreError(DataError):
    """An object store does not answer, or refuses; nobody's data are at fault."""


class SplitLeakageError(DataError):
    """A song (or, where asked for, an artist) stands in more than one of train, valid and test."""


class WeightsError(HitcoreError):
    """Named weights are absent, damaged or not what their name promises."""


class EngineError(HitcoreError):
    """Work that was handed to a pool, a cluster or a device could not be carried out there."""


class UndefinedMetricWarning(UserWarning):
    """A metric has no value for this input (fewer than two songs, all tied); NaN is returned."""

"""The feature store: log-mel spectrograms and tags of a catalogue's highlights, on disk.

One folder for each configuration (front end, highlight method, tagger, and the version of each):
`features/<fingerprint>/` holds shards of at most 64 songs, in half precision, that memory-map, one
small JSON beside each shard, and `index.parquet` over all. What is there is not computed again; a
changed setting makes a new folder.
"""

from hitcore.featurestore.build import BuildReport, Progress, build_features
from hitcore.featurestore.given import GivenFeatures, given_config, read_given
from hitcore.featurestore.recipe import FeatureConfig
from hitcore.featurestore.scored import ScoredWorkspace, create_scored
from hitcore.featurestore.sounds import read_source
from hitcore.featurestore.store import Features, FeatureStore, MappedFeatures

__all__ = [
    "BuildReport",
    "FeatureConfig",
    "FeatureStore",
    "Features",
    "GivenFeatures",
    "MappedFeatures",
    "Progress",
    "ScoredWorkspace",
    "build_features",
    "create_scored",
    "given_config",
    "read_given",
    "read_source",
]

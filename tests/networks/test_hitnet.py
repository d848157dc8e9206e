"""Networks: shapes, layer by layer against the published model, laws, bad input."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hitcore.errors import ParameterError
from hitcore.networks.hitnet import (
    HitCNN,
    HitNet,
    InceptionCNN,
    LinearRater,
    TagDNN,
    initialise,
)
from hitcore.networks.mixing import MixKind, mixed_score

AUDIO = [HitCNN, InceptionCNN, LinearRater]


def songs(n: int, n_mels: int = 128, n_frames: int = 323, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, n_mels, n_frames, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("network", AUDIO)
@pytest.mark.parametrize(("n_mels", "n_frames"), [(128, 323), (12, 40), (25, 13)])
def test_any_number_of_bins_and_frames(network: type, n_mels: int, n_frames: int) -> None:
    net = network(n_mels, n_frames).eval()
    assert net(songs(3, n_mels, n_frames)).shape == (3,)


def test_layer_sizes_are_the_published_ones() -> None:
    shapes = {name: tuple(p.shape) for name, p in HitNet(HitCNN(), TagDNN()).named_parameters()}
    assert shapes["audio.conv1.weight"] == (32, 128, 4)
    assert shapes["audio.conv2.weight"] == (64, 32, 4)
    assert shapes["audio.conv4.weight"] == (256, 256, 1)
    assert shapes["tag.dense3.weight"] == (30, 100)
    assert sum(int(np.prod(s)) for s in shapes.values()) == 107361 + 18261


def test_hit_cnn_equals_the_two_dimensional_network_of_the_paper() -> None:
    """An independent writing of Fig. 1: 2-D kernels that span all bins, pooling after the ReLU."""
    net = initialise(HitCNN(), 3).eval()
    x = songs(2)[:, None]
    for name, pool in [("conv1", 2), ("conv2", 2), ("conv3", 1), ("conv4", 1), ("conv5", 1)]:
        layer = getattr(net, name)
        weight = layer.weight[:, None] if name == "conv1" else layer.weight[:, :, None]
        x = torch.nn.functional.conv2d(x, weight, layer.bias)
        x = x.clamp(min=0) + 0.1 * x.clamp(max=0)
        x = torch.nn.functional.max_pool2d(x, (1, pool))
    assert x.shape == (2, 1, 1, 78)
    torch.testing.assert_close(net.frame_scores(songs(2)), x[:, 0, 0])


def test_inception_equals_the_kernels_that_overhang_the_bins() -> None:
    """132×8 on (2, 2) padding and 140×16 on (6, 6) padding, whatever stands in the outer rows."""
    net = initialise(InceptionCNN(), 3).eval()
    x = songs(2)[:, None]
    branches = []
    for layer, pad in [(net.conv1, 0), (net.conv1_8, 2), (net.conv1_16, 6)]:
        weight = torch.nn.functional.pad(layer.weight[:, None], (0, 0, pad, pad), value=9.0)
        branches.append(torch.nn.functional.conv2d(x, weight, layer.bias, padding=pad))
    joined = torch.nn.functional.leaky_relu(torch.cat(branches, dim=1)[:, :, 0], 0.1)
    expected = torch.nn.functional.leaky_relu(net.join(joined), 0.1)
    torch.testing.assert_close(net._front(songs(2)), expected)


def test_linear_rater_is_linear_in_the_mean_spectrum() -> None:
    torch.manual_seed(0)
    net = LinearRater()
    mel = songs(4)
    expected = mel.mean(dim=2) @ net.conv1.weight[0, :, 0] + net.conv1.bias
    torch.testing.assert_close(net(mel), expected)


@pytest.mark.parametrize("network", AUDIO)
def test_permuting_songs_permutes_scores(network: type) -> None:
    torch.manual_seed(0)
    net = HitNet(network(), TagDNN(), 0.3).eval()
    mel, tags = songs(5), torch.rand(5, 50)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(net(mel, tags).score[order], net(mel[order], tags[order]).score)


def test_dropout_runs_in_training_and_keeps_the_mean() -> None:
    net = initialise(HitCNN(), 1)
    mel = songs(1).expand(400, -1, -1)[:, :, :323]
    torch.manual_seed(0)
    with torch.no_grad():
        trained, evaluated = net.train()(mel), net.eval()(mel[:1])
    assert trained.std() > 0
    assert torch.equal(net(mel[:1]), evaluated)
    torch.manual_seed(0)
    tags = torch.rand(1, 50).expand(100, -1)
    assert initialise(TagDNN(), 1).train()(tags).std() > 0


def test_mix_endpoints_and_published_mixes() -> None:
    audio, tag = torch.tensor([-0.11945194]), torch.tensor([0.95536727])
    assert mixed_score(audio, tag, 0.0) == audio
    assert mixed_score(audio, tag, 1.0) == tag
    assert mixed_score(audio, tag, 0.5, "additive").item() == pytest.approx(0.3582317, abs=1e-6)
    assert mixed_score(audio, tag, 0.7).item() == pytest.approx(0.6329215, abs=1e-6)


def test_one_network_alone() -> None:
    audio, tag = HitNet(HitCNN()).eval(), HitNet(None, TagDNN()).eval()
    output = audio(songs(2), torch.rand(2, 50))
    assert output.tag_score is None
    assert torch.equal(output.score, output.audio_score)
    output = tag(None, torch.rand(2, 50))
    assert output.audio_score is None
    assert output.frame_scores is None
    assert torch.equal(output.score, output.tag_score)


def test_seed_decides_the_weights() -> None:
    first, again, other = (initialise(HitNet(HitCNN(), TagDNN()), seed) for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.audio.conv1.weight, other.audio.conv1.weight)
    # The published kernel is (128, 4, 1, 32): fans of 512 in and 16,384 out.
    assert first.audio.conv1.weight.abs().max() <= (6 / (512 + 16384)) ** 0.5
    assert not initialise(HitNet(LinearRater()), 1).audio.conv1.weight.any()
    assert first.audio.conv2.weight.abs().max() <= (6 / (128 + 256)) ** 0.5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: HitCNN(n_frames=12), "at least 13"),
        (lambda: HitCNN(n_mels=0), "at least 1 bin"),
        (lambda: HitCNN(dropout=1.0), "dropout is 1.0"),
        (lambda: TagDNN(n_tags=0), "at least 1 tag"),
        (lambda: TagDNN(dropout=-0.1), "dropout is -0.1"),
        (lambda: HitNet(None), "one or both"),
        (lambda: HitNet(HitCNN(), tag_weight=1.5), "tag_weight is 1.5"),
        (lambda: HitNet(HitCNN(), mix="sum"), "convex, additive"),
        (lambda: HitNet(HitCNN())(songs(1, 96, 323)), "(n_songs, 128, 323)"),
        (lambda: HitNet(HitCNN())(songs(1, 128, 322)), "(n_songs, 128, 323)"),
        (lambda: HitNet(HitCNN(), TagDNN())(songs(1)), "run a tagger"),
        (lambda: HitNet(HitCNN())(None), "listens to the audio"),
        (lambda: TagDNN()(torch.zeros(1, 188)), "(n_songs, 50)"),
    ],
)
def test_bad_input_is_named(make, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mix_kinds_are_plain_words() -> None:
    assert [str(kind) for kind in MixKind] == ["convex", "additive"]


def test_mean_and_mixes_are_those_of_the_published_graph(shared: Path) -> None:
    stored = np.load(shared / "reference" / "hsp_cnn" / "sample_activations.npz")
    frames = torch.from_numpy(stored["act.conv2d_4"]).reshape(1, 78)
    assert frames.min() < 0, "the last LReLU lets scores below zero through"
    audio, tag = frames.mean(dim=-1), torch.from_numpy(stored["logit_tag"]).reshape(1)
    torch.testing.assert_close(audio, torch.from_numpy(stored["logit_cnn"]).reshape(1))
    trained = torch.from_numpy(stored["logit_trainmix_0.3cnn_0.7tag"]).reshape(1)
    torch.testing.assert_close(mixed_score(audio, tag, 0.7), trained)
    published = torch.from_numpy(stored["logit_total"]).reshape(1)
    torch.testing.assert_close(mixed_score(audio, tag, 0.5, MixKind.ADDITIVE), published)

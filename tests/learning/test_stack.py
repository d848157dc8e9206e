"""Training: a stack is its members alone, goes on where it broke, and refuses bad input first."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from songs_to_learn import N_FRAMES, N_MELS, N_SONGS, N_TAGS, planted, split

from hitcore.errors import DataError, EngineError, ParameterError, SplitLeakageError
from hitcore.evaluation.metrics import ndcg_at
from hitcore.learning import (
    Member,
    TrainConfig,
    choose_weight,
    fit_member,
    fit_stack,
    fuse,
)
from hitcore.learning.batches import epoch_batches, stacked_batches
from hitcore.learning.choosing import Validation
from hitcore.learning.loop import train
from hitcore.learning.pairs import Artist
from hitcore.learning.stacks.optimisers import make_optimiser
from hitcore.learning.stacks.stack import Dropout, Normalisation, Stack
from hitcore.networks.hitnet import HitCNN, HitNet, InceptionCNN, LinearRater, TagDNN


def all_kinds() -> list[Member]:
    """Folds, networks, samplers, hyper-parameters and seeds side by side."""
    one, other = split(seed=1), split(seed=2)
    other["train"] = other["train"][:-9]  # fewer steps in an epoch than the others
    return [
        Member(**one, seed=3),
        Member(**one, sampler="ab", margin=0.05, rank_weight=0.7, seed=3),
        Member(**one, sampler="naive", margin=0.2, rank_weight=1.0, seed=3, learning_rate=2e-2),
        Member(**other, sampler="artist", margin=0.1, rank_weight=0.5, seed=9),
        Member(**other, use_tags=True, tag_weight=0.3, seed=5),
        Member(**one, use_tags=True, tag_weight=0.7, sampler="ab", seed=3),
        Member(**one, audio=None, use_tags=True, sampler="ab", seed=6),
        Member(**one, audio="linear", seed=7),
        Member(**other, audio="inception", sampler="naive", seed=8),
    ]


CONFIG = TrainConfig(max_epochs=11, batch_size=10, dropout=0.0, patience=100)


@pytest.mark.parametrize(("pairing", "standardise"), [("in_batch", True), ("explicit", False)])
def test_a_stack_equals_its_members_trained_alone_by_a_plain_loop(
    pairing: str, standardise: bool
) -> None:
    """Some 50 steps in float32: scores of all songs at the best epoch agree to 1e-5."""
    data, members = planted(), all_kinds()
    if standardise:  # the stack pads raw spectrograms for the Inception network, the loop does not
        members = [member for member in members if member.audio != "inception"]
    config = replace(CONFIG, pairing=pairing, standardise=standardise)
    result = fit_stack(data, members, config)
    assert max(got.best_epoch for got in result.members) == 11
    for member, got in zip(members, result.members, strict=True):
        assert len(got.history) == 11
        stopped = replace(config, max_epochs=got.best_epoch)
        expected = train(data, member, stopped)
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-5, rtol=0)
        for one, other in zip(expected.history, got.history, strict=False):
            np.testing.assert_allclose(astuple(one), astuple(other), atol=1e-5, rtol=0)
        # The exported network takes raw inputs and says the same.
        net = got.network(data, config)
        with torch.no_grad():
            raw = net(data.mel, data.tags).score
        np.testing.assert_allclose(raw.numpy(), got.scores, atol=2e-5, rtol=0)


@pytest.mark.parametrize("optimiser", ["adagrad", "adam"])
def test_stacking_changes_nothing(optimiser: str) -> None:
    """All at once, two at a time, or one by one; with dropout too, as each draws its own."""
    data = planted()
    config = replace(CONFIG, optimiser=optimiser, dropout=0.25, max_epochs=4, learning_rate=2e-3)
    whole = fit_stack(data, all_kinds(), replace(config, stack_size=20))
    pairs = fit_stack(data, all_kinds(), replace(config, stack_size=2))
    assert whole.n_chunks < pairs.n_chunks
    for place, member in enumerate(all_kinds()):
        alone = fit_member(data, member, config)
        for other in (whole.members[place], pairs.members[place]):
            np.testing.assert_allclose(other.scores, alone.scores, atol=1e-5)
            assert other.best_epoch == alone.best_epoch


def test_same_seed_same_end_and_other_seed_another() -> None:
    data, member = planted(), all_kinds()[1]
    config = replace(CONFIG, max_epochs=3, dropout=0.25)
    first, again = fit_member(data, member, config), fit_member(data, member, config)
    assert np.array_equal(first.scores, again.scores)
    assert first.history == again.history
    other = fit_member(data, replace(member, seed=9), config)
    assert not np.allclose(first.scores, other.scores)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    drop = Dropout(0.25, [1, 2], torch.device("cpu"))
    x = drop(torch.ones(2, 1000, 64))
    assert (x == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert x.max().item() == pytest.approx(4 / 3)
    assert not torch.equal(x[0], x[1])
    alone = Dropout(0.25, [2], torch.device("cpu"))(torch.ones(1, 1000, 64))
    assert torch.equal(alone[0], x[1])
    # Neighbours and channels are independent: no stripes from drawing eight at a time.
    zero = (x == 0).double()
    for shift in (1, 2, 4, 8):
        together = (zero[..., shift:] * zero[..., :-shift]).mean().item()
        assert together == pytest.approx(1 / 16, abs=0.004)


@pytest.mark.parametrize("groups", [[0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 2, 3], [0, 0, 0, 0]])
def test_gradients_of_the_stack_are_those_of_the_networks(groups: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    n_groups = max(groups) + 1
    mel = torch.rand(n_groups, 3, N_FRAMES, N_MELS, generator=generator)
    tags = torch.rand(n_groups, 3, N_TAGS, generator=generator)
    for kind in (HitCNN, InceptionCNN, LinearRater):
        nets = [HitNet(kind(N_MELS, N_FRAMES), TagDNN(N_TAGS), 0.2 * k).eval() for k in range(4)]
        none = [Normalisation(torch.zeros(4, n), torch.ones(4, n)) for n in (N_MELS, N_TAGS)]
        stack = Stack(nets, groups, *none, torch.ones(4), torch.device("cpu"))
        for parameter in stack.parameters.values():
            parameter.requires_grad_()
        stack.scores(mel, tags, lambda x: x).square().sum().backward()
        gradients = {name: value.grad for name, value in stack.parameters.items()}
        for k, net in enumerate(nets):
            net(mel[groups[k]].mT, tags[groups[k]]).score.square().sum().backward()
            for name, parameter in net.named_parameters():
                got = gradients[name][k]
                if parameter.ndim == 3:
                    n_out, n_in, kernel = parameter.shape
                    got = got.view(kernel, n_in, n_out).permute(2, 1, 0)
                elif parameter.ndim == 2:
                    got = got.mT
                torch.testing.assert_close(got, parameter.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["adagrad", "adam"])
def test_optimisers_are_those_of_torch_and_skip_idle_members(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 5, generator=generator)
    rate = torch.tensor([0.1, 0.01, 0.1])
    stacked = {"w": start.clone().requires_grad_()}
    ours = make_optimiser(name, stacked)
    theirs, made = [], []
    for k in range(3):
        theirs.append(start[k].clone().requires_grad_())
        made.append(
            torch.optim.Adagrad([theirs[k]], rate[k].item(), initial_accumulator_value=0.1, eps=0)
            if name == "adagrad"
            else torch.optim.Adam([theirs[k]], rate[k].item())
        )
    for step in range(7):
        gradient = torch.randn(3, 4, 5, generator=generator)
        active = torch.tensor([1.0, 1.0, float(step % 2)])
        gradient[2] *= active[2]
        stacked["w"].grad = gradient
        ours.step(stacked, rate, active)
        for k in range(3):
            if active[k]:
                theirs[k].grad = gradient[k]
                made[k].step()
    for k in range(3):
        torch.testing.assert_close(stacked["w"][k], theirs[k])


def test_batches_hold_each_song_once_and_are_filled_up() -> None:
    member = all_kinds()[3]
    rule = Artist([planted().artist_ids[song] for song in member.songs["train"]])
    steps = epoch_batches(member, rule, 1, CONFIG)
    assert sorted(np.concatenate(steps)) == sorted(member.songs["train"])
    assert max(map(len, steps)) - min(map(len, steps)) <= 1
    assert not np.array_equal(steps[0], epoch_batches(member, rule, 2, CONFIG)[0])
    filled = stacked_batches([steps, steps[:1]], False, torch.device("cpu"))
    assert filled.shape == (len(steps), 2, max(map(len, steps)))
    assert (filled[1:, 1] == -1).all()


# --- the course of training -----------------------------------------------------------------------


def test_plateau_decay_early_stopping_and_best_weights() -> None:
    data, member = planted(), all_kinds()[2]
    config = replace(CONFIG, max_epochs=60, patience=4, learning_rate=0.05, lr_decay=0.5)
    result = fit_member(data, replace(member, learning_rate=None), config)
    losses = [record.valid_loss for record in result.history]
    assert len(losses) < 60
    assert result.best_epoch == int(np.argmin(losses)) + 1 == len(losses) - 4
    for before, record in zip(result.history, result.history[1:], strict=False):
        lower = before.valid_loss < min([*losses[: before.epoch - 1], np.inf])
        assert record.learning_rate == before.learning_rate * (1.0 if lower else 0.5)
    valid = member.songs["valid"]
    best = ndcg_at(data.hit_scores[valid], result.scores[valid])
    assert result.history[result.best_epoch - 1].valid_ndcg == pytest.approx(best)


def test_members_that_end_early_leave_the_others_alone() -> None:
    data = planted()
    members = [replace(m, learning_rate=rate) for m in all_kinds()[:3] for rate in (5e-2, 1e-3)]
    config = replace(CONFIG, max_epochs=25, patience=2, dropout=0.25)
    together = fit_stack(data, members, config).members
    lengths = {len(one.history) for one in together}
    assert len(lengths) > 1
    for member, one in zip(members, together, strict=True):
        alone = fit_member(data, member, config)
        assert [r.epoch for r in alone.history] == [r.epoch for r in one.history]
        # A hinge at its kink makes more of a rounding than a rounding.
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-3)


def test_best_by_ndcg_keeps_the_epoch_with_the_highest() -> None:
    data = planted()
    result = fit_member(data, all_kinds()[1], replace(CONFIG, best_by="ndcg", max_epochs=8))
    figures = [record.valid_ndcg for record in result.history]
    assert result.best_epoch == int(np.argmax(figures)) + 1


def test_diverging_members_are_named_and_do_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    data, members = planted(), all_kinds()[:2]
    wild = replace(members[0], learning_rate=10.0, name="the wild one")
    config = replace(CONFIG, optimiser="adam", max_epochs=4, learning_rate=1e-3)
    quiet = fit_member(data, members[1], config)
    big = replace(data, y=np.asarray(data.y) * 1e30)
    with caplog.at_level(logging.WARNING):
        result = fit_member(big, wild, replace(config, standardise=False))
    assert np.isnan(result.scores).all()
    assert result.diverged
    assert "the wild one diverged" in caplog.text
    together = fit_stack(data, [replace(wild, seed=1), members[1]], config)
    np.testing.assert_allclose(together.members[1].scores, quiet.scores, atol=1e-5)


def test_progress_tells_where_it_stands() -> None:
    seen = []
    config = replace(CONFIG, max_epochs=3, stack_size=2)
    fit_stack(planted(), all_kinds()[:5], config, progress=seen.append)
    fractions = [one.fraction for one in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert seen[-1].eta_s == 0
    assert all(one.songs_per_s > 0 for one in seen)
    assert seen[0].eta_s > 0


# --- breaking off and going on --------------------------------------------------------------------


def test_stopped_run_goes_on_and_ends_as_the_unbroken_one(tmp_path: Path) -> None:
    data, members = planted(), all_kinds()[:6]
    config = replace(CONFIG, dropout=0.25, max_epochs=6, patience=3, checkpoint_interval_s=0)
    whole = fit_stack(data, members, config)
    for stop_at in (2, 3, 10_000):
        asked = iter(range(1, 10_000))
        part = fit_stack(
            data,
            members,
            config,
            checkpoint_dir=tmp_path,
            should_stop=lambda asked=asked, stop_at=stop_at: next(asked) >= stop_at,
        )
        assert part.finished == (stop_at == 10_000)
    for one, other in zip(whole.members, part.members, strict=True):
        assert np.array_equal(one.scores, other.scores)
        assert one.history == other.history
        assert all(torch.equal(one.state_dict[k], other.state_dict[k]) for k in one.state_dict)
    again = fit_stack(data, members, config, checkpoint_dir=tmp_path)
    assert again.songs_per_s == 0, "what is done is not done again"
    assert np.array_equal(again.members[0].scores, whole.members[0].scores)


KILLED = """
import sys
import torch
torch.set_num_threads({threads})
sys.path.insert(0, {tests!r})
import tests.learning.test_stack as t
from dataclasses import replace
config = replace(t.CONFIG, dropout=0.25, max_epochs=400, patience=400, checkpoint_interval_s=0)
t.fit_stack(t.planted(), t.all_kinds()[:2], config, checkpoint_dir={folder!r})
"""


def test_kill_9_leaves_a_checkpoint_from_which_it_ends_as_unbroken(tmp_path: Path) -> None:
    tests, threads = str(Path(__file__).parents[2]), torch.get_num_threads()
    code = KILLED.format(tests=tests, threads=threads, folder=str(tmp_path))
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if process.poll() is not None or _epoch_on_disk(tmp_path) >= 3:
                break
        assert process.poll() is None, "it was to be killed in the middle of its work"
        process.send_signal(signal.SIGKILL)
    reached = _epoch_on_disk(tmp_path)
    assert 3 <= reached < 400
    config = replace(CONFIG, dropout=0.25, max_epochs=400, patience=400, checkpoint_interval_s=0)
    # Go on for three more epochs than the killed run had reached, and stop both there.
    ends = []
    for folder in (tmp_path, None):
        seen = []
        result = fit_stack(
            planted(),
            all_kinds()[:2],
            config,
            checkpoint_dir=folder,
            progress=seen.append,
            should_stop=lambda seen=seen: bool(seen) and seen[-1].epoch > reached + 3,
        )
        ends.append(result)
    for resumed, unbroken in zip(ends[0].members, ends[1].members, strict=True):
        shared = min(len(resumed.history), len(unbroken.history))
        assert shared >= reached + 3
        assert resumed.history[:shared] == unbroken.history[:shared]


def _epoch_on_disk(folder: Path) -> int:
    from safetensors import safe_open

    files = list(folder.glob("chunk-*.safetensors"))
    if not files:
        return 0
    with safe_open(files[0], framework="pt") as file:
        return json.loads(file.metadata()["content"])["state"]["epoch"]


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    data, members = planted(), all_kinds()[:1]
    config = replace(CONFIG, max_epochs=1)
    fit_stack(data, members, config, checkpoint_dir=tmp_path)
    with pytest.raises(DataError, match="another training"):
        fit_stack(data, members, replace(config, max_epochs=2), checkpoint_dir=tmp_path)
    with pytest.raises(DataError, match="another training"):
        fit_stack(planted(seed=1), members, config, checkpoint_dir=tmp_path)
    file = next(tmp_path.glob("chunk-*"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="not a readable checkpoint"):
        fit_stack(data, members, config, checkpoint_dir=tmp_path)


# --- what it learns -------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_kind_of_row_learns_a_planted_ranking() -> None:
    """nDCG@10 % above 0.9 on songs that were not trained on."""
    data, songs = planted(400, seed=5), split(400)
    rows: dict[str, Member] = {}
    for sampler in (None, "naive", "artist", "ab"):
        for use_tags in (False, True):
            name = f"{sampler}{'+tag' if use_tags else ''}"
            rows[name] = Member(
                **songs, sampler=sampler, use_tags=use_tags, margin=0.05, name=name, seed=1
            )
    rows["tags alone"] = Member(**songs, audio=None, use_tags=True, seed=1)
    rows["linear"] = Member(**songs, audio="linear", seed=1)
    rows["inception"] = Member(**songs, audio="inception", seed=1)
    result = fit_stack(data, list(rows.values()), TrainConfig(max_epochs=15, learning_rate=0.02))
    listwise = fit_member(
        data,
        replace(rows["naive"], rank_weight=0.9),
        TrainConfig(max_epochs=15, batch_size=40, objective="listwise", learning_rate=0.02),
    )
    test = songs["test"]
    figures = {
        name: ndcg_at(data.hit_scores[test], one.scores[test])
        for name, one in zip([*rows, "listwise"], [*result.members, listwise], strict=True)
    }
    fused = fuse(result.members[6].scores, result.members[4].scores)
    figures["A/B + artist"] = ndcg_at(data.hit_scores[test], fused[test])
    assert min(figures.values()) > 0.9, figures


def test_fusion_weight_is_the_best_on_validation() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200)
    good, noise = truth + 0.1 * rng.normal(size=200), rng.normal(size=200)
    valid = Validation.of(Member([], range(200), audio="linear"), truth)
    better, worse = valid.scores(good), valid.scores(noise)
    assert choose_weight(better, worse) < 0.5
    assert choose_weight(worse, better) > 0.5
    assert choose_weight(better, better) == 0.5
    assert choose_weight(worse, better, weights=(0.0, 1.0)) == 1.0
    with pytest.raises(ParameterError, match="different songs"):
        fuse(good, noise[:10])
    with pytest.raises(ParameterError, match="weight is 2"):
        fuse(good, noise, 2)
    with pytest.raises(ParameterError, match="no candidate"):
        choose_weight(better, worse, weights=())


# --- bad input, before training starts ------------------------------------------------------------


def bad_input() -> dict[str, tuple]:
    data, (member, ab, *_), artist = planted(), all_kinds(), all_kinds()[3]
    tagged = all_kinds()[4]
    flat = np.full(N_SONGS, 0.1)
    y = np.asarray(data.y).copy()
    y[7] = np.nan
    mel = data.mel.clone()
    mel[5, 2, 1] = torch.inf
    lonely = [[f"artist {song}"] for song in range(N_SONGS)]
    return {
        "no member": (ParameterError, "at least one", lambda: fit_stack(data, [])),
        "fewer songs than folds": (
            DataError,
            "fewer songs than folds",
            lambda: fit_member(data, replace(member, valid=[])),
        ),
        "outside the data": (
            DataError,
            "songs 0 to 59",
            lambda: fit_member(data, replace(member, test=[99])),
        ),
        "leak": (
            SplitLeakageError,
            "song twice",
            lambda: fit_member(data, replace(member, test=member.songs["train"][:1])),
        ),
        "constant y": (
            DataError,
            "nothing to learn",
            lambda: fit_member(replace(data, y=flat), member),
        ),
        "constant hit scores": (
            DataError,
            "nothing to learn",
            lambda: fit_member(replace(data, hit_scores=flat), ab),
        ),
        "NaN score": (DataError, "y of song 7 is NaN", lambda: replace(data, y=y)),
        "infinite feature": (DataError, "mel of song 5 is NaN", lambda: replace(data, mel=mel)),
        "mel of two dimensions": (
            DataError,
            r"\(n_songs, n_mels, n_frames\)",
            lambda: replace(data, mel=data.mel[:, 0]),
        ),
        "too few frames": (
            ParameterError,
            "at least 13",
            lambda: fit_member(replace(data, mel=data.mel[..., :9]), member),
        ),
        "preset": (
            ParameterError,
            "'paper', but the models are for 'release'",
            lambda: fit_member(data, member, TrainConfig(preset="release")),
        ),
        "no tags": (
            DataError,
            "run a tagger",
            lambda: fit_member(replace(data, tags=None), tagged),
        ),
        "no mel": (DataError, "no mel", lambda: fit_member(replace(data, mel=None), member)),
        "no artists": (
            DataError,
            "no artist_ids",
            lambda: fit_member(replace(data, artist_ids=None), artist),
        ),
        "no two songs of an artist": (
            DataError,
            "no two of",
            lambda: fit_member(replace(data, artist_ids=lonely), artist),
        ),
        "too little memory": (
            EngineError,
            "lower batch_size",
            lambda: fit_member(data, member, TrainConfig(memory_limit_bytes=1000)),
        ),
        "unknown device": (
            ParameterError,
            "cpu, cuda or cuda:N is expected",
            lambda: fit_member(data, member, device="abacus"),
        ),
        "batch of one": (ParameterError, "batch_size is 1", lambda: TrainConfig(batch_size=1)),
        "unknown optimiser": (
            ParameterError,
            "adagrad, adam",
            lambda: TrainConfig(optimiser="sgd"),
        ),
        "margin": (ParameterError, "margin is 0", lambda: replace(member, margin=0.0)),
        "neither input": (ParameterError, "neither", lambda: replace(member, audio=None)),
        "not positions": (ParameterError, "song positions", lambda: replace(member, train=["a"])),
    }


@pytest.mark.parametrize("case", bad_input())
def test_bad_input_is_refused_before_training(case: str) -> None:
    *kinds, said, call = bad_input()[case]
    with pytest.raises(tuple(kinds), match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_absent_cuda_is_said_before_training() -> None:
    with pytest.raises(EngineError, match="no CUDA device is here"):
        fit_member(planted(), all_kinds()[0], device="cuda")


def test_one_artist_only_pairs_all_songs() -> None:
    data = replace(planted(), artist_ids=[["one"]] * N_SONGS)
    result = fit_member(data, replace(all_kinds()[3], seed=1), replace(CONFIG, max_epochs=2))
    naive = fit_member(data, replace(all_kinds()[3], seed=1), replace(CONFIG, max_epochs=2))
    assert np.array_equal(result.scores, naive.scores)


def test_stack_that_does_not_fit_is_split_and_said(caplog: pytest.LogCaptureFixture) -> None:
    data, members = planted(), all_kinds()[:3]
    config = replace(CONFIG, max_epochs=2)
    whole, seen = fit_stack(data, members, config), []
    limit = replace(config, memory_limit_bytes=7_000_000)
    with caplog.at_level(logging.WARNING):
        cut = fit_stack(data, members, limit, progress=seen.append)
    assert whole.n_chunks == 1
    assert cut.n_chunks > 1
    assert "do not fit into 7 MB" in caplog.text
    assert "at a time" in seen[-1].message
    for one, other in zip(whole.members, cut.members, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_half_precision_stays_near_and_its_scores_are_those_of_its_weights() -> None:
    data, members = planted(), all_kinds()
    config = replace(CONFIG, max_epochs=4)
    whole = fit_stack(data, members, config)
    half = fit_stack(data, members, replace(config, precision="bfloat16"))
    for member, one, other in zip(members, whole.members, half.members, strict=True):
        difference = np.abs(one.scores - other.scores).max()
        assert 0 < difference < 0.02, "products of 8 bits, sums of 24"
        network = other.network(data, config)
        mel, tags = torch.as_tensor(data.mel), torch.as_tensor(data.tags)
        with torch.no_grad():
            score = network(mel, tags if member.use_tags else None).score.numpy()
        np.testing.assert_allclose(other.scores, score, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_as_the_cpu_does() -> None:
    data, members = planted(), all_kinds()
    config = replace(CONFIG, precision="float32", max_epochs=4)
    on_cpu = fit_stack(data, members, config)
    on_gpu = fit_stack(data, members, config, device="cuda")
    for one, other in zip(on_cpu.members, on_gpu.members, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
    half = fit_stack(data, members, replace(config, precision="bfloat16"), device="cuda")
    for one, other in zip(on_cpu.members, half.members, strict=True):
        assert np.abs(one.scores - other.scores).max() < 0.1

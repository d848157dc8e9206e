"""Catalogue, folds and target transforms."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitcore.catalogue.songs import (
    Catalogue,
    Song,
    Split,
    artist_groups,
    check_split,
    inverse_target,
    transform_target,
)
from hitcore.errors import DataError, ParameterError, SplitLeakageError

shares = st.floats(min_value=0.0, max_value=0.99, allow_subnormal=False)


def songs_of(n: int, artists_per_song: int = 1, n_artists: int = 7, seed: int = 0) -> Catalogue:
    rng = np.random.default_rng(seed)
    return Catalogue.from_songs(
        Song(
            f"s{i:05}",
            artist_ids=tuple(f"a{j}" for j in rng.integers(n_artists, size=artists_per_song)),
            hit_score=float(rng.random() ** 8),
        )
        for i in range(n)
    )


class TestSongs:
    def test_missing_columns_become_unknown_and_others_stay(self) -> None:
        catalogue = Catalogue(pd.DataFrame({"song_id": [1, 2], "language": ["de", "en"]}))
        first = next(iter(catalogue))
        assert first.song_id == "1"
        assert (first.title, first.artist_ids, first.release_date) == ("", (), None)
        assert np.isnan(first.hit_score)
        assert list(catalogue.songs["language"]) == ["de", "en"]

    def test_file_round_trip(self, tmp_path: Path) -> None:
        song = Song("x", "Title", ("a", "b"), "A & B", "pop", date(2016, 2, 29), hit_score=1 / 3)
        catalogue = Catalogue.from_songs([song, Song("y")])
        catalogue.write(tmp_path / "songs.parquet")
        back = Catalogue.read(tmp_path / "songs.parquet")
        assert back["x"] == song
        pd.testing.assert_frame_equal(back.songs, catalogue.songs)

    def test_scores_in_a_table_of_their_own(self, tmp_path: Path) -> None:
        Catalogue.from_songs([Song("x"), Song("y")]).write(tmp_path / "songs.parquet")
        scores = pd.DataFrame({"song_id": ["y"], "hit_score": [0.25]})
        scores.to_parquet(tmp_path / "hit_scores.parquet")
        back = Catalogue.read(tmp_path / "songs.parquet", tmp_path / "hit_scores.parquet")
        np.testing.assert_array_equal(back.hit_scores, [np.nan, 0.25])
        assert [song.song_id for song in back.defined()] == ["y"]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"title": ["a"]}, "no column song_id"),
            ({"song_id": ["a", "a"]}, "'a' stands"),
            ({"song_id": ["a", None]}, "empty song_id"),
            ({"song_id": [""]}, "empty song_id"),
            ({"song_id": ["a"], "hit_score": [17.0]}, "outside 0 to 1"),
            ({"song_id": ["a"], "hit_score": [-0.1]}, "outside 0 to 1"),
            ({"song_id": ["a"], "artist_ids": [3]}, "list of ids"),
            ({"song_id": ["a"], "release_date": ["30 Feb"]}, "release_date"),
        ],
    )
    def test_refuses(self, table: dict[str, list[object]], message: str) -> None:
        with pytest.raises(DataError, match=message):
            Catalogue(pd.DataFrame(table))

    def test_refuses_scores_of_strangers(self) -> None:
        catalogue = Catalogue.from_songs([Song("a")])
        with pytest.raises(DataError, match="'b'"):
            catalogue.scored(pd.DataFrame({"song_id": ["b"], "hit_score": [0.1]}))
        with pytest.raises(DataError, match="more than once"):
            catalogue.scored(pd.DataFrame({"song_id": ["a", "a"], "hit_score": [0.1, 0.2]}))

    def test_unreadable_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no table at"):
            Catalogue.read(tmp_path / "absent.parquet")
        (tmp_path / "text.parquet").write_text("not parquet")
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            Catalogue.read(tmp_path / "text.parquet")

    def test_top_takes_the_highest(self) -> None:
        catalogue = songs_of(200)
        top = catalogue.top(20)
        assert len(top) == 20
        assert top.hit_scores.min() >= np.sort(catalogue.hit_scores)[-20]
        with pytest.raises(ParameterError):
            catalogue.top(0)


class TestFolds:
    def test_every_song_is_tested_once_and_parts_are_8_1_1(self) -> None:
        folds = songs_of(1000).folds(10, seed=3)
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(1000))
        assert sorted(np.concatenate([fold.valid for fold in folds])) == list(range(1000))
        for fold in folds:
            assert [len(part) for part in fold] == [800, 100, 100]
            assert sorted(np.concatenate(fold)) == list(range(1000))

    @pytest.mark.parametrize("kind", ["song", "artist"])
    def test_seeded_and_blind_to_the_order_of_rows(self, kind: str) -> None:
        catalogue = songs_of(120, n_artists=40)
        shuffled = Catalogue(catalogue.songs.sample(frac=1, random_state=5))

        def tested(c: Catalogue, seed: int) -> list[set[str]]:
            return [set(c.song_ids[fold.test]) for fold in c.folds(5, kind=kind, seed=seed)]

        assert tested(catalogue, 1) == tested(shuffled, 1) == tested(catalogue, 1)
        assert tested(catalogue, 1) != tested(catalogue, 2)

    @given(n_artists=st.integers(30, 300), per_song=st.integers(0, 2), seed=st.integers(0, 99))
    def test_artist_folds_share_no_artist(self, n_artists: int, per_song: int, seed: int) -> None:
        catalogue = songs_of(60, per_song, n_artists, seed)
        if len(set(artist_groups(catalogue.artist_ids))) < 4:
            with pytest.raises(DataError, match="groups"):
                catalogue.folds(4, kind="artist", seed=seed)
            return
        folds = catalogue.folds(4, kind="artist", seed=seed)
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(60))
        for fold in folds:
            artists = [{a for row in part for a in catalogue.artist_ids[row]} for part in fold]
            assert len(artists[0] | artists[1] | artists[2]) == sum(map(len, artists))

    def test_duets_tie_artists_together(self) -> None:
        chain = [Song(f"c{i}", artist_ids=(f"x{i}", f"x{i + 1}")) for i in range(10)]
        rest = [Song(f"r{i}", artist_ids=(f"y{i}",)) for i in range(20)]
        folds = Catalogue.from_songs(chain + rest).folds(3, kind="artist")
        assert [len(fold.test) for fold in folds] == [10, 10, 10]
        assert sum(bool(set(fold.test) & set(range(10))) for fold in folds) == 1

    def test_fewer_songs_than_folds(self) -> None:
        with pytest.raises(DataError, match="at least 10 songs; this catalogue has 9"):
            songs_of(9).folds(10)
        assert len(songs_of(10).folds(10)) == 10
        with pytest.raises(DataError, match="has 1: "):
            songs_of(100, n_artists=1).folds(10, kind="artist")
        with pytest.raises(DataError, match="has 0"):
            Catalogue.from_songs([]).folds(3)

    def test_refuses_impossible_requests(self) -> None:
        with pytest.raises(ParameterError, match="at least 3"):
            songs_of(10).folds(2)
        with pytest.raises(ParameterError, match="song, artist"):
            songs_of(10).folds(3, kind="label")  # type: ignore[arg-type]

    def test_leaks_are_found(self) -> None:
        catalogue = Catalogue.from_songs(
            [Song("a", artist_ids=("x",)), Song("b", artist_ids=("x", "y")), Song("c")]
        )
        split = Split(np.array([0]), np.array([1]), np.array([2]))
        check_split(split, catalogue)
        with pytest.raises(SplitLeakageError, match="artist 'x' stands in both train and valid"):
            check_split(split, catalogue, kind="artist")
        with pytest.raises(SplitLeakageError, match="song 'c'"):
            check_split(split._replace(train=np.array([0, 2])), catalogue)
        with pytest.raises(DataError, match="empty"):
            check_split(split._replace(test=np.array([], dtype=int)), catalogue)
        with pytest.raises(DataError, match="another catalogue"):
            check_split(split._replace(test=np.array([3])), catalogue)

    def test_the_papers_size(self) -> None:
        catalogue = songs_of(15_000, n_artists=5_000)
        folds = catalogue.folds(10, kind="artist")
        assert {len(fold.test) for fold in folds} == {1500}


class TestTargets:
    @given(st.lists(shares, min_size=1))
    def test_round_trip_and_order(self, values: list[float]) -> None:
        share = np.sort(values)
        for kind in ("neg_inv_log10", "identity"):
            target = transform_target(share, kind)
            np.testing.assert_allclose(inverse_target(target, kind), share, rtol=2e-13, atol=0)
            assert np.all(np.diff(target) >= 0)
        positive = share[share > 0]
        back = inverse_target(transform_target(positive, "log10"), "log10")
        np.testing.assert_allclose(back, positive, rtol=2e-13, atol=0)

    def test_closed_form(self) -> None:
        np.testing.assert_allclose(
            transform_target([1e-6, 1e-3, 0.1, 10**-0.5]), [1 / 6, 1 / 3, 1, 2], rtol=1e-15
        )
        np.testing.assert_allclose(transform_target([1e-6, 1], "log10"), [-6, 0], atol=1e-15)

    def test_the_published_sample(self) -> None:
        """The published model's two published numbers: network output and share."""
        np.testing.assert_allclose(inverse_target(0.3582317), 0.0016162578, rtol=1e-6)
        np.testing.assert_allclose(inverse_target(0.6329215), 0.0263042, rtol=1e-6)

    def test_zero_share_and_outputs_below_zero(self) -> None:
        zero = transform_target(0.0)
        assert zero == 0
        assert not np.signbit(zero)
        np.testing.assert_array_equal(inverse_target([-1.0, -0.0, 0.0, 1e-9]), 0.0)
        np.testing.assert_array_equal(inverse_target([-0.5, 1.5], "identity"), [0, 1])
        np.testing.assert_array_equal(inverse_target([0.5], "log10"), 1)

    def test_single_precision_and_whole_numbers_are_taken_in_double(self) -> None:
        for kind in ("neg_inv_log10", "identity", "log10"):
            for values in (np.array([0.5, 0.25], np.float32), np.array([1, 1])):
                target = inverse_target(values, kind)
                assert target.dtype == np.float64
        third = np.float32(1 / 3)
        assert transform_target(third).dtype == np.float64
        assert transform_target(third) == transform_target(float(third))

    def test_nan_stays(self) -> None:
        for kind in ("neg_inv_log10", "identity", "log10"):
            assert np.isnan(transform_target(np.nan, kind))
            assert np.isnan(inverse_target(np.nan, kind))

    @pytest.mark.parametrize(
        ("share", "kind", "words"),
        [
            (-0.1, "identity", "a share is outside 0 to 1: give shares"),
            (1.1, "identity", "a share is outside 0 to 1: give shares"),
            (1.0, "neg_inv_log10", "a share is exactly 1, where .* is infinite"),
            (0.0, "log10", "log10 has no value at a share of 0: drop those songs"),
            (0.1, "x", "'x' is unknown: one of neg_inv_log10, identity, log10 is allowed"),
        ],
    )
    def test_refuses(self, share: float, kind: str, words: str) -> None:
        with pytest.raises(ParameterError, match=words):
            transform_target(share, kind)  # type: ignore[arg-type]

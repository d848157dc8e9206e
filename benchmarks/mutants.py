"""Mutations of the protocol, the doors and the walls: each is applied, and a test must fail.

    python benchmarks/mutants.py             # all; a quarter of an hour
    python benchmarks/mutants.py fusion      # those whose name contains a word
    python benchmarks/mutants.py door:       # those of sign-in, gate, cookies and proxies
    python benchmarks/mutants.py wall:       # those of the decoder's sandbox

Each mutation is a change of text in a copy of the package; the tests named with it run against
the copy, and the first that fails is printed. The exit status is 1 where one survives, or where
its text is no longer there. General mutations, by a tool, are `make mutants` (docs/mutation.md).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SWAPPED = "split._replace(valid=split.test, test=split.valid)"
PROTOCOL = "tests/experiments/test_protocol.py"
CHOOSING = "tests/learning/test_choosing.py"
SURVIVORS = "tests/mutants/test_survivors.py"
GATE = "tests/ui/test_gate.py"
FRONT = "tests/ui/test_front.py"
VISITORS = "tests/ui/test_visitors.py"
ACCESS = "tests/ui/test_access.py"
SANDBOX = "tests/audio/test_sandbox.py"
ISOLATION = "hitcore/audio/isolation"
CARRIED = ("hitcore", "tests", "ui", "pages", "benchmarks", "assets", ".streamlit")
FILES = ("pyproject.toml", "requirements.txt", "app.py", "server.py")


@dataclass(frozen=True)
class Mutant:
    """A change of text and the tests that must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    Mutant("grid point and fusion weight chosen on the test fold", "hitcore/experiments/runs.py",
           "    return Validation.of(split, bench",
           f"    split = {SWAPPED}\n    return Validation.of(split, bench", PROTOCOL),
    Mutant("fusion weight chosen on the test fold", "hitcore/experiments/runs.py",
           "    valid = _validation(bench, run)\n    weight",
           "    split = bench.songs.folds[run.fold]\n    valid = Validation.of("
           f"{SWAPPED}, bench.songs.catalogue.hit_scores, bench.config.training.top)\n    weight",
           PROTOCOL),
    Mutant("worst candidate chosen", "hitcore/learning/choosing.py",
           "return max(sound", "return min(sound", CHOOSING),
    Mutant("first candidate chosen", "hitcore/learning/choosing.py",
           "return max(sound, key", "return min(sound) if True else max(sound, key", CHOOSING),
    Mutant("choosing sees test songs", "hitcore/learning/choosing.py",
           "songs = np.asarray(split.valid, np.int64)\n        others",
           "songs = np.asarray(split.test, np.int64)\n        others", CHOOSING),
    Mutant("Kendall breaks no ties", "hitcore/learning/choosing.py",
           "return _rounded(ndcg), _rounded(kendall)", "return _rounded(ndcg), 0.0", CHOOSING),
    Mutant("metrics of validation songs reported as test", "hitcore/experiments/runs.py",
           "test = evaluate(truth[split.test], finding.scores[split.test]",
           "test = evaluate(truth[split.valid], finding.scores[split.valid]", PROTOCOL),
    Mutant("margin ignored", "hitcore/experiments/runs.py",
           '"margin": point.margin', '"margin": 0.3', SURVIVORS),
    Mutant("tag weight ignored", "hitcore/experiments/runs.py",
           '"tag_weight": point.tag_weight', '"tag_weight": 0.5', SURVIVORS),
    Mutant("seed of the fold ignored", "hitcore/experiments/runs.py",
           "return repeat * 1_000_000 + seed * 1000 + fold",
           "return repeat * 1_000_000 + seed * 1000", SURVIVORS),
    Mutant("A/B threshold from all songs, in batch", "hitcore/learning/batches.py",
           "threshold=mean_hit_score(scores[songs])", "threshold=mean_hit_score(scores)", CHOOSING),
    Mutant("A/B threshold from all songs, explicit", "hitcore/learning/batches.py",
           "return AB(np.asarray(self._data.hit_scores)[songs])",
           "return AB(np.asarray(self._data.hit_scores)[songs], "
           "mean_hit_score(self._data.hit_scores))", CHOOSING),
    Mutant("explicit sampling always naive", "hitcore/learning/batches.py",
           "            self._made[key] = self._make(member, songs)\n        return",
           "            self._made[key] = Naive(len(songs))\n        return", SURVIVORS),
    Mutant("pairs sorted by row", "hitcore/learning/pairs.py",
           "return np.where(turned, pairs[:, ::-1], pairs)", "return np.sort(pairs, axis=1)",
           "tests/learning/test_ties.py"),
    Mutant("ties of the validation loss follow the rows", "hitcore/learning/losses.py",
           'if ties == "both":', "if False:", "tests/learning/test_ties.py"),
    Mutant("standardised over test songs too", "hitcore/learning/stacks/fresh.py",
           'data.statistics(name, m.songs["train"])',
           "data.statistics(name, np.arange(data.source.n_songs))", CHOOSING),
    Mutant("day totals of scored songs only", "hitcore/plays/definitions.py",
           "    totals = daily_totals(plays)\n    windows",
           '    totals = daily_totals(plays.semi_join(songs, "song_id"))\n    windows', SURVIVORS),
    Mutant("the paper's mel with Hann", "hitcore/features.py",
           '128, window="hamming")', '128, window="hann")', SURVIVORS),
    Mutant("tags in the tagger's order", "hitcore/analysis/hearing.py",
           "[[float(by_name[name]) for name in names]]",
           "[[float(v) for v in list(by_name.values())[: len(names)]]]", SURVIVORS),
    Mutant("the paper's mel for every model", "hitcore/analysis/hearing.py",
           "    config = MEL_PRESETS[preset]", '    config = MEL_PRESETS["paper"]', SURVIVORS),
    Mutant("percentile over pooled folds", "hitcore/evaluation/percentiles.py",
           "self.score[self.fold == fold])[0]", "self.score)[0]", SURVIVORS),
    Mutant("maximum instead of mean over members", "hitcore/evaluation/percentiles.py",
           "place = float(self.percentiles(scores).mean())",
           "place = float(self.percentiles(scores).max())", SURVIVORS),
    Mutant("a highlight overruns the end", "hitcore/highlights/windows.py",
           "latest = max(first, last - length_s)", "latest = max(first, last)", SURVIVORS),
    Mutant("loudness ignored", "hitcore/highlights/repetition.py",
           "np.minimum(smooth, 1.0) ** config.loudness_power",
           "np.minimum(smooth, 1.0) ** 0.0", SURVIVORS),
    Mutant("onset tolerance × 10", "hitcore/highlights/windows.py",
           "ONSET_TOLERANCE = 0.03", "ONSET_TOLERANCE = 0.3", SURVIVORS),
    Mutant("no correction of p", "hitcore/experiments/verdicts.py",
           "corrected, levels = holm(raw), _levels(raw, alpha)\n    return tuple(",
           "corrected, levels = np.asarray(raw), _levels(raw, alpha)\n    return tuple(",
           "tests/experiments/test_verdicts.py"),
    Mutant("nothing found counts as no gain", "hitcore/experiments/verdicts.py",
           "one[DECIDES].p_within if claim.of_no_gain else one[DECIDES].p_value",
           "1 - one[DECIDES].p_value if claim.of_no_gain else one[DECIDES].p_value",
           "tests/experiments/test_verdicts.py"),
)  # fmt: skip
"""What the review found, and what the verdicts must not do."""

DOORS = (
    Mutant("everybody passes the gate", "ui/server/gate.py",
           "or may_enter(scope):", "or True:", GATE),
    Mutant("nothing is open", "ui/server/gate.py", "or is_open(scope) or", "or", GATE),
    Mutant("websockets pass", "ui/server/gate.py",
           'scope["type"] == "lifespan" or', 'scope["type"] != "http" or', GATE),
    Mutant("a route by another method counts", "ui/server/gate.py",
           "if match is Match.FULL:", "if match is not Match.NONE:", GATE),
    Mutant("the frame takes any method", "ui/server/gate.py",
           ' and scope["method"] in ("GET", "HEAD")', "", GATE),
    Mutant("the frame takes websockets", "ui/server/gate.py",
           'reading = scope["type"] == "http" and scope["method"]',
           'reading = scope.get("method", "GET")', GATE),
    Mutant("every path of the frame is open", "ui/server/gate.py",
           "(path in FRAME_PATHS or FRAME_FILES.fullmatch(path) is not None)", "True", GATE),
    Mutant("a script's address may go on", "ui/server/gate.py",
           "FRAME_FILES.fullmatch(", "FRAME_FILES.match(", GATE),
    Mutant("names in the frame may begin with a dot", "ui/server/gate.py",
           r"(/[\w-][\w.-]*)+", r"(/[\w.-]+)+", GATE),
    Mutant("any mount of its name is the frame", "ui/server/gate.py",
           " and route.path == base_path()", "", GATE),
    Mutant("any mount in its place is the frame", "ui/server/gate.py",
           "route.name == FRAME and ", "", GATE),
    Mutant("what is mounted at an open path is open", "ui/server/gate.py",
           "if not isinstance(route, Route | WebSocketRoute):", "if route is None:", GATE),
    Mutant("open for another kind of request", "ui/server/gate.py",
           '(scope["type"], route.path) == (kind, base_path() + name)',
           "route.path == base_path() + name", GATE),
    Mutant("raw paths compared, without the base path", "ui/server/gate.py",
           "(kind, base_path() + name)", "(kind, name)", GATE),
    Mutant("the path before the mount counts", "ui/server/gate.py",
           'path.removeprefix(inner["root_path"])', "path", GATE),
    Mutant("the base path without a slash is closed", "ui/server/gate.py",
           "if route is None:\n        # Starlette", "if False:\n        # Starlette", GATE),
    Mutant("whoever has signed in passes, listed or not", "ui/server/gate.py",
           'verdict(claims) == "enter"', 'verdict(claims) != "sign in"', GATE),
    Mutant("the cookie of another address counts", "ui/server/streamlit_private.py",
           "return _parse_decoded_user_cookie(cookie, origin)",
           "return __import__('json').loads(cookie)", GATE),
    Mutant("the cookie's signature is not looked at", "ui/server/streamlit_private.py",
           "cookie = _get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)",
           "from itsdangerous import URLSafeTimedSerializer as S; "
           'found = S("").loads_unsafe(cookies.get(USER_COOKIE_NAME, ""))[1]; '
           "cookie = found.encode() if isinstance(found, str) else None", GATE),
    Mutant("no gate", "server.py", "        Middleware(Gate),\n", "", GATE),
    Mutant("any name of the host", "server.py",
           'st.get_option("server.allowedHosts") or ["*"]', '["*"]', GATE),
    Mutant("no numbers for browsers", "server.py", "        Middleware(Visitors),\n", "", GATE),
    Mutant("cookies as Streamlit sets them", "server.py",
           "        Middleware(SecureCookies),\n", "", GATE),
    Mutant("cookies go over plain HTTP too", "ui/server/front.py",
           '(b"Secure", b"SameSite=Lax")', '(b"SameSite=Lax",)', FRONT),
    Mutant("cookies go across sites", "ui/server/front.py",
           '(b"Secure", b"SameSite=Lax")', '(b"Secure",)', FRONT),
    Mutant("cookies are marked whatever the scheme", "ui/server/front.py",
           ' or scope["scheme"] != "https"', "", FRONT),
    Mutant("a network of all addresses is a name", "ui/server/front.py",
           "if network.prefixlen == 0:", "if False:", FRONT),
    Mutant("what is no address is a name", "ui/server/front.py",
           "raise _not_named(name) from error", "continue", FRONT),
    Mutant("a server starts that believes everybody", "ui/server/serve.py",
           "            check_proxies(os.environ[PROXIES])\n", "            pass\n", FRONT),
    Mutant("scripts read the browser's number", "ui/server/visitors.py",
           'cookie[COOKIE]["httponly"] = True', "pass", VISITORS),
    Mutant("the browser's number goes across sites", "ui/server/visitors.py",
           ', "samesite": "Lax"', "", VISITORS),
    Mutant("any text is a browser's number", "ui/server/visitors.py",
           " and NUMBER.fullmatch(value) else", " else", VISITORS),
    Mutant("the app does not stop at the door", "app.py", "access.enter()\n", "", ACCESS),
    Mutant("a page does not stop at the door", "ui/frame/page.py",
           "    access.enter()  #", "    pass  #", ACCESS),
    Mutant("faulty settings let people in", "ui/server/access.py",
           "if self.fault is not None:", "if False:", ACCESS),
    Mutant("any answer to is_logged_in is yes", "ui/server/access.py",
           'user.get("is_logged_in") is not True', 'not user.get("is_logged_in")', ACCESS),
    Mutant("an address without @", "ui/server/access.py",
           ' or address.count("@") != 1', "", ACCESS),
    Mutant("an address that is no text", "ui/server/access.py",
           "not isinstance(address, str) or ", "", ACCESS),
    Mutant("unverified addresses count", "ui/server/access.py",
           "if not (verified or self.trust_unverified):", "if False:", ACCESS),
    Mutant("any word for verified is yes", "ui/server/access.py",
           'user.get("email_verified") in (True, "true")', 'bool(user.get("email_verified"))',
           ACCESS),
    Mutant("any word trusts the unverified", "ui/server/access.py",
           'access.get("trust_unverified") is True', 'bool(access.get("trust_unverified"))',
           ACCESS),
    Mutant("the end of an address is enough", "ui/server/access.py",
           'address in listed or address[address.index("@") :] in listed',
           "address.endswith(tuple(listed))", ACCESS),
    Mutant("[access] without [auth] is no fault", "ui/server/access.py",
           "if not isinstance(auth, Mapping) or not auth:", "if False:", ACCESS),
    Mutant("a short secret is no fault", "ui/server/access.py",
           'if len(str(auth.get("cookie_secret", ""))) < MIN_SECRET:', "if False:", ACCESS),
    Mutant("an absent list is no fault", "ui/server/access.py",
           "if not isinstance(allow, list | tuple) or not allow:", "if False:", ACCESS),
    Mutant("entries that are no addresses are no fault", "ui/server/access.py",
           'if not all(isinstance(entry, str) and ("@" in entry', 'if not all(("@" in str(entry)',
           ACCESS),
    Mutant("entries without @ are no fault", "ui/server/access.py",
           '("@" in entry or entry == "*") for', "True for", ACCESS),
    Mutant("secrets that cannot be read open the door", "ui/server/access.py",
           "if any(Path(file).exists()", "if False and any(Path(file).exists()", ACCESS),
    Mutant("headers name the visitor", "ui/server/access.py",
           'if st.get_option("server.trustedUserHeaders"):', "if False:", ACCESS),
    Mutant("everybody is an admin", "ui/server/access.py",
           "return entered and self._lists(user, self.admins)", "return entered", ACCESS),
    Mutant("an admin need not be let in", "ui/server/access.py",
           'entered = self.required and self.verdict(user) == "enter"', "entered = self.required",
           ACCESS),
    Mutant("any token reads the figures", "ui/server/access.py",
           " and hmac.compare_digest(given.encode(), known.encode())", "", ACCESS),
    Mutant("a short token is no fault", "ui/server/access.py",
           " or len(token) < MIN_SECRET)", ")", ACCESS),
    Mutant("admins that are no addresses are no fault", "ui/server/access.py",
           'isinstance(entry, str) and "@" in entry.strip("@") for', "True for", ACCESS),
    Mutant("what a proxy passes on comes from this machine", "ui/server/access.py",
           "return not passed_on and", "return", ACCESS),
    Mutant("every peer is this machine", "ui/server/access.py",
           " and _is_loopback(address) and", " and", ACCESS),
    Mutant("a server for all is for this machine", "ui/server/access.py",
           ' and _is_loopback(st.get_option("server.address"))', "", ACCESS),
    Mutant("everybody sees the state of the server", "pages/status.py",
           "if not access.is_admin():", "if False:", ACCESS),
    Mutant("everybody reads the figures", "ui/operators/metrics.py",
           "if not may_read(request):", "if False:", GATE),
)  # fmt: skip
"""Each check between a stranger and the songs, dropped."""

WALLS = (
    Mutant("none goes up", f"{ISOLATION}/server.py", "sandbox.enter()", "pass",
           "every_forbidden_act"),
    Mutant("the filter is not loaded", f"{ISOLATION}/sandbox.py",
           "            self.calls.load()", "            pass", "every_forbidden_act"),
    Mutant("Landlock is left out", f"{ISOLATION}/sandbox.py",
           "landlock.give_up_everything(self.landlock)", "pass", "landlock_alone"),
    Mutant("Landlock lets files be", f"{ISOLATION}/landlock.py",
           "(1 << max(n for since, n in _N_FILE_RIGHTS.items() if since <= has)) - 1", "0",
           "landlock_alone"),
    Mutant("Landlock lets signals be", f"{ISOLATION}/landlock.py",
           "_SCOPES if has >= _SCOPES_SINCE else 0", "0", "landlock_alone"),
    Mutant("descriptors stay open", f"{ISOLATION}/server.py",
           "        if file not in (*NOWHERE, *places):", "        if False:",
           "its_own_descriptors"),
    Mutant("any descriptor may be read", f"{ISOLATION}/policy.py",
           '*(Rule(name, (Argument(0, SOURCE),)) for name in ("read", "pread64", "readv")),',
           '*(Rule(name) for name in ("read", "pread64", "readv")),', "every_forbidden_act"),
    Mutant("any descriptor may be written", f"{ISOLATION}/policy.py",
           'Rule(name, (where,)) for name in ("write", "writev") for where in writable',
           'Rule(name) for name in ("write", "writev")', "every_forbidden_act"),
    Mutant("files may be mapped", f"{ISOLATION}/policy.py",
           "                Argument(3, mmap.MAP_ANONYMOUS, mmap.MAP_ANONYMOUS),\n", "",
           "every_forbidden_act"),
    Mutant("code may be mapped", f"{ISOLATION}/policy.py",
           "                Argument(2, 0, ~_READ_OR_WRITE),\n", "", "every_forbidden_act"),
    Mutant("memory may become code", f"{ISOLATION}/policy.py",
           'Rule("mprotect", (Argument(2, 0, ~_READ_OR_WRITE),))', 'Rule("mprotect")',
           "every_forbidden_act"),
    Mutant("one call more", f"{ISOLATION}/policy.py",
           '"munmap", "brk"', '"munmap", "socketpair", "brk"', "of_all_calls"),
    Mutant("any open is answered", f"{ISOLATION}/policy.py",
           'Rule("openat", (Argument(2, os.O_RDONLY, ~_LARGE_FILE),), NOT_THERE)',
           'Rule("openat", (), NOT_THERE)', "every_forbidden_act"),
    Mutant("any signal is answered", f"{ISOLATION}/policy.py",
           'Rule("tgkill", (Argument(2, signal.SIGABRT),), errno.EPERM)',
           'Rule("tgkill", (), errno.EPERM)', "every_forbidden_act"),
    Mutant("paths may be asked about", f"{ISOLATION}/policy.py",
           'Rule("newfstatat", (where, empty))', 'Rule("newfstatat")', "every_forbidden_act"),
    Mutant("a filter that fails is believed", f"{ISOLATION}/sandbox.py",
           "if calls and not _holds(Sandbox(calls), policy.NOT_THERE):", "if False:",
           "takes_no_filter"),
    Mutant("a filter that stops decoders is kept", f"{ISOLATION}/sandbox.py",
           "if calls and not works(Sandbox(calls, version)):", "if False:", "stops_sound_decoders"),
    Mutant("require is not asked", f"{ISOLATION}/server.py",
           'if job["sandbox"] == REQUIRE and sandbox.calls is None:', "if False:",
           "require_refuses"),
    Mutant("the log does not say it", f"{ISOLATION}/__init__.py",
           "    log.log(logging.INFO", "    0 and log.log(logging.INFO", "without_either"),
    Mutant("the report does not say it", "hitcore/analysis/song.py",
           "*filter(None, [decoded.unprotected]), ", "", "without_either"),
    Mutant("the page does not say it", "pages/models.py", "    table.decoders()\n", "",
           "without_either"),
    Mutant("tables of characters are not loaded", f"{ISOLATION}/warming.py",
           "    _load_tables()\n    source", "    source", "all_real_formats"),
    Mutant("encodings are not loaded", f"{ISOLATION}/warming.py",
           "        codecs.lookup(name)", "        pass", "tags_of_every_encoding"),
    Mutant("nothing is silenced", f"{ISOLATION}/warming.py",
           "    sys.stdout = sys.stderr = None", "    pass", "by_itself"),
    Mutant("modules are looked for", f"{ISOLATION}/server.py",
           "    sys.meta_path.clear()\n", "", "by_itself"),
)  # fmt: skip
"""Each part of the decoder's sandbox, taken away; the test is told by a part of its name."""


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    survived = 0
    with tempfile.TemporaryDirectory(prefix="hitcore-mutants-") as folder:
        copy = Path(folder)
        for name in CARRIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy2(ROOT / name, copy)
        doors = (replace(mutant, name=f"door: {mutant.name}") for mutant in DOORS)
        walls = (
            replace(mutant, name=f"wall: {mutant.name}", tests=f"{SANDBOX} -k {mutant.tests}")
            for mutant in WALLS
        )
        chosen = [mutant for mutant in (*MUTANTS, *doors, *walls) if wanted in mutant.name]
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            done = run(tests, copy)
            if done.returncode:
                sys.exit(f"{done.stdout}\n{tests} fails without any mutation: mend that first")
        for mutant in chosen:
            survived += not killed(mutant, copy)
    print(f"{survived} survived")
    return int(survived > 0)


def killed(mutant: Mutant, copy: Path) -> bool:
    """Apply a mutant, run its tests, put the text back; whether a test failed."""
    file = copy / mutant.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        print(f"NOT APPLIED  {mutant.name}: its text stands {text.count(mutant.old)} times")
        return False
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    done = run(mutant.tests, copy)
    file.write_text(text, encoding="utf-8")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, flags=re.MULTILINE)
    if done.returncode == 1 and failed:
        print(f"killed       {mutant.name}: {failed[1]}", flush=True)
        return True
    print(f"SURVIVED     {mutant.name} (pytest ended with {done.returncode})", flush=True)
    return False


def run(tests: str, copy: Path) -> "subprocess.CompletedProcess[str]":
    """Run some tests against the copy, up to the first that fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split()]
    environment = os.environ | {"PYTHONPATH": "."}
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())

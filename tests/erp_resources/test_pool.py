"""Pool files: what a user can get wrong is told with the line and the way out."""

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_resources.pool import check_entries, find_root, load_pool, overlooked, pool_names
from erp_resources.pool.cron import check_cron
from erp_resources.settings import UserError

GOOD = """\
name: demo
prompts: {source: function, function: "corpus:prompts", per_category: 12, seed: 0}
split: {test_fraction: 0.5, seed: 0}
sampling: {n: 4, max_tokens: 6}
embedder: {backend: sentence_transformers, model: some/embedder}
probe: {beta: 1.0}
llms:
  small: {backend: transformers, model: some/small, cost: 1}
  org/large-1.5: {backend: transformers, model: some/large, cost: 3}
reward_models:
  taste: {backend: transformers, model: some/taste, input: chat}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pools").mkdir()
    (tmp_path / "dagster.yaml").touch()
    (tmp_path / "pools" / "demo.yaml").write_text(GOOD)
    return tmp_path


def refusal(root: Path, old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    (root / "pools" / "demo.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as error:
        load_pool("demo", root)
    return str(error.value)


def test_a_valid_file_gives_its_llms_and_costs_in_the_file_s_order(root: Path) -> None:
    pool = load_pool("demo", root)
    assert list(pool.llms) == ["small", "org/large-1.5"]
    assert pool.costs == [1, 3]
    assert pool.root == root


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sampling:", "samplign:", "pools/demo.yaml:4: samplign: unknown key; did you mean 'sampling'?"),
        ("seed: 0}\nsplit", "sede: 0}\nsplit", "pools/demo.yaml:2: prompts.sede: unknown key; did you mean 'seed'?"),
        (
            "test_fraction: 0.5",
            "test_fractoin: 0.5",
            "pools/demo.yaml:3: split.test_fractoin: unknown key; did you mean",
        ),
        (
            "test_fraction: 0.5",
            "test_fraction: 1.5",
            "pools/demo.yaml:3: split.test_fraction: input should be less than 1",
        ),
        ("n: 4", "n: 0", "pools/demo.yaml:4: sampling.n: input should be greater than 0, not 0"),
        ("some/embedder", "some/embedder, normalize: false", "unit norm; write probe: {features: embedding}"),
        ("some/embedder", "some/embedder, normalize: 0", "pools/demo.yaml:5: embedder.normalize: input should be true"),
        ("n: 4", "n: many", "pools/demo.yaml:4: sampling.n: input should be a valid integer"),
        ("beta: 1.0", "beta: best", "pools/demo.yaml:6: probe.beta: "),
        (
            "backend: sentence_transformers",
            "backend: sbert",
            "pools/demo.yaml:5: embedder.backend: 'sbert' is not one of",
        ),
        ("source: function", "source: hub", "pools/demo.yaml:2: prompts.source: 'hub' is not one of"),
        (
            "transformers, model: some/small",
            "vlm, model: some/small",
            "pools/demo.yaml:8: llms.small.backend: 'vlm' is not",
        ),
        ("cost: 1}", "prize: 1}", "pools/demo.yaml:8: llms.small.prize: unknown key; known keys are"),
        (", cost: 1}", "}", "pools/demo.yaml:8: llms.small.cost: is missing; add 'cost: ...'"),
        ("cost: 1}", "cost: 1, prize: 2}", "pools/demo.yaml:8: llms.small.prize: unknown key; known keys are"),
        ("cost: 1}", "cost: -1}", "pools/demo.yaml:8: llms.small.cost: input should be greater than or equal to 0"),
        ("small: {", '"a|b": {', "pools/demo.yaml:7: llms: 'a|b' is not a legal name"),
        ("taste: {", '"a,b": {', "pools/demo.yaml:10: reward_models: 'a,b' is not a legal name"),
        ("input: chat", "input: caht", "pools/demo.yaml:11: reward_models.taste.input: 'caht' is not one of"),
        (
            "backend: transformers, model: some/taste, ",
            "model: some/taste, ",
            "pools/demo.yaml:11: reward_models.taste",
        ),
        ("name: demo", "name: Demo", "pools/demo.yaml:1: name: "),
        ("name: demo", "name: other", "pools/demo.yaml:1: name: 'other' is not the name of the file"),
        ("name: demo\n", "", "name: is missing"),
        ("org/large-1.5", "small", "pools/demo.yaml:9: 'small' stands twice (first in line 8)"),
        ("split: {", "split: [", "pools/demo.yaml:3: is not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_place(root: Path, old: str, new: str, told: str) -> None:
    assert told in refusal(root, old, new)


def test_every_mistake_of_a_file_is_told_at_once(root: Path) -> None:
    text = GOOD.replace("n: 4", "n: 0").replace("beta: 1.0", "beta: -1")
    (root / "pools" / "demo.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        load_pool("demo", root)
    assert "sampling.n" in str(error.value)
    assert "probe.beta" in str(error.value)


def test_an_unknown_pool_is_told_with_the_names_there_are(root: Path) -> None:
    with pytest.raises(UserError, match=r"no pool 'dmo'.*did you mean 'demo'"):
        load_pool("dmo", root)
    assert pool_names(root) == ["demo"]


def test_a_file_that_is_no_mapping_is_refused(root: Path) -> None:
    (root / "pools" / "demo.yaml").write_text("- a\n- b\n")
    with pytest.raises(UserError, match=r"demo.yaml:1: a pool file is a mapping"):
        load_pool("demo", root)


def test_the_project_is_found_from_a_folder_below_it_and_nowhere_else(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert find_root(below) == root
    with pytest.raises(UserError, match="run the command inside the project"):
        find_root(tmp_path_factory.mktemp("elsewhere"))


SMALL = "{backend: transformers, model: some/small, cost: 1}"
PROMPTS = '{source: function, function: "corpus:prompts", per_category: 12, seed: 0}'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("n: 4", "n: true", "sampling.n: input should be a valid integer, not True"),
        ("n: 4", 'n: "1"', "sampling.n: input should be a valid integer, not '1'"),
        ("n: 4", "n: 1.0", "sampling.n: input should be a valid integer, not 1.0"),
        ("n: 4", "n: 1:30", "sampling.n: 1:30 is no finite number in plain digits"),
        ("n: 4", "n: 040", "sampling.n: 040 is no finite number in plain digits"),
        ("n: 4", "n: 0x10", "sampling.n: 0x10 is no finite number in plain digits"),
        ("n: 4", "n: 1_0", "sampling.n: 1_0 is no finite number in plain digits"),
        ("n: 4", "n: 1" + "0" * 400, "sampling.n: 1000000000"),
        ("n: 4", "n: 9" + "9" * 20, "sampling.n: input should be less than or equal to 100000"),
        ("n: 4", "n: !!int abc", "has the tag !!int; write the value alone"),
        ("n: 4", "n: 2020-99-99", "sampling.n: 2020-99-99"),
        ("n: 4", "n: 4, temperature: .inf", "sampling.temperature: .inf is no finite number"),
        ("n: 4", "n: 4, temperature: .nan", "sampling.temperature: .nan is no finite number"),
        ("n: 4", "n: 4, temperature: 1e308", "sampling.temperature: input should be less than or equal to 100"),
        ("n: 4", "n: 4, seed: -1", "sampling.seed: input should be greater than or equal to 0, not -1"),
        ("max_tokens: 6", "max_tokens: 100000000", "sampling.max_tokens: input should be less than or equal to"),
        ("n: 4", "n: 4, chunk_size: 100000000", "sampling.chunk_size: input should be less than or equal to"),
        ("per_category: 12", "per_category: 9" + "0" * 11, "prompts.per_category: input should be less than or equal"),
        ("beta: 1.0", "beta: 1e300", "probe.beta: input should be less than or equal to"),
        ("beta: 1.0", "beta: yes", "probe.beta: yes means true to some"),
        ("beta: 1.0", "beta: wat", "probe.beta: input should be a valid number or 'auto', not 'wat'"),
        (
            "cost: 1}",
            "cost: 1e308}",
            "llms.small.cost: input should be less than or equal to 1000000000000, not 1e+308",
        ),
        ("cost: 1}", "cost: true}", "llms.small.cost: input should be a valid number, not True"),
        (
            "cost: 1}",
            "cost: {parameters: 22, active_parameters: 235}}",
            "pools/demo.yaml:8: llms.small.cost: active_parameters 235 are more than all parameters, 22; swap the two",
        ),
        ("cost: 1}", "cost: {parameters: 22}}", "llms.small.cost.active_parameters: is missing; add"),
        ("cost: 1}", "cost: {active_parameters: 22}}", "llms.small.cost.parameters: is missing; add"),
        (
            "cost: 1}",
            "cost: {parameters: -1, active_parameters: 0}}",
            "llms.small.cost.parameters: input should be great",
        ),
        (
            "probe: {beta: 1.0}",
            "cost: {parameters: some}",
            "pools/demo.yaml:6: cost.parameters: 'some' is not one of all",
        ),
        ("probe: {beta: 1.0}", "cost: {parameters: active}", "no LLM says how many of its parameters are; write its"),
        ("cost: 1}", "cost: 0,247}", "is 0.247 meant? write a point"),
        ("cost: 1}", 'cost: "0,247"}', "not '0,247'; write 0.247, with a point"),
        (
            "cost: 1}",
            "cost: {prompt: 1, completion: 2}}",
            "known keys are input, output, parameters, active_parameters; input and output are missing",
        ),
        ("cost: 1}", "cost: {column: cost}}", "llms.small.cost.column: unknown key; known keys are input, output"),
        (SMALL, "{backend: recorded, path: x, llm: y, cost: {a: 1}}", "llms.small.cost.a: unknown key; known keys are"),
        (SMALL, "{backend: openai, model: m, cost: 1, timeout: 1e9}", "llms.small.timeout: input should be less than"),
        (
            SMALL,
            "{backend: openai, model: m, cost: 1, samples_per_request: 0}",
            "input should be greater than 0 or 'all'",
        ),
        (PROMPTS, "{source: recorded, path: x, embed: {x: 1}}", "prompts.embed.x: unknown key; known keys are after"),
        (
            PROMPTS,
            "{source: recorded, path: x, embed: y}",
            "prompts.embed: input should be 'all' or 'last_user_turn' or",
        ),
        (
            "cost: 1}",
            "cost: 1, device: cdua}",
            "llms.small.device: 'cdua' is no device; write cpu, cuda, cuda:1 or mps",
        ),
        ("cost: 1}", "cost: 1, device: 'cuda:'}", "llms.small.device: 'cuda:' is no device"),
        ("cost: 1}", "cost: 1, trust_remote_code: 1}", "llms.small.trust_remote_code: input should be true or false"),
        (
            "cost: 1}",
            "cost: 1, trust_remote_code: 'no'}",
            "llms.small.trust_remote_code: input should be true or false",
        ),
        ("model: some/small", "model: ", "llms.small.model: input should be a text, but nothing stands here"),
        ("model: some/small", "model: ''", "llms.small.model: string should have at least 1 character, not ''"),
        ("model: some/small", "model: 4", "llms.small.model: input should be a text, not 4"),
        ("model: some/small", f"model: {'x' * 20_000}", "llms.small.model: string should have at most 1000"),
        ("model: some/small", 'model: "a\\0b"', "llms.small.model: 'a\\x00b' holds a character that no text has"),
        ("  small:", "  no:", "llms: the name no would be read as true or false; put it in quotes: 'no'"),
        ("  taste:", "  yes:", "reward_models: the name yes would be read as true or false; put it in quotes: 'yes'"),
        ("  small:", "  4:", "llms: the name 4 would be read as a number; put it in quotes: '4'"),
        ("  small:", "  2024-08-06:", "llms: the name 2024-08-06 would be read as a date; put it in quotes"),
        ("  small:", "  null:", "llms: the name null would be read as nothing; put it in quotes: 'null'"),
        ("  small:", "  ? [1]\n  :", "llms: has a key that is no text"),
        ("org/large-1.5", "SMALL", "llms: 'SMALL' and 'small' differ only in upper and lower case"),
        ("org/large-1.5", "a...b", "llms: 'a...b' is not a legal name"),
        ("org/large-1.5", "x" * 300, "llms: 'xxx"),
        ("some/small", '"\\ud800"', "is not YAML"),
        ("name: demo", 'name: "\\e[31mx"', r"name: '\x1b[31mx' is not a legal name"),
        ("{beta: 1.0}", "[" * 500 + "]" * 500, "is nested more than 32 deep"),
        ("llms:", "llms: &r {loop: *r}\nmore:", "*r stands within what it stands for"),
        ("  small", "\tsmall", "is not YAML"),
        ("name: demo\n", "--- {}\n--- {}\nname: demo\n", "a second document begins here"),
        ("name: demo", "name: demo\nautomation: {enabled: no}", "automation.enabled: no means true to some"),
        ("name: demo", "name: demo\nautomation: {retry: R R * * *}", "automation.retry: 'R' is no minute"),
        ("name: demo", "name: demo\nautomation: {retry: 0 0 L * *}", "automation.retry: 'L' is no day"),
        ("name: demo", "name: demo\nautomation: {retry: 0 0 31 2 *}", "automation.retry: '0 0 31 2 *' never comes"),
        ("name: demo", "name: demo\nautomation: {retry: 0 0 0 * * *}", "automation.retry: '0 0 0 * * *' is not a cron"),
        ("name: demo", "name: demo\nowners: [me]", "owners.0: 'me' is neither team:NAME nor an e-mail address"),
    ],
)
def test_what_is_no_value_of_its_own_kind_is_one_line_that_says_how_to_write_it(
    root: Path, old: str, new: str, told: str
) -> None:
    said = refusal(root, old, new)
    assert told in said
    assert said.startswith("pools/demo.yaml:")
    assert said.count("\n") == 0
    assert len(said) < 900


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; `erp new NAME` writes one"),
        (b"# nothing\n", "is empty"),
        (GOOD.encode("utf-16"), "demo.yaml:1: is not UTF-8"),
        (GOOD.replace("small", "gr\xf6\xdfe").encode("latin-1"), "demo.yaml:8: is not UTF-8"),
        (GOOD.encode() + b"\0", "demo.yaml:12: holds the character \\x00"),
        (GOOD.encode() + b"#" * 10_000_000, "has 10,000,"),
    ],
)
def test_a_file_that_is_no_pool_file_is_told_at_once(root: Path, content: bytes, told: str) -> None:
    (root / "pools" / "demo.yaml").write_bytes(content)
    with pytest.raises(UserError) as error:
        load_pool("demo", root)
    assert told in str(error.value)


@pytest.mark.parametrize("levels", [5, 9, 10, 60])
@pytest.mark.parametrize("place", ["top", "options"])
def test_aliases_that_make_a_small_file_a_huge_one_are_refused_within_a_second(
    root: Path, levels: int, place: str
) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    options = "{" + ", ".join(line.replace(": &", " : &") for line in lines) + "}"
    bomb = {
        "top": "\n".join([*lines, GOOD]),
        "options": GOOD.replace(SMALL, f"{{backend: openai, model: m, cost: 1, options: {options}}}"),
    }[place]
    (root / "pools" / "demo.yaml").write_text(bomb)
    began = time.process_time()
    with pytest.raises(UserError):
        load_pool("demo", root)
    assert time.process_time() - began < 1


def test_aliases_merges_marks_of_order_and_numbers_of_all_forms_are_read(root: Path) -> None:
    text = GOOD.replace(SMALL, "&s {backend: transformers, model: some/small, cost: 1e-3}").replace(
        "  org/large-1.5: {backend: transformers, model: some/large, cost: 3}",
        "  gro\xdf: {<<: *s, cost: 4}\n  'no': *s\n  \u6a21\u578b: {<<: *s, cost: .5}",
    )
    (root / "pools" / "demo.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    pool = load_pool("demo", root)
    assert {name: llm.cost for name, llm in pool.llms.items()} == {
        "small": 1e-3,
        "gro\xdf": 4,
        "no": 1e-3,
        "\u6a21\u578b": 0.5,
    }


def test_mistakes_are_listed_up_to_a_screen(root: Path) -> None:
    llms = "\n".join(f"  m{i}: {{backend: nothing}}" for i in range(1_000))
    (root / "pools" / "demo.yaml").write_text(GOOD.replace("llms:\n", f"llms:\n{llms}\n"))
    with pytest.raises(UserError) as error:
        load_pool("demo", root)
    assert str(error.value).splitlines()[-1] == "and 980 more"
    assert len(str(error.value).splitlines()) == 21


@pytest.mark.parametrize("name", ["../demo", "/etc/passwd", "x" * 5_000, "gr\xf6\xdfe", "", "demo.yaml", "demo\0"])
def test_only_a_legal_name_is_looked_for(root: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"legal name|too long") as error:
        load_pool(name, root)
    assert len(str(error.value)) < 400


def test_what_is_not_read_among_the_pool_files_is_told(root: Path) -> None:
    (root / "pools" / "other.yml").write_text(GOOD)
    (root / "pools" / "folder.yaml").mkdir()
    assert pool_names(root) == ["demo"]
    assert overlooked(root) == [
        "pools/other.yml is not read, since pool files end in .yaml; rename it to other.yaml",
        "pools/folder.yaml is not read, since it is no file",
    ]
    for name, told in (("other", "rename it to other.yaml"), ("folder", "since it is no file")):
        with pytest.raises(UserError, match=told):
            load_pool(name, root)


def test_what_entries_name_and_is_not_there_is_told_with_their_lines(root: Path) -> None:
    (root / "broken_of_pool.py").write_text("raise RuntimeError('boom')\n")
    text = GOOD.replace("corpus:prompts", "broken_of_pool:prompts").replace("some/small", "'.'")
    (root / "pools" / "demo.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        check_entries(load_pool("demo", root))
    first, second = str(error.value).splitlines()
    assert first.startswith("pools/demo.yaml:2: prompts: function 'broken_of_pool:prompts': importing")
    assert "RuntimeError: boom" in first
    assert second.startswith("pools/demo.yaml:8: llms.small: model '.': there is no config.json")


_CRON_PARTS = "* 0 1 5 7 12 23 31 59 60 99 1-5 5-1 */10 */0 */61 1-9/2 3/4 mon JAN sun-fri R H L W ? 1,2 , - # @"
_CRON = st.lists(st.sampled_from(_CRON_PARTS.split(" ")), min_size=4, max_size=6).map(" ".join)


@given(_CRON)
def test_a_schedule_that_is_accepted_is_one_of_dagster_s_and_means_the_same_twice(schedule: str) -> None:
    from dagster._utils.schedules import cron_string_iterator, is_valid_cron_string

    try:
        check_cron(schedule)
    except ValueError:
        return
    assert is_valid_cron_string(schedule)
    first, second = (cron_string_iterator(1_700_000_000, schedule, "UTC") for _ in range(2))
    assert [next(first) for _ in range(3)] == [next(second) for _ in range(3)]


_TOKENS = st.sampled_from(
    [
        *"{}[]:,-#&*!|>'\"%@` \n\t\0=",
        *("true", "no", "~", "null", ".inf", "1:30", "040", "1e400", "-1", "9" * 500, "2024-08-06", "x" * 3_000),
        *("!!int a", "!!binary x", "&a [*a]", "*b", "<<: ", "? ", "---", "...", "[" * 300, "{a: " * 300),
        *("\ud800", "\\ud800", "\u202e", "\ufeff", "backend", "openai", "recorded", "cost", "options", "otherwise: "),
    ]
)


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 30), _TOKENS), min_size=1, max_size=4))
def test_any_change_of_tokens_gives_a_pool_or_a_screen_of_words(changes: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, token in changes:
        text = text[:start] + token + text[start + length :]
    assert_pool_or_words(text.encode("utf-8", "surrogatepass"))


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=6))
def test_any_change_of_bytes_gives_a_pool_or_a_screen_of_words(changes: list[tuple[int, int, bytes]]) -> None:
    content = GOOD.encode()
    for start, length, new in changes:
        content = content[:start] + new + content[start + length :]
    assert_pool_or_words(content)


def assert_pool_or_words(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pools").mkdir()
        (root / "pools" / "demo.yaml").write_bytes(content)
        began = time.process_time()
        try:
            assert load_pool("demo", root).name == "demo"
        except UserError as error:
            said = str(error)
            assert 1 <= len(said.splitlines()) <= 25
            assert all(len(line) <= 1_000 and line.isprintable() for line in said.split("\n"))
        assert time.process_time() - began < 1

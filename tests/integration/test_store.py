"""The user store on a real Redis."""

import msgspec
import pytest
from redis import Redis

from dataflows.store import PageAppend, StoreError, UserStore, connect
from operators.profiles.seen import bits_of, hashes, probe
from operators.profiles.update import UserUpdate
from operators.query import SESSION_MS
from schemas import keys
from schemas.codec import pack
from schemas.features import ServedPage
from schemas.settings import Settings

pytestmark = pytest.mark.integration

NOW_MS = 1_651_017_600_000
GENERATION = keys.seen_generation(NOW_MS)


@pytest.fixture
def client(redis_url: str) -> Redis:
    made = connect(Settings(redis_url=redis_url), timeout_s=5)
    made.flushall()
    return made


@pytest.fixture
def store(client: Redis) -> UserStore:
    return UserStore(client, rest_s=0)


def update(version: int, state: bytes, *videos: str, user_id: str = "u") -> UserUpdate:
    bits = b"".join(map(bits_of, videos))
    return UserUpdate(user_id, version, state, {GENERATION: bits} if bits else {}, {"version": str(version), "state": state.decode()})


def page(request_id: str, *videos: str) -> ServedPage:
    return ServedPage(request_id=request_id, at_ms=NOW_MS, video_ids=list(videos))


def test_a_person_that_nobody_wrote_reads_as_nothing(store: UserStore) -> None:
    (read,) = store.read(["nobody"], [NOW_MS])
    assert read.available
    assert read.state is None
    assert read.seen == {}
    assert read.pages == []


def test_a_row_reads_back_without_its_version(store: UserStore) -> None:
    store.write([update(1, b"one"), update(1, b"other", user_id="v")])
    assert [one.state for one in store.read(["v", "u", "w"], [NOW_MS] * 3)] == [b"other", b"one", None]


def test_an_older_or_equal_version_never_replaces_a_newer_one(store: UserStore, client: Redis) -> None:
    store.write([update(300, b"new")])
    store.write([update(299, b"old"), update(300, b"same")])
    assert store.read(["u"], [NOW_MS])[0].state == b"new"
    assert client.hgetall(keys.user_feat("u")) == {b"version": b"300", b"state": b"new"}
    store.write([update(2**40, b"newest")])
    assert store.read(["u"], [NOW_MS])[0].state == b"newest"


def test_rows_hashes_and_bitmaps_end_by_themselves(store: UserStore, client: Redis) -> None:
    store.write([update(1, b"one", "9")])
    assert 0 < client.ttl(keys.user_state("u")) <= keys.STATE_TTL_S
    assert 0 < client.ttl(keys.user_feat("u")) <= keys.STATE_TTL_S
    assert 0 < client.ttl(keys.user_seen("u", GENERATION)) <= keys.SEEN_TTL_S


def test_seen_bits_add_up_and_repeats_change_nothing(store: UserStore) -> None:
    videos = [f"v{i}" for i in range(200)]
    store.write([update(1, b"a", *videos[:100])])
    store.write([update(2, b"b", *videos[100:])])
    store.write([update(2, b"b", *videos[100:])])
    (read,) = store.read(["u"], [NOW_MS])
    assert list(read.seen) == [str(GENERATION)]
    found = probe(list(read.seen.values()), hashes([*videos, *(f"w{i}" for i in range(1_000))]))
    assert found[:200].all()
    assert found[200:].sum() <= 2


def test_the_bits_of_several_updates_of_one_person_are_all_set(store: UserStore) -> None:
    store.write([update(1, b"a", "8"), update(1, b"x", "7", user_id="v"), update(2, b"b", "9")])
    (read,) = store.read(["u"], [NOW_MS])
    assert read.state == b"b"
    assert probe(list(read.seen.values()), hashes(["7", "8", "9"])).tolist() == [False, True, True]


def test_what_was_seen_in_the_last_four_generations_and_before_the_stream_is_read(store: UserStore) -> None:
    five_days = keys.SEEN_GENERATION_DAYS * keys.DAY_MS
    for age in range(6):
        store.write([UserUpdate("u", age + 1, b"x", {GENERATION - age: bits_of("9")}, {"a": "b"})])
    store.write([UserUpdate("u", 7, b"x", {keys.SEEN_BEFORE_STREAM: bits_of("9")}, {"a": "b"})])
    assert sorted(map(int, store.read(["u"], [NOW_MS])[0].seen)) == [0, *range(GENERATION - 3, GENERATION + 1)]
    assert sorted(map(int, store.read(["u"], [NOW_MS + 3 * five_days])[0].seen)) == [0, GENERATION]


def test_many_people_are_written_at_once(store: UserStore) -> None:
    store.write([update(1, f"row {i}".encode(), "9", user_id=str(i)) for i in range(1_000)])
    read = store.read([str(i) for i in range(1_000)], [NOW_MS] * 1_000)
    assert [one.state for one in read] == [f"row {i}".encode() for i in range(1_000)]
    assert all(probe(list(one.seen.values()), hashes(["9"])).all() for one in read)


def test_a_page_is_appended_only_if_nobody_appended_since_the_read(store: UserStore) -> None:
    first, second = page("r1", "a", "b"), page("r2", "c")
    assert store.append_page("u", first, [])
    assert not store.append_page("u", second, [])
    (read,) = store.read(["u"], [NOW_MS])
    assert read.pages == [pack(first)]
    assert store.append_page("u", second, read.pages)
    assert store.read(["u"], [NOW_MS])[0].pages == [pack(first), pack(second)]


def test_a_repeated_request_counts_as_appended_and_changes_nothing(store: UserStore) -> None:
    store.append_page("u", page("r1", "a"), [])
    (read,) = store.read(["u"], [NOW_MS])
    assert store.append_page("u", page("r1", "a"), read.pages)
    assert store.read(["u"], [NOW_MS])[0].pages == read.pages


def test_a_repeated_request_with_other_videos_is_kept_beside_the_first(store: UserStore) -> None:
    store.append_page("u", page("r1", "a"), [])
    (read,) = store.read(["u"], [NOW_MS])
    assert store.append_page("u", page("r1", "b"), read.pages)
    assert store.read(["u"], [NOW_MS])[0].pages == [pack(page("r1", "a")), pack(page("r1", "b"))]


def test_of_two_workers_that_read_the_same_only_one_appends(store: UserStore) -> None:
    appends = [PageAppend("u", page("r1", "a"), []), PageAppend("u", page("r2", "a"), []), PageAppend("v", page("r3", "a"), [])]
    assert store.append_pages(appends) == [True, False, True]


def append(store: UserStore, pages: list[ServedPage]) -> list[bytes]:
    """Append pages one after the other; return what is kept."""
    kept = store.read(["u"], [NOW_MS])[0].pages
    for one in pages:
        assert store.append_page("u", one, kept)
        kept = store.read(["u"], [NOW_MS])[0].pages
    return kept


def at(one: ServedPage, at_ms: int) -> ServedPage:
    return msgspec.structs.replace(one, at_ms=at_ms)


def test_pages_of_a_session_are_kept_and_of_those_before_it_the_newest(store: UserStore) -> None:
    before = [at(page(f"r{i}", "a"), NOW_MS - SESSION_MS - 1_000 + i) for i in range(keys.SERVED_PAGES_KEPT + 20)]
    assert append(store, before) == list(map(pack, before))
    session = [at(page(f"s{i}", f"v{i}"), NOW_MS) for i in range(300)]
    kept = append(store, session)
    assert kept == list(map(pack, session))
    assert append_again(store, kept, at(page("t", "z"), NOW_MS + SESSION_MS)) == keys.SERVED_PAGES_KEPT


def append_again(store: UserStore, known: list[bytes], one: ServedPage) -> int:
    """Append after what is known; return how many pages are kept."""
    assert store.append_page("u", one, known)
    return len(store.read(["u"], [NOW_MS])[0].pages)


def test_pages_have_bounds_of_number_and_size(store: UserStore, client: Redis) -> None:
    client.rpush(keys.user_served("u"), *(pack(page(f"r{i}", "a")) for i in range(keys.SESSION_PAGES_KEPT)))
    known = store.read(["u"], [NOW_MS])[0].pages
    assert append_again(store, known, page("one more", "a")) == keys.SESSION_PAGES_KEPT
    names = [[f"{i}-{n}-".ljust(128, "x") for n in range(100)] for i in range(60)]
    large = [ServedPage(request_id=f"r{i}", at_ms=NOW_MS, video_ids=some, simhashes=[2**63] * 100) for i, some in enumerate(names)]
    client.delete(keys.user_served("u"))
    kept = append(store, large)
    assert sum(map(len, kept)) <= keys.SERVED_BYTES_KEPT < sum(map(len, kept)) + len(kept[0])
    assert 4_096 <= 100 * len(kept) < 6_000
    assert kept[-1] == pack(large[-1])


def test_a_store_that_is_away_is_said_to_be_away() -> None:
    store = UserStore(connect(Settings(redis_url="redis://127.0.0.1:1/0"), timeout_s=0.2))
    assert [one.available for one in store.read(["u", "v"], [NOW_MS] * 2)] == [False, False]
    with pytest.raises(StoreError, match="is Redis up"):
        store.write([update(1, b"one")])
    with pytest.raises(StoreError, match="is Redis up"):
        store.append_page("u", page("r1", "a"), [])


def test_keys_of_another_type_harm_their_person_only_and_are_put_right_by_the_next_write(store: UserStore, client: Redis) -> None:
    client.hset(keys.user_state("odd"), "x", "y")
    client.set(keys.user_served("odd"), "no list")
    client.rpush(keys.user_seen("odd", GENERATION), "no bitmap")
    client.rpush(keys.user_feat("odd"), "no hash")
    store.write([update(1, b"right", "a", user_id="even")])
    odd, even = store.read(["odd", "even"], [NOW_MS, NOW_MS])
    assert (odd.available, odd.state, odd.pages, even.state) == (True, None, [], b"right")
    assert store.append_pages([PageAppend("odd", page("r", "a"), odd.pages), PageAppend("even", page("r", "b"), even.pages)]) == [
        True,
        True,
    ]
    store.write([update(1, b"mended", "a", user_id="odd")])
    (odd,) = store.read(["odd"], [NOW_MS])
    assert (odd.state, odd.pages, len(odd.seen)) == (b"mended", [pack(page("r", "a"))], 1)
    assert client.hget(keys.user_feat("odd"), "state") in {b"mended", "mended"}

"""RESP: replies that come in pieces, and answers that get fields."""

from __future__ import annotations

import pytest

from agent.tooling.protocols.resp import ProtocolError, Reader, ReplyError, encoded, fields, info, rows, shape_of, table


def test_a_command_is_encoded_whatever_is_in_its_words() -> None:
    assert encoded(["SET", "a b\r\n", 7, True]) == b"*4\r\n$3\r\nSET\r\n$5\r\na b\r\n\r\n$1\r\n7\r\n$3\r\nyes\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_replies_are_taken_apart_however_they_arrive(size: int) -> None:
    sent = b"+OK\r\n$5\r\nhe\r\no\r\n*3\r\n$1\r\na\r\n:4\r\n*0\r\n-ERR no\r\n$-1\r\n*-1\r\n"
    reader = Reader()
    for at in range(0, len(sent), size):
        reader.feed(sent[at : at + size])
    assert reader.replies == ["OK", "he\r\no", ["a", 4, []], ReplyError("ERR no"), None, None]


def test_what_is_no_resp_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no RESP"):
        Reader().feed(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(ProtocolError, match="number"):
        Reader().feed(b"$x\r\n")


def test_info_has_fields_and_replicas() -> None:
    found = info(
        "# Replication\r\nrole:master\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=12,lag=0\r\noffset:12\r\n"
    )
    assert (found["role"], found["offset"]) == ("master", 12)
    assert found["replicas"] == [{"ip": "10.0.0.2", "port": 6379, "state": "online", "offset": 12, "lag": 0}]


def test_flat_lists_get_names() -> None:
    assert fields(["num-slaves", "2", "ip", "10.0.0.1"]) == {"num_slaves": 2, "ip": "10.0.0.1"}
    assert table(["maxmemory", "0"]) == {"maxmemory": "0"}
    assert rows([["ip", "a"], ["ip", "b"]]) == [{"ip": "a"}, {"ip": "b"}]
    with pytest.raises(ProtocolError, match="names and values"):
        fields(["odd"])


def test_the_command_tells_how_its_answer_is_taken_apart() -> None:
    assert [
        shape_of(words) for words in (["info", "server"], ["CONFIG", "GET", "*"], ["SENTINEL", "REPLICAS", "x"])
    ] == [
        "info",
        "table",
        "rows",
    ]
    assert shape_of(["PING"]) == "plain"

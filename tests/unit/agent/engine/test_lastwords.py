"""What an engine said before it ended: lines as the engines print them, and what is told of them."""

from __future__ import annotations

import os

import pytest

from agent.engine.lastwords import last_words
from agent.engine.output import LineSink


def _told(text: str, secret: str = "") -> str:
    return last_words(text.splitlines(), lambda said: said.replace(secret, "***") if secret else said)


REDIS = """\

*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***
Reading the configuration file, at line 12
>>> 'save "0 1"'
Invalid save parameters
"""
ZOOKEEPER = """\
2026-11-30 06:01:02,123 [myid:] - INFO  [main:QuorumPeerConfig@177] - Reading configuration from: /conf/zoo.cfg
2026-11-30 06:01:02,140 [myid:] - ERROR [main:QuorumPeerMain@99] - Invalid config, exiting abnormally
org.apache.zookeeper.server.quorum.QuorumPeerConfig$ConfigException: Error processing /conf/zoo.cfg
\tat org.apache.zookeeper.server.quorum.QuorumPeerConfig.parse(QuorumPeerConfig.java:197)
\tat org.apache.zookeeper.server.quorum.QuorumPeerMain.main(QuorumPeerMain.java:91)
Caused by: java.lang.IllegalArgumentException: minSessionTimeout must not be larger than maxSessionTimeout
\tat org.apache.zookeeper.server.quorum.QuorumPeerConfig.parseProperties(QuorumPeerConfig.java:473)
\t... 2 more
2026-11-30 06:01:02,150 [myid:] - INFO  [main:ZKAuditProvider@42] - ZooKeeper audit is disabled.
"""
POSTGRESQL = """\
2026-11-30 06:28:01.100 UTC [31] LOG:  starting PostgreSQL 15.8 on x86_64-pc-linux-gnu
2026-11-30 06:28:01.200 UTC [31] FATAL:  recovery aborted because of insufficient parameter settings
2026-11-30 06:28:01.200 UTC [31] DETAIL:  max_connections = 100 is a lower setting than on the primary server
2026-11-30 06:28:01.300 UTC [31] LOG:  startup process (PID 34) exited with exit code 1
2026-11-30 06:28:01.310 UTC [31] LOG:  database system is shut down
"""
MARIADB = """\
2026-11-30  6:01:02 0 [Note] Starting MariaDB 10.11.6 as process 12
2026-11-30  6:01:02 0 [ERROR] mariadbd: unknown variable 'max_conections=100'
2026-11-30  6:01:02 0 [ERROR] Aborting
2026-11-30  6:01:02 0 [Note] mariadbd: Shutdown complete
"""


@pytest.mark.parametrize(
    ("printed", "wanted", "unwanted"),
    [
        (REDIS, ">>> 'save \"0 1\"' | Invalid save parameters", "\n"),
        (ZOOKEEPER, "minSessionTimeout must not be larger than maxSessionTimeout", "parseProperties"),
        (ZOOKEEPER, "Invalid config, exiting abnormally", "audit is disabled"),
        (POSTGRESQL, "recovery aborted because of insufficient parameter settings", "is shut down"),
        (POSTGRESQL, "UTC [31] FATAL:  recovery", "2026"),
        (MARIADB, "0 [ERROR] mariadbd: unknown variable 'max_conections=100' | 0 [ERROR] Aborting", "2026"),
        (MARIADB, "unknown variable 'max_conections=100'", "Shutdown complete"),
    ],
)
def test_the_engines_own_sentence_is_told(printed: str, wanted: str, unwanted: str) -> None:
    told = _told(printed)
    assert wanted in told
    assert unwanted not in told
    assert len(told) <= 250


def test_where_it_says_only_what_it_does_that_is_told() -> None:
    assert _told("INFO starting\n  INFO loading\nINFO going down\n") == "INFO starting | INFO going down"
    assert _told("  at line 3\n") == "at line 3"
    assert _told("\n \n") == ""


def test_its_length_is_bounded_and_the_end_counts_most() -> None:
    told = _told("".join(f"{n} {'x' * 200}\n" for n in range(50)) + "the cause\n")
    assert (len(told), told[0], told[-9:]) == (250, "…", "the cause")


def test_control_characters_and_colours_are_removed() -> None:
    assert _told("\x1b[31mbad\x1b[0m\x07 par\u202eameter\x00\n") == "bad  par ameter"


def test_a_secret_is_masked_though_colours_stand_in_it() -> None:
    assert _told("'requirepass hunter2-long'\n", "hunter2-long") == "'requirepass ***'"
    assert _told("'requirepass hun\x1b[0mter2-long'\n", "hunter2-long") == "'requirepass ***'"


async def test_the_last_whole_lines_of_much_output_are_kept() -> None:
    reading, writing = os.pipe()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    source = LineSink(nowhere).attach(reading)
    for n in range(3000):
        os.write(writing, b"line %d of the log, which goes on\n" % n)
        if n % 100 == 0:
            source.drain()
    os.write(writing, b"the last, without an end")
    os.close(writing)
    source.drain()
    os.close(nowhere)
    lines = source.last_lines()
    assert lines[-2:] == ["line 2999 of the log, which goes on", "the last, without an end"]
    assert lines[0].startswith("line 2"), "not the rest of one that was cut"
    assert 100 < len(lines) < 400

"""Commissioning: what tools print is read, judged against floors, and told on one page."""

import ast
import dataclasses
import json
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import commission as work
from commission import links, nccl
from commission.judge import floor_gbit_s, nccl_floor_gb_s, verdict
from commission.links import End
from commission.model import (
    Baseline,
    Collective,
    LinkResult,
    NcclResult,
    Point,
    Tool,
)
from commission.report import html, plot
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from stack.load import load_site
from tests.unit.loopback_ssh import Loopback, serving
from tests.unit.rails import with_rails
from tests.unit.site_examples import example, real

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "commission"
# Shape: esnet/iperf, `iperf3 -J` of version 3.12, shortened.
IPERF3 = json.dumps(
    {
        "end": {
            "sum_sent": {"bits_per_second": 9.42e10, "retransmits": 7},
            "sum_received": {"bits_per_second": 9.4e10},
        }
    }
)
# Shape: linux-rdma/perftest, `ib_write_bw --report_gbits`.
IB_WRITE_BW = """\
---------------------------------------------------------------------------------------
 #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]
 65536      881207           0.00               92.40              0.176239
---------------------------------------------------------------------------------------
"""


def link(gbit_s: float, sender: str = "n1", receiver: str = "n2") -> LinkResult:
    return LinkResult(sender=sender, receiver=receiver, tool=Tool.IPERF3, gbit_s=gbit_s)


def run(gb_s: float, *nodes: str) -> NcclResult:
    points = (
        Point(collective=Collective.ALL_REDUCE, size_bytes=8192, time_us=60, busbw_gb_s=gb_s / 9),
        Point(collective=Collective.ALL_REDUCE, size_bytes=1 << 28, time_us=9e3, busbw_gb_s=gb_s),
        Point(collective=Collective.SEND_RECV, size_bytes=1 << 28, time_us=9e3, busbw_gb_s=99),
    )
    return NcclResult(nodes=nodes or ("n1", "n2"), ranks=4, nccl="2.28.9", points=points)


def measured(*parts: LinkResult | NcclResult, rdma: bool = True) -> Baseline:
    return Baseline(
        site="home",
        measured_at="2026-11-24 22:00 UTC",
        gbit_s=100,
        rdma=rdma,
        links=tuple(part for part in parts if isinstance(part, LinkResult)),
        nccl=tuple(part for part in parts if isinstance(part, NcclResult)),
    )


def test_what_the_tools_print_is_read() -> None:
    assert links.iperf3(IPERF3) == (94.0, 7)
    assert links.ib_write_bw(IB_WRITE_BW) == 92.4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"start": {}, "error": "unable to connect to server"}', "unable to connect to server"),
        ("", "it printed nothing"),
        ("iperf3: command not found", "iperf3: command not found"),
    ],
)
def test_a_measurement_that_failed_tells_the_tool_s_own_words(text: str, said: str) -> None:
    with pytest.raises(RackformError) as error:
        links.iperf3(text)
    assert said in str(error.value)
    with pytest.raises(RackformError, match="ib_write_bw measured nothing"):
        links.ib_write_bw("Couldn't connect")


def test_the_recorded_benchmark_is_read() -> None:
    found = nccl.parse((FIXTURES / "nccl-bench-gloo-2.txt").read_text(), ("n1", "n2"))
    assert (found.ranks, found.nccl, len(found.points)) == (2, "gloo", 6)
    assert found.best_gb_s == 0.448
    with pytest.raises(RackformError, match=r"NCCL measured nothing on n1 \(RuntimeError"):
        nccl.parse("RuntimeError: NCCL error", ("n1",))


def test_the_benchmark_of_two_gpus_by_nccl_is_read() -> None:
    found = nccl.parse((FIXTURES / "nccl-bench-nccl-2.txt").read_text(), ("n1",))
    assert (found.ranks, found.nccl, len(found.points)) == (2, "2.28.9", 16)
    assert found.best_gb_s == 280.149


def test_the_benchmark_needs_nothing_but_what_the_serving_image_has() -> None:
    tree = ast.parse(nccl.BENCH.read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {name.partition(".")[0] for name in imported} == {
        "argparse",
        "faulthandler",
        "json",
        "os",
        "time",
        "torch",
    }


def end(name: str, address: str, device: str | None = None) -> End:
    connection = Connection(
        name=name, address="192.0.2.1", private_key_file=Path("/unused"), host_key="unused"
    )
    return End(connection, address, device)


def test_nccl_runs_in_the_serving_image_on_the_host_s_network_with_its_settings() -> None:
    ranks = [
        nccl.Rank(end("n1", "10.78.0.11", "mlx5_0"), 2, "ray-worker"),
        nccl.Rank(end("n2", "10.78.0.12"), 2, "ray-worker"),
    ]
    words = nccl.command(ranks[1], 1, ranks, "sha256:abc")
    text = shlex.join(words)
    assert "--network host" in text
    assert "/etc/nccl.conf:/etc/nccl.conf:ro" in text
    assert "--entrypoint python3 sha256:abc -m torch.distributed.run" in text
    assert "--node-rank 1 --nproc-per-node 2 --master-addr 10.78.0.11" in text
    assert "/dev/infiniband" not in text
    assert "--device /dev/infiniband" in shlex.join(nccl.command(ranks[0], 0, ranks, "x"))


def test_a_site_above_its_floors_is_fit() -> None:
    found = verdict(measured(link(94), run(12.5)))
    assert found.fit
    assert found.reasons == ()


def test_a_slow_link_comes_before_the_nccl_that_it_slows() -> None:
    found = verdict(measured(run(3.0), link(40), link(20, "n2", "n1")))
    assert not found.fit
    slowest, slow, across = found.reasons
    assert slowest.startswith("n2 to n1: 20.0 Gbit/s by iperf3, below the floor of 70.0")
    assert slow.startswith("n1 to n2: 40.0")
    assert across.startswith("NCCL across n1, n2: 3.0 GB/s, below the floor of 11.0")


def test_nccl_inside_a_node_has_no_floor_of_the_fabric() -> None:
    assert verdict(measured(link(94), run(3.0, "n1"))).fit


def test_what_became_worse_is_told_and_is_no_refusal_above_the_floor() -> None:
    found = verdict(measured(link(80), run(12)), measured(link(94), run(20)))
    assert found.fit
    assert found.reasons[0].startswith("n1 to n2: 80.0 Gbit/s by iperf3, was 94.0")
    assert found.reasons[1].startswith("NCCL on n1, n2: 12.0 GB/s, was 20.0")


def test_a_site_of_which_nothing_was_measured_is_not_fit() -> None:
    assert not verdict(measured()).fit


@given(st.floats(1, 800), st.floats(0, 800))
def test_a_site_is_fit_exactly_when_no_floor_is_broken(rate: float, got: float) -> None:
    one = measured(link(got)).model_copy(update={"gbit_s": rate})
    assert verdict(one).fit == (got >= floor_gbit_s(Tool.IPERF3, rate))
    assert nccl_floor_gb_s(rate, rdma=True) > nccl_floor_gb_s(rate, rdma=False)


def test_the_report_has_the_verdict_on_top_and_escapes_what_others_wrote() -> None:
    bad = measured(link(20, "<script>"), run(12.5)).model_copy(update={"skipped": ("a & b",)})
    text = html(bad, verdict(bad))
    assert "<title>home: not fit for service</title>" in text
    assert text.index("not fit") < text.index("To mend") < text.index("<h2>Links")
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
    assert "a &amp; b" in text
    assert "<polyline" in text


def test_one_rank_alone_is_not_plotted() -> None:
    alone = Point(collective=Collective.ALL_REDUCE, size_bytes=8192, time_us=0, busbw_gb_s=0)
    assert "Nothing to plot" in plot([NcclResult(nodes=("n1",), ranks=1, points=(alone,))])


def over_ssh(loopback: Loopback, folder: Path) -> End:
    key = folder / "id"
    key.write_text(loopback.private_key())
    key.chmod(0o600)
    connection = Connection(
        name="n1",
        address="127.0.0.1",
        port=loopback.port,
        user="rack",
        private_key_file=key,
        host_key=loopback.public_host_key,
    )
    return End(connection, "127.0.0.1")


def test_a_host_without_the_tool_is_noticed(tmp_path: Path) -> None:
    with serving() as loopback:
        assert links.missing(over_ssh(loopback, tmp_path), Tool.IB_WRITE_BW)
        with pytest.raises(RackformError, match="n1 has no container ray-worker"):
            nccl.image_of(nccl.Rank(over_ssh(loopback, tmp_path), 1, "ray-worker"))


def test_every_pair_is_measured_both_ways_and_a_failure_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = load_site(example())
    ends = {name: end(name, "10.78.0.1") for name in site.nodes}

    def measure(sender: End, receiver: End, tool: Tool, _: int) -> LinkResult:
        if sender.name == "w2":
            raise RackformError("unable to connect")
        return LinkResult(sender=sender.name, receiver=receiver.name, tool=tool, gbit_s=94)

    monkeypatch.setattr(links, "missing", lambda *_: False)
    monkeypatch.setattr(links, "measure", measure)
    skipped: list[str] = []
    found = list(work._links(site, ends, 1, skipped))
    assert [(link.sender, link.receiver) for link in found] == [
        ("head", "w1"), ("head", "w2"), ("w1", "head"), ("w1", "w2"),
    ]  # fmt: skip
    assert [text.partition(":")[0] for text in skipped] == [
        "iperf3 from w2 to head",
        "iperf3 from w2 to w1",
    ]
    assert list(work._nccl(site, ends, skipped)) == []
    assert skipped[-1] == "NCCL, since the nodes of a twin have no GPU"


def test_a_rail_is_measured_between_the_nodes_that_are_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = load_site(with_rails())
    rails = {
        name: {"rail1": End(end(name, "").connection, "10.79.0.1", network="rail1")}
        for name in ("w1", "w2")
    }
    ends = {
        name: dataclasses.replace(end(name, "10.78.0.1"), rails=rails.get(name, {}))
        for name in site.nodes
    }

    def measure(sender: End, receiver: End, tool: Tool, _: int) -> LinkResult:
        assert sender.network == receiver.network
        return LinkResult(
            sender=sender.name, receiver=receiver.name, network=receiver.network,
            tool=tool, gbit_s=40 if receiver.network == "rail1" else 94,
        )  # fmt: skip

    monkeypatch.setattr(links, "missing", lambda *_: False)
    monkeypatch.setattr(links, "measure", measure)
    found = list(work._links(site, ends, 1, []))
    assert [(each.sender, each.receiver) for each in found if each.network == "rail1"] == [
        ("w1", "w2"), ("w2", "w1"),
    ]  # fmt: skip
    assert len(found) == 8
    told = verdict(measured(*found))
    assert told.reasons[0].startswith("w1 to w2 over rail1: 40.0 Gbit/s by iperf3, below")
    assert "<td>w2 over rail1</td>" in html(measured(*found), told)
    first, rail = (each for each in found if (each.sender, each.receiver) == ("w2", "w1"))
    assert len(verdict(measured(rail), measured(first)).reasons) == 1, "a rail is another link"


def test_nccl_is_measured_inside_each_node_and_across_all(monkeypatch: pytest.MonkeyPatch) -> None:
    site = load_site(real())
    ends = {name: end(name, "10.78.0.1") for name in site.nodes}
    asked: list[tuple[str, ...]] = []

    def measure(nodes: list[nccl.Rank]) -> NcclResult:
        asked.append(tuple(rank.end.name for rank in nodes))
        return run(12.5, *asked[-1])

    monkeypatch.setattr(nccl, "run", measure)
    assert len(list(work._nccl(site, ends, []))) == 3
    assert asked == [("w1",), ("w2",), ("w1", "w2")]


def test_a_baseline_that_is_missing_or_broken_is_none(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert work.baseline(path) is None
    path.write_text("{}")
    assert work.baseline(path) is None
    path.write_text(measured(link(94)).model_dump_json())
    assert work.baseline(path) == measured(link(94))


def test_what_was_measured_lies_where_the_node_exporter_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = load_site({**example(), "monitoring": {"node": "head"}})
    folder = tmp_path / "metrics of the node"
    monkeypatch.setattr(work, "METRICS", str(folder))
    with serving() as loopback:
        node = over_ssh(loopback, tmp_path).connection
        monkeypatch.setattr(work, "machine", lambda *_: node)
        assert list(work._publish("lab", site, "rackform_nccl_busbw_gb_s 8\n")) == []
    assert (folder / "commission.prom").read_text() == "rackform_nccl_busbw_gb_s 8\n"
    assert [file.name for file in folder.iterdir()] == ["commission.prom"]


def test_metrics_that_cannot_be_left_are_told_and_stop_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: object, **__: object) -> None:
        raise RackformError("head: unable to connect")

    site = load_site({**example(), "monitoring": {"node": "head"}})
    monkeypatch.setattr(work, "machine", lambda *_: None)
    monkeypatch.setattr(ssh, "run", away)
    (told,) = work._publish("lab", site, "rackform_nccl_busbw_gb_s 8\n")
    assert told.endswith("what was measured before: head: unable to connect")
    assert list(work._publish("lab", load_site(example()), "x 1\n")) == []


def test_the_nearest_devices_are_measured_by_the_names_that_nccl_was_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a device the ranks would go over TCP, and be judged as if by RDMA."""
    devices = {"nodes.w1.rdma_devices": ["nearest"], "nodes.w2.rdma_devices": ["mlx5_3:1"]}
    site = load_site(real({"fabric.link": {"rdma": "roce"}, **devices}))
    conf = tmp_path / "nccl.conf"
    conf.write_text("NCCL_SOCKET_IFNAME==ens1\nNCCL_IB_HCA==mlx5_1,mlx5_2\n")

    def asked(_: Connection, command: str) -> ssh.Completed:
        done = subprocess.run(
            ["sh", "-c", command.replace("/etc/nccl.conf", str(conf))],
            capture_output=True,
            text=True,
            check=True,
        )
        return ssh.Completed(done.returncode, done.stdout, done.stderr)

    monkeypatch.setattr(ssh, "run", asked)
    monkeypatch.setattr(
        work,
        "machine",
        lambda _, name: Connection(
            name=name, address="a", private_key_file=Path("/k"), host_key="ssh-ed25519 A"
        ),
    )
    assert work._end("s", site, "w1").rdma_device == "mlx5_1"
    assert work._end("s", site, "w2").rdma_device == "mlx5_3"
    conf.unlink()
    assert work._end("s", site, "w1").rdma_device is None

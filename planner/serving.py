"""An engine under closed-loop clients: which steps it runs, and what each request waits.

The scheduler is vLLM's: every step gives each running sequence a token, and spends what is left
of `max_num_batched_tokens` on prompts, in chunks, first come first served, as long as the KV cache
has room. All clients send their first request at once; from then on each sends its next when the
last is answered, and that misses the step that is already under way. Steps between two events are
taken together, so that a run costs microseconds.

Which step does what never depends on how long steps take: with the same cache, a run is the same
sequence of steps on any hardware, so that a faster link or card never makes a prediction worse.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from planner.deployment import Lengths, Load
from planner.roofline import Batch

_GOLDEN = 0.6180339887498949
_MOST_REQUESTS = 20_000  # a second of arithmetic


@dataclass(frozen=True)
class Engine:
    """What a run needs to know of the engine."""

    step_s: Callable[[Batch], float]
    batched_tokens: int
    sequences: int
    cache_tokens: int
    window: int
    arrival_s: float
    """From a client's request to the scheduler's queue, at least."""
    ahead: bool = True
    """Steps are scheduled while the one before still runs: a request misses one more."""


@dataclass(frozen=True)
class Served:
    """Means over all requests of a run, in seconds."""

    ttft_s: float
    tpot_s: float
    tokens_per_s: float
    running: float
    """Sequences that decode, on average over the time."""
    context: float
    """Tokens of context of one of them, on average."""
    requests: int
    tokens: int
    """Of all answers."""


@dataclass
class _Request:
    prompt: int
    answer: int
    """Tokens that it still has to say, from its prefill on."""
    whole: int
    """Tokens of its whole answer."""
    sent: float = 0.0
    done: int = 0
    """Prompt tokens that are prefilled."""
    first: float = 0.0
    late: float = 0.0
    """What it needed to get to the scheduler beyond the steps that it missed."""


def lengths(load: Load) -> list[tuple[int, int]]:
    """Return prompt and answer lengths of all requests.

    Very many clients send fewer requests each. Lengths are taken from golden-ratio sequences, so
    that no run depends on chance.
    """
    requests = max(load.concurrency, min(load.concurrency * load.waves, _MOST_REQUESTS))
    return [
        (
            _length(load, load.input_tokens, i * _GOLDEN % 1),
            _length(load, load.output_tokens, i * 7 * _GOLDEN**2 % 1),
        )
        for i in range(1, requests + 1)
    ]


def _length(load: Load, tokens: int, position: float) -> int:
    if load.lengths is Lengths.EXPONENTIAL:
        return max(1, round(-math.log(1 - position) * tokens))
    return max(1, round(tokens * (1 - load.spread * position)))


def serve(engine: Engine, load: Load) -> Served:
    """Run all requests of a load through the engine and return the means."""
    return _Run(engine, load).all()


class _Run:
    def __init__(self, engine: Engine, load: Load) -> None:
        self.engine = engine
        self.now = 0.0
        self.todo = deque(_Request(prompt, answer, answer) for prompt, answer in lengths(load))
        self.arriving: deque[tuple[int, _Request]] = deque()
        """By the number of the step from which on each can be scheduled."""
        self.waiting: deque[_Request] = deque()
        self.running: list[tuple[int, int, _Request]] = []
        """Heap by the number of the step in which each has its last token."""
        self.steps = 0
        self.used = 0
        """Tokens in the KV cache."""
        self.served: list[tuple[float, float]] = []
        self.tokens = 0
        self.sequence_s = self.context_s = 0.0
        self.order = 0
        for _ in range(min(load.concurrency, len(self.todo))):
            self._send(missed=0)

    def all(self) -> Served:
        while self.running or self.waiting or self.arriving:
            self._arrive()
            if chunks := self._chunks():
                self._mixed(chunks)
            elif self.running:
                self._decode()
            self._finish()
        ttft, tpot = zip(*self.served, strict=True)
        return Served(
            ttft_s=fmean(ttft),
            tpot_s=fmean(tpot),
            tokens_per_s=self.tokens / self.now,
            running=self.sequence_s / self.now,
            context=self.context_s / max(self.sequence_s, 1e-9),
            requests=len(self.served),
            tokens=self.tokens,
        )

    def _send(self, missed: int) -> None:
        if not self.todo:
            return
        request = self.todo.popleft()
        request.sent = self.now
        self.arriving.append((self.steps + missed, request))

    def _arrive(self) -> None:
        idle = not self.running and not self.waiting
        if idle and self.arriving:
            self.now = max(self.now, self.arriving[0][1].sent + self.engine.arrival_s)
        while self.arriving and (idle or self.arriving[0][0] <= self.steps):
            _, request = self.arriving.popleft()
            request.late = max(0.0, self.engine.arrival_s - (self.now - request.sent))
            self.waiting.append(request)

    def _chunks(self) -> list[tuple[_Request, int]]:
        """Take prompts from the queue as far as tokens, sequences and cache allow."""
        budget = self.engine.batched_tokens - len(self.running)
        room = self.engine.sequences - len(self.running)
        free = self.engine.cache_tokens - self.used
        chunks: list[tuple[_Request, int]] = []
        for request in self.waiting:
            fresh = request.prompt if request.done == 0 else 0
            alone = not self.running and not chunks
            if budget <= 0 or len(chunks) >= room or (fresh > free and not alone):
                break
            size = min(request.prompt - request.done, budget)
            chunks.append((request, size))
            budget -= size
            free -= fresh
        return chunks

    def _mixed(self, chunks: list[tuple[_Request, int]]) -> None:
        pairs = windowed = 0.0
        whole = 0
        for request, size in chunks:
            middle = request.done + size / 2
            pairs += size * middle
            windowed += size * min(middle, self.engine.window or middle)
            self.used += request.prompt if request.done == 0 else 0
            request.done += size
            whole += request.done == request.prompt
        decodes = len(self.running)
        context = self.used - sum(request.prompt for request, _ in chunks)
        prefill = sum(size for _, size in chunks)
        self._advance(
            Batch(decodes, max(0, context), prefill, pairs, windowed, decodes + whole), steps=1
        )
        for _ in range(whole):
            self._start(self.waiting.popleft())

    def _start(self, request: _Request) -> None:
        request.first = request.first or self.now
        self.order += 1
        heapq.heappush(self.running, (self.steps + request.answer - 1, self.order, request))

    def _decode(self) -> None:
        decodes = len(self.running)
        if self.engine.cache_tokens - self.used < decodes and decodes > 1:
            self._preempt()
            return
        room = max(1, (self.engine.cache_tokens - self.used) // decodes)
        steps = max(1, min(self.running[0][0] - self.steps, room))
        if self.arriving:
            steps = max(1, min(steps, self.arriving[0][0] - self.steps))
        batch = Batch(decodes, self.used + decodes * steps / 2, sampled=decodes)
        self._advance(batch, steps)

    def _advance(self, batch: Batch, steps: int) -> None:
        taken = self.engine.step_s(batch) * steps
        self.now += taken
        self.steps += steps
        self.used += int(batch.decodes) * steps
        self.sequence_s += batch.decodes * taken
        self.context_s += batch.context * taken

    def _preempt(self) -> None:
        """Take the youngest sequence off: it is prefilled again, with what it has said so far."""
        youngest = max(self.running, key=lambda entry: entry[1])
        self.running.remove(youngest)
        heapq.heapify(self.running)
        last, _, request = youngest
        left = last - self.steps
        said = request.answer - 1 - left
        self.used -= request.prompt + said
        request.prompt, request.answer, request.done = request.prompt + said, left + 1, 0
        self.waiting.appendleft(request)

    def _finish(self) -> None:
        while self.running and self.running[0][0] <= self.steps:
            _, _, request = heapq.heappop(self.running)
            self.used -= request.prompt + request.answer - 1
            self.tokens += request.whole
            spent = (self.now - request.first) / max(1, request.whole - 1)
            self.served.append((request.first - request.sent + request.late, spent))
            self._send(missed=2 if self.engine.ahead else 1)

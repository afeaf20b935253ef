import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { MessageOutput, Output } from "../../src/cli/output.ts";
import type { ProgressClock } from "../../src/cli/progress-clock.ts";
import { PlainProgress } from "../../src/cli/progress-lines.ts";
import { TerminalProgress } from "../../src/cli/progress-terminal.ts";
import { RateWindow } from "../../src/cli/rate-window.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { PROJECT } from "../support/project.ts";
import { testNeeding } from "../support/skip.ts";

const MIB = 1024 * 1024;

class FakeClock implements ProgressClock {
  time = 0;
  ticks: (() => void)[] = [];

  now(): number {
    return this.time;
  }

  every(_: number, tick: () => void): () => void {
    this.ticks.push(tick);
    return () => this.ticks.splice(this.ticks.indexOf(tick), 1);
  }

  /** Lets seconds pass and then ticks once. */
  pass(seconds: number): void {
    this.time += seconds * 1000;
    for (const tick of this.ticks) tick();
  }
}

/** Stderr on a terminal of a given size; remembers what is on the screen. */
class FakeTerminal extends MessageOutput {
  width = 100;
  height = 24;
  /** Lines above the cursor, which is at the start of the next one. */
  screen: string[] = [];
  raws = "";

  constructor() {
    super(2, new Output(1));
  }

  override get columns(): number {
    return this.width;
  }

  override get rows(): number {
    return this.height;
  }

  override raw(text: string): void {
    this.raws += text;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal understands
    const up = /^\x1b\[(\d+)A\x1b\[J$/.exec(text);
    if (up !== null) this.screen.length -= Math.min(Number(up[1]), this.screen.length);
    else this.screen.push(...text.split("\n").slice(0, -1));
  }
}

const layer = (id: string, mib: number, resumed?: number): ProgressEvent => ({
  type: "start",
  id,
  label: `layer ${id}`,
  totalBytes: mib * MIB,
  ...(resumed !== undefined && { resumedBytes: resumed * MIB }),
});
const advance = (id: string, mib: number): ProgressEvent => ({ type: "advance", id, bytes: mib * MIB });

function onTerminal(): { clock: FakeClock; terminal: FakeTerminal; progress: TerminalProgress } {
  const clock = new FakeClock();
  const terminal = new FakeTerminal();
  return { clock, terminal, progress: new TerminalProgress(terminal, clock) };
}

describe("on a terminal", () => {
  test("running layers have a line each; the total is known from the start", () => {
    const { clock, terminal, progress } = onTerminal();
    for (const [id, size] of [
      ["a", 80],
      ["b", 16],
      ["c", 4],
    ] as const)
      progress.event(layer(id, size));
    clock.pass(0.2);
    expect(terminal.screen).toEqual(["total 0 B of 100.0 MiB (0%), and 3 waiting"]);
    progress.event(advance("a", 8));
    progress.event(advance("b", 4));
    clock.pass(1.8);
    expect(terminal.screen).toEqual([
      "[━━                  ]   8.0 MiB of 80.0 MiB   layer a",
      "[━━━━━               ]   4.0 MiB of 16.0 MiB   layer b",
      "total 12.0 MiB of 100.0 MiB (12%), 6.0 MiB/s, 15s left, and 1 waiting",
    ]);
  });

  test("a plan makes the total right before all tasks have started", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event({ type: "plan", tasks: 300, totalBytes: 600 * MIB });
    progress.event(layer("a", 10));
    progress.event(advance("a", 10));
    clock.pass(2);
    expect(terminal.screen.at(-1)).toBe(
      "total 10.0 MiB of 600.0 MiB (1%), 5.0 MiB/s, 1m58s left, and 299 waiting",
    );
  });

  test("what an earlier run has done counts, but not as speed", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event(layer("a", 100, 60));
    progress.event(advance("a", 60));
    clock.pass(1);
    progress.event(advance("a", 70));
    clock.pass(1);
    expect(terminal.screen.at(-1)).toBe("total 70.0 MiB of 100.0 MiB (70%), 5.0 MiB/s, 6s left");
  });

  test("what an earlier run has done may be read again, or be of no use", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event(layer("a", 100, 60));
    progress.event(advance("a", 30));
    clock.pass(2);
    expect(terminal.screen.at(-1)).toBe("total 60.0 MiB of 100.0 MiB (60%), 0 B/s, stalled");
    progress.event(layer("a", 100));
    progress.event(advance("a", 20));
    clock.pass(2);
    expect(terminal.screen.at(-1)).toBe("total 20.0 MiB of 100.0 MiB (20%), 5.0 MiB/s, 16s left");
  });

  test("layers that were there already don't count as speed either", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event(layer("a", 50));
    progress.event(layer("b", 50));
    progress.event({ type: "done", id: "a", label: "already present" });
    progress.event(advance("b", 10));
    clock.pass(2);
    expect(terminal.screen).toEqual([
      "layer a: already present",
      "[━━━━                ]  10.0 MiB of 50.0 MiB   layer b",
      "total 60.0 MiB of 100.0 MiB (60%), 5.0 MiB/s, 8s left",
    ]);
  });

  test("work that begins anew goes back and never makes the speed negative", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event(layer("a", 100));
    progress.event(advance("a", 50));
    clock.pass(1);
    progress.event(advance("a", 0));
    progress.event(advance("a", 10));
    clock.pass(1);
    expect(terminal.screen.at(-1)).toBe("total 10.0 MiB of 100.0 MiB (10%), 30.0 MiB/s, 3s left");
  });

  test("says so when nothing comes any more", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event(layer("a", 100));
    progress.event(advance("a", 50));
    clock.pass(30);
    expect(terminal.screen.at(-1)).toBe("total 50.0 MiB of 100.0 MiB (50%), 0 B/s, stalled");
  });

  test("messages stay above the bars", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event(layer("a", 100));
    progress.event(advance("a", 50));
    clock.pass(1);
    progress.event({ type: "message", text: "layer a: connection lost, trying again in 2s\x1b[2J" });
    expect(terminal.screen[0]).toBe("layer a: connection lost, trying again in 2s\\x1b[2J");
    expect(terminal.screen).toHaveLength(3);
    progress.finish();
    expect(terminal.screen).toHaveLength(1);
    expect(clock.ticks).toEqual([]);
  });

  test("never more lines than the terminal has, nor more than eight layers", () => {
    const { clock, terminal, progress } = onTerminal();
    for (let i = 0; i < 20; i++) {
      progress.event(layer(String(i), 1));
      progress.event(advance(String(i), 0.5));
    }
    clock.pass(1);
    expect(terminal.screen).toHaveLength(9);
    expect(terminal.screen.at(-1)).toEndWith(", and 12 more");
    terminal.height = 4;
    clock.pass(1);
    expect(terminal.screen).toHaveLength(3);
    terminal.height = 1;
    clock.pass(1);
    expect(terminal.screen).toHaveLength(1);
  });

  test.each([
    [100, "[━━━━━━━━━━          ]   1.0 MiB of 2.0 MiB    日本日本日本"],
    [60, "  1.0 MiB of 2.0 MiB    日本日本日本"],
    [40, " 50%  日本日本日本"],
    [12, " 50%  日本"],
  ])("%d columns", (width, line) => {
    const { clock, terminal, progress } = onTerminal();
    terminal.width = width;
    progress.event({ type: "start", id: "a", label: "日本日本日本", totalBytes: 2 * MIB });
    progress.event(advance("a", 1));
    clock.pass(1);
    expect(terminal.screen[0]).toBe(line);
    for (const drawn of terminal.screen) expect(Bun.stringWidth(drawn)).toBeLessThan(width);
  });

  test("a narrow terminal has room for the rate", () => {
    const { clock, terminal, progress } = onTerminal();
    terminal.width = 45;
    progress.event(layer("a", 800));
    progress.event(advance("a", 200));
    clock.pass(2);
    expect(terminal.screen.at(-1)).toBe("total 25% of 800.0 MiB, 100.0 MiB/s, 6s left");
  });

  test("lines that a narrower terminal has broken are removed with all their rows", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event(layer("a", 2));
    progress.event(advance("a", 1));
    clock.pass(1);
    const widths = terminal.screen.map((line) => Bun.stringWidth(line));
    terminal.width = 20;
    terminal.raws = "";
    progress.finish();
    const rows = widths.reduce((sum, w) => sum + Math.ceil(w / 20), 0);
    expect(rows).toBeGreaterThan(2);
    expect(terminal.raws).toBe(`\x1b[${rows}A\x1b[J`);
  });

  test("of unknown size", () => {
    const { clock, terminal, progress } = onTerminal();
    progress.event({ type: "start", id: "a", label: "reading the archive" });
    progress.event(advance("a", 3));
    clock.pass(0.5);
    expect(terminal.screen).toEqual([`${" ".repeat(23)}  3.0 MiB               reading the archive`]);
  });
});

test("as lines: a layer when its turn comes, and everything now and then", () => {
  const clock = new FakeClock();
  const terminal = new FakeTerminal();
  const progress = new PlainProgress(terminal, clock);
  for (const id of ["a", "b", "c"]) progress.event(layer(id, 100));
  progress.event(advance("a", 10));
  for (let second = 1; second <= 25; second++) {
    progress.event(advance("a", 10 + second * 2));
    clock.pass(1);
  }
  progress.event({ type: "done", id: "a" });
  progress.event({ type: "done", id: "b", label: "already present" });
  progress.event({ type: "done", id: "c" });
  clock.pass(60);
  progress.finish();
  expect(terminal.screen).toEqual([
    "layer a (100.0 MiB)",
    "total 30.0 MiB of 300.0 MiB (10%), 3.0 MiB/s, 1m30s left",
    "total 50.0 MiB of 300.0 MiB (16%), 2.0 MiB/s, 2m05s left",
    "layer a: done",
    "layer b: already present (100.0 MiB)",
    "layer c: done (100.0 MiB)",
  ]);
});

test("the rate is that of the last ten seconds", () => {
  const rate = new RateWindow(0);
  expect(rate.bytesPerSecond(500)).toBeUndefined();
  for (let t = 100; t <= 20_000; t += 100) rate.add(t <= 10_000 ? 1000 : 10, t);
  expect(rate.bytesPerSecond(20_000)).toBeWithin(90, 300);
  expect(rate.bytesPerSecond(60_000)).toBe(0);
});

testNeeding({ tool: "script" }, { tool: "stty" })("a real terminal that changes its size", () => {
  const program = join(PROJECT, "test/cli/show-progress.ts");
  const { stdout, exitCode } = Bun.spawnSync(
    ["script", "-qec", `stty cols 60 rows 10; '${process.execPath}' '${program}'`, "/dev/null"],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, TERM: "xterm", NO_COLOR: "1" },
    },
  );
  expect(exitCode).toBe(0);
  const text = stdout.toString();
  // Nothing but "up" and "erase": no colours, no hidden cursor.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal understands
  expect(text.replaceAll(/\x1b\[\d+A\x1b\[J/g, "")).not.toContain("\x1b");
  expect(text).toContain("  1.0 MiB of 4.0 MiB    layer a");
  const narrow = text.slice(text.indexOf("now narrow"));
  expect(narrow).toContain(" 50%  layer a");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal understands
  for (const line of narrow.split(/\r?\n|\x1b\[\d+A\x1b\[J/)) expect(Bun.stringWidth(line)).toBeLessThan(30);
  expect(text).toEndWith("layer a: done\r\n");
});

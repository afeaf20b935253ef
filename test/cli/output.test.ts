import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { EXIT, failureOf } from "../../src/cli/errors.ts";
import { formatBytes, formatDuration, formatSize } from "../../src/cli/format-bytes.ts";
import { formatTable, MessageOutput, Output } from "../../src/cli/output.ts";
import { JsonProgress, PlainProgress } from "../../src/cli/progress-lines.ts";
import { TerminalProgress } from "../../src/cli/progress-terminal.ts";
import { nearest } from "../../src/cli/usage-error.ts";
import { CfsError, withContext } from "../../src/errors.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { tempDir } from "../support/temp.ts";

describe("tables", () => {
  // as printed by composefs-rs 0.9.4
  const expected = `┌────────────────────┬──────────────┐
│ NAME               ┆ DIGEST       │
╞════════════════════╪══════════════╡
│ rootfs             ┆ 947ae5cba445 │
├╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
│ nested/dir/rootfs2 ┆ 947ae5cba445 │
└────────────────────┴──────────────┘
`;

  test("can't command the terminal", () => {
    expect(formatTable(["A"], [["x\x1b[2J\n"]])).toContain("│ x\\x1b[2J\\x0a │");
  });

  test("look like those of composefs-rs", () => {
    const rows = [
      ["rootfs", "947ae5cba445"],
      ["nested/dir/rootfs2", "947ae5cba445"],
    ];
    expect(formatTable(["NAME", "DIGEST"], rows)).toBe(expected);
  });

  test("know that some characters take two columns", () => {
    expect(formatTable(["N"], [["日本"], ["abc"]])).toBe(
      "┌──────┐\n│ N    │\n╞══════╡\n│ 日本 │\n├╌╌╌╌╌╌┤\n│ abc  │\n└──────┘\n",
    );
  });
});

/** What is written to an output while `use` runs. */
function written(use: (fd: number) => void): string {
  using dir = tempDir();
  const fd = openSync(dir.join("out"), "w");
  use(fd);
  closeSync(fd);
  return readFileSync(dir.join("out"), "utf8");
}

describe("output", () => {
  test("keeps the order of texts and bytes", () => {
    const text = written((fd) => {
      const out = new Output(fd);
      out.line("one");
      out.bytes(Buffer.from("two\n"));
      out.json({ three: [] });
      out.flush();
    });
    expect(text).toBe('one\ntwo\n{\n  "three": []\n}\n');
  });

  test("writes results before the messages that follow them", () => {
    const text = written((fd) => {
      const out = new Output(fd);
      const err = new MessageOutput(fd, out);
      out.line("result");
      err.warning("a \x1b[31mname");
    });
    expect(text).toBe("result\ncfsctl: warning: a \\x1b[31mname\n");
  });

  test("comes out by itself when the program waits", async () => {
    using dir = tempDir();
    const fd = openSync(dir.join("out"), "w");
    new Output(fd).line("serving");
    await Bun.sleep(5);
    expect(readFileSync(dir.join("out"), "utf8")).toBe("serving\n");
    closeSync(fd);
  });
});

describe("errors", () => {
  test("are one line with causes, and a hint", () => {
    const error = withContext("pulling x", new CfsError("Network", "no\nroute", { hint: "try later" }));
    expect(failureOf(error, false)).toEqual({
      text: "cfsctl: error: pulling x: no route\nhint: try later\n",
      code: EXIT.failure,
    });
  });

  test("can't command the terminal", () => {
    const { text } = failureOf(new CfsError("Invalid", "bad name '\x1b]0;x\x07'"), false);
    expect(text).toBe("cfsctl: error: bad name '\\x1b]0;x\\x07'\n");
  });

  test("that nobody foresaw are shown, too", () => {
    expect(failureOf(new TypeError("x is undefined"), false)).toEqual({
      text: "cfsctl: error: x is undefined\n",
      code: EXIT.failure,
    });
    expect(failureOf("text", false).text).toBe("cfsctl: error: text\n");
  });
});

describe("progress", () => {
  const events: readonly ProgressEvent[] = [
    { type: "start", id: "a", label: "layer a", totalBytes: 2048 },
    { type: "start", id: "b", label: "layer b" },
    { type: "advance", id: "a", bytes: 1024 },
    { type: "advance", id: "a", bytes: 1025 },
    { type: "message", text: "a remark" },
    { type: "done", id: "a", bytes: 2048 },
    { type: "done", id: "b", label: "already present" },
  ];
  const shown = (make: (err: MessageOutput) => { event(e: ProgressEvent): void; finish(): void }) =>
    written((fd) => {
      const printer = make(new MessageOutput(fd, new Output(fd)));
      for (const event of events) printer.event(event);
      printer.finish();
    });

  test("as lines", () => {
    expect(shown((err) => new PlainProgress(err))).toBe(
      "layer b\nlayer a (2.0 KiB)\na remark\nlayer a: done\nlayer b: already present\n",
    );
  });

  test("as JSON: every event but those that follow too fast", () => {
    const lines = shown((err) => new JsonProgress(err))
      .trimEnd()
      .split("\n");
    expect(lines.map((l) => JSON.parse(l) as ProgressEvent)).toEqual(events.filter((_, i) => i !== 3));
  });

  test("on a terminal: what was drawn is removed, the cursor ends below what stays", () => {
    const text = shown((err) => new TerminalProgress(err));
    expect(screenAfter(text)).toEqual(["a remark", "layer a: done", "layer b: already present", ""]);
    // never hidden, no alternate screen: an interrupt leaves nothing to repair
    expect(text).not.toContain("\x1b[?");
  });
});

/** The lines of a terminal that knows "up N" and "erase below". */
function screenAfter(text: string): string[] {
  const lines = [""];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal understands
  for (const part of text.split(/(\x1b\[\d*[AJ]|\n)/)) {
    if (part === "\n") lines.push("");
    else if (part.endsWith("A") && part.startsWith("\x1b")) lines.length -= Number(part.slice(2, -1));
    else if (part === "\x1b[J") lines[lines.length - 1] = "";
    else lines[lines.length - 1] += part;
  }
  return lines;
}

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 KiB"],
  [1024 * 1024 * 1.5, "1.5 MiB"],
  [5e15, "4547.5 TiB"],
])("%p bytes are %p", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

// As composefs-rs 0.9.4 prints these sizes.
test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.00 KiB"],
  [36_992, "36.12 KiB"],
  [37_248, "36.38 KiB"],
  [37_249, "36.38 KiB"],
  [1_179_648, "1.12 MiB"],
])("%d bytes are %p on stdout", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

test.each([
  [0.2, "0s"],
  [59.6, "1m00s"],
  [187, "3m07s"],
  [7500, "2h05m"],
])("%p seconds are %p", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

describe("guesses", () => {
  const words = ["images", "image-objects", "import-image", "init", "gc", "fsck"];
  test.each([
    ["imges", "images"],
    ["fskc", "fsck"],
    ["import", "import-image"],
    ["image", "images"],
    ["xyzzy", undefined],
    ["q", undefined],
  ])("%p is meant to be %p", (word, meant) => {
    expect(nearest(word, words)).toBe(meant);
  });
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { writeImage } from "../../src/erofs/writer.ts";
import { CfsError, describeError } from "../../src/errors.ts";
import { dumpNode, dumpTree } from "../../src/tree/dump.ts";
import { DumpfileParser, parseDumpfile } from "../../src/tree/dumpfile.ts";
import type { Directory } from "../../src/tree/model.ts";
import { countLinks, lookup } from "../../src/tree/walk.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";
import { dumpfileCases, fixture, generatedCases, handMadeCases } from "../erofs/support/vectors.ts";
import { verityOracle } from "../erofs/support/verity.ts";
import { trees } from "./support/arbitrary.ts";

const ROOT = "/ 0 40755 2 0 0 0 1.0 - - -\n";

function parse(text: string): Directory {
  return parseDumpfile(Buffer.from(text), SHA256);
}

function dumpOf(root: Directory): string {
  return [...dumpTree(root)].join("");
}

function failure(work: () => unknown): CfsError {
  try {
    work();
  } catch (error) {
    if (error instanceof CfsError) return error;
    throw error;
  }
  throw new Error("not refused");
}

/** The reference's causes without the echoed line, joined as `describeError` does. */
function causes(stderr: string): string {
  return stderr
    .replace(/^Error: Failed to parse dumpfile\n\nCaused by:\n/, "")
    .replace(/^Error: /, "")
    .split("\n")
    .map((line) => line.replace(/^ {4}(\d+: )?/, ""))
    .filter((line) => !line.startsWith("Failed to parse dumpfile line: "))
    .join(": ");
}

/** Lower-case digests of version 1 images; what C mkcomposefs 1.0.8 accepts and the reference does not. */
const AS_THE_C_TOOL = new Set(["symlink-1025", "inline-513", "inline-513-escaped"]);

/** What the reference takes although no valid image comes of it, or no format describes it. */
const REFUSED: Record<string, RegExp> = {
  "name-256": /is 256 bytes long; the limit is 255$/,
  "escape-hex-plus": /^dumpfile line 2: .*: Invalid hex escape \+4$/,
};

/** Refused with another text: ours are right about the length, or accept longer input. */
const OTHER_TEXT: Record<string, RegExp> = {
  "xattr-value-65536": /xattr value too long; max=65535 found=65536$/,
  "escape-hex-bad": /Invalid hex escape zz$/,
  "rdev-over-u32": /device number 4294967296 does not fit an EROFS image$/,
  "name-4085": /is 4085 bytes long; the limit is 255$/,
};

/** Accepted here only: negative times, which dumping a tree may give. */
const ACCEPTED = new Set(["mtime-negative"]);

describe("odd dumpfiles", () => {
  for (const { name, input, input_base64, reference, c } of dumpfileCases()) {
    test(name, () => {
      const bytes = input === undefined ? Buffer.from(input_base64 ?? "", "base64") : Buffer.from(input);
      const digest = () => verityOracle(writeImage(parseDumpfile(bytes, SHA256), 1, SHA256), SHA256);
      if (AS_THE_C_TOOL.has(name)) {
        expect(digest()).toBe(c.digest!);
        return;
      }
      if (ACCEPTED.has(name)) {
        expect(dumpOf(parseDumpfile(bytes, SHA256))).toBe(bytes.toString());
        return;
      }
      if (reference.ok && REFUSED[name] === undefined) {
        expect(digest()).toBe(reference.digest!);
        return;
      }
      const text = describeError(failure(digest));
      const other = REFUSED[name] ?? OTHER_TEXT[name];
      if (other !== undefined) expect(text).toMatch(other);
      else expect(text).toEndWith(causes(reference.stderr!));
    });
  }
});

describe("corners", () => {
  // Digests printed by the reference's `mkcomposefs --from-file --min-version=1 --print-digest-only`.
  const cases: [string, string, string][] = [
    [
      "empty content and a size",
      "/a 65536 100644 1 0 0 0 1.0 -  -\n",
      "7b704520f4a4a053538cd3202dc1c0094bc29feda0d4e194f98823b7a8c9de13",
    ],
    [
      "hard link to a name that was replaced",
      "/d 0 40700 2 0 0 0 1.0 - - -\n/d/f 0 100644 1 0 0 0 1.0 - - -\n/d 0 40755 2 0 0 0 1.0 - - -\n/l 0 @100644 - - - - 0.0 /d/f\n",
      "bc856bf0620d2e15d72988b9ebaa52259217238ecb9398895ad759c610411667",
    ],
    [
      "hard link to a file under a directory's new name",
      "/d 0 100644 1 0 0 0 1.0 - - -\n/l 0 @100644 - - - - 0.0 /d\n/d 0 40755 2 0 0 0 1.0 - - -\n/m 0 @100644 - - - - 0.0 /d\n",
      "1cc2d2cd2ecaa7597f18c58438009f7090811cec5ddcc9b1aa247fcd7d7dda10",
    ],
  ];
  test.each(cases)("%s", (_, lines, digest) => {
    expect(verityOracle(writeImage(parse(ROOT + lines), 1, SHA256), SHA256)).toBe(digest);
  });

  test("an empty time", () => {
    const error = failure(() => parse("/ 0 40755 2 0 0 0  - - -\n"));
    expect(describeError(error)).toEndWith(": Missing . in mtime");
  });
});

describe("errors name the line", () => {
  test.each([
    ["/a 0 100644 1 0 0 0 1.0 - -\n", 2, "Missing digest"],
    [
      "\n\n/a 0 100644 1 0 0 0 1.0 - - -\r\n/d/a 0 100644 1 0 0 0 1.0 - - -\n",
      5,
      'Directory entry "d" does not exist',
    ],
    ["/a x 100644 1 0 0 0 1.0 - - -", 2, "invalid digit found in string"],
  ])("%j", (lines, line, cause) => {
    const error = failure(() => parse(ROOT + lines));
    expect(error.message).toBe(`dumpfile line ${line}`);
    expect(error.data).toEqual({ line });
    expect(error.kind).toBe("Invalid");
    expect(describeError(error)).toEndWith(`: ${cause}`);
  });

  test("and show little of a long one", () => {
    const error = failure(() => parse(`${ROOT}/a ${"9".repeat(50_000)} 100644 1 0 0 0 1.0 - - -\n`));
    expect(describeError(error).length).toBeLessThan(400);
  });
});

describe("pieces", () => {
  const text = handMadeCases().find((c) => c.name === "crlf-and-blank-lines")!.dumpfile;

  test.each([1, 2, 3, 7, 64, 1000])("of %d bytes", (size) => {
    for (const source of [text, handMadeCases().find((c) => c.name === "utf8-raw")!.dumpfile]) {
      const bytes = Buffer.from(source);
      const parser = new DumpfileParser(SHA256);
      for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
      expect(parser.finish()).toEqual(parseDumpfile(bytes, SHA256));
    }
  });

  test("a buffer that is used again", () => {
    const bytes = Buffer.from(`${ROOT}/a 0 100644 1 0 0 0 1.0 - - -\n`);
    const buffer = Buffer.alloc(5);
    const parser = new DumpfileParser(SHA256);
    for (let at = 0; at < bytes.length; at += 5) {
      const length = bytes.copy(buffer, 0, at, at + 5);
      parser.push(buffer.subarray(0, length));
    }
    expect([...parser.finish().entries.keys()]).toEqual(["a"]);
  });

  test("a line without end is refused", () => {
    const parser = new DumpfileParser(SHA256);
    const piece = Buffer.alloc(16 << 20, 0x61);
    expect(() => {
      for (let i = 0; i < 8; i++) parser.push(piece);
    }).toThrow("dumpfile line 1 is longer than");
  });
});

describe("writing", () => {
  test("gives a real dumpfile back, in pieces", () => {
    const text = fixture("large.dump.zst").toString();
    const pieces = [...dumpTree(parse(text))];
    expect(pieces.length).toBeGreaterThan(50);
    expect(pieces.join("") === text).toBe(true);
  });

  test("parsing what was written gives the same tree", () => {
    fc.assert(
      fc.property(trees({ plain: true }), (root) => {
        const text = dumpOf(root);
        expect(text).toMatch(/^[\n -~]*$/);
        const parsed = parse(text);
        expect(dumpOf(parsed)).toBe(text);
        expect(Buffer.compare(writeImage(parsed, 1, SHA256), writeImage(root, 1, SHA256))).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test("the generated cases, written and parsed", () => {
    for (const c of generatedCases()) {
      const text = dumpOf(parse(c.dumpfile));
      expect(dumpOf(parse(text))).toBe(text);
    }
  });

  const lines =
    `${ROOT}/- 0 40755 2 0 0 0 1.5 - - -\n/-/\\x20\\xff\\\\\\n\\r\\t=é 1 100644 3 0 0 0 1.0 - \\x2d - user.a\\x3db\\x20=\\x3d\\x2d-\n` +
    "/-/z 0 @100644 - - - - 0.0 /-/\\x20\\xff\\\\\\n\\r\\t=é\n/y 0 @100644 - - - - 0.0 /-/z\n";

  test("escapes", () => {
    expect(dumpOf(parse(lines))).toBe(
      "/ 0 40755 3 0 0 0 1.0 - - -\n" +
        "/- 0 40755 2 0 0 0 1.5 - - -\n" +
        "/-/\\x20\\xff\\\\\\n\\r\\t=\\xc3\\xa9 1 100644 3 0 0 0 1.0 - \\x2d - user.a\\x3db\\x20=\\x3d--\n" +
        "/-/z 0 @120000 - - - - 0.0 /-/\\x20\\xff\\\\\\n\\r\\t=\\xc3\\xa9 - -\n" +
        "/y 0 @120000 - - - - 0.0 /-/\\x20\\xff\\\\\\n\\r\\t=\\xc3\\xa9 - -\n",
    );
  });

  test("a part of a tree under the name it was asked for", () => {
    const root = parse(lines);
    const links = countLinks(root);
    const part = (path: string) => [...dumpNode(lookup(root, path), path, links)].join("");
    expect(part("-/")).toBe(
      "-/ 0 40755 2 0 0 0 1.5 - - -\n" +
        "-/\\x20\\xff\\\\\\n\\r\\t=\\xc3\\xa9 1 100644 3 0 0 0 1.0 - \\x2d - user.a\\x3db\\x20=\\x3d--\n" +
        "-/z 0 @120000 - - - - 0.0 -/\\x20\\xff\\\\\\n\\r\\t=\\xc3\\xa9 - -\n",
    );
    expect(part("/y")).toBe("/y 1 100644 3 0 0 0 1.0 - \\x2d - user.a\\x3db\\x20=\\x3d--\n");
    expect(part("-")).toStartWith("\\x2d 0 40755 ");
  });

  test("negative times", () => {
    const root = parse(ROOT);
    root.stat.mtime = -6n;
    root.stat.mtimeNsec = 750_000_000;
    expect(dumpOf(root)).toBe("/ 0 40755 2 0 0 0 -6.750000000 - - -\n");
    expect(parse(dumpOf(root)).stat).toEqual(root.stat);
  });
});

describe("lines as programs write them are read at a glance", () => {
  /** Leading zeros and plus signs take a closer look, and mean the same. */
  function unusual(text: string): string {
    return text.replace(/^(\S+) (?=\d)/gm, "$1 +");
  }

  const objects = [`ab/${"cd".repeat(31)} - ab${"cd".repeat(31)}`, `other/path - ab${"cd".repeat(31)}`];
  const payloads = [
    ...objects,
    `${objects[1]!.slice(0, 10)} - -`,
    "- - -",
    "target - -",
    "a\\x20b - -",
    "- x -",
  ];
  const word = fc.constantFrom("", ".", "..", "a", "b", "d", "dir", "a\\x62", "é", "\\\\");
  const line = fc
    .record({
      path: fc.array(word, { minLength: 1, maxLength: 3 }),
      size: fc.constantFrom("0", "1", "07", "4097", "99999999999999999", "x"),
      mode: fc.constantFrom("100644", "40755", "120777", "20000", "100644", "0100644", "@100644", "644"),
      owner: fc.constantFrom("1 0 0 0", "2 1000 4294967295 0", "1 0 0 1", "1 - 0 0", "1 4294967296 0 0"),
      time: fc.constantFrom("1.5", "0.0", "-1.0", "1.1000000000", "1", "99999999999999999999.0"),
      payload: fc.constantFrom(...payloads),
      xattrs: fc.constantFrom("", "", " user.a=b", " user.a=b user.b=", " ", " user.a", "\r", "\r\r"),
    })
    .map(
      ({ path, size, mode, owner, time, payload, xattrs }) =>
        `/${path.join("/")} ${size} ${mode} ${owner} ${time} ${payload}${xattrs}\n`,
    );

  function treeOrFailure(text: string, anyPaths: boolean): string {
    try {
      const parser = new DumpfileParser(SHA256, { anyPaths });
      parser.push(Buffer.from(text));
      return dumpOf(parser.finish());
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      // what is wrong, without the line itself
      let cause: Error = error;
      while (cause.cause instanceof Error) cause = cause.cause;
      return `${error.message}: ${cause.message}`;
    }
  }

  test("and give what a closer look gives", () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), fc.boolean(), (lines, anyPaths) => {
        const text = `${ROOT}/dir 0 40755 2 0 0 0 1.0 - - -\n${lines.join("")}`;
        expect(treeOrFailure(text, anyPaths)).toBe(treeOrFailure(unusual(text), anyPaths));
      }),
      { numRuns: 5000 },
    );
  });

  test("in a real dumpfile", () => {
    const text = fixture("large.dump.zst").toString();
    expect(dumpOf(parse(unusual(text))) === text).toBe(true);
  });
});

describe("random text", () => {
  const inputs = [...handMadeCases(), ...generatedCases()]
    .map((c) => c.dumpfile)
    .filter((d) => d.length < 20_000);

  test("gives a tree or an error of ours", () => {
    const edit = fc.tuple(fc.nat(), fc.constantFrom(..." /\\-@=.x0\n\0ÿ\r19"), fc.boolean());
    fc.assert(
      fc.property(
        fc.nat(inputs.length - 1),
        fc.array(edit, { minLength: 1, maxLength: 5 }),
        (which, edits) => {
          let text = inputs[which]!;
          for (const [at, c, insert] of edits) {
            const i = at % text.length;
            text = text.slice(0, i) + c + text.slice(insert ? i : i + 1);
          }
          for (const algorithm of [SHA256, SHA512]) {
            try {
              writeImage(parseDumpfile(Buffer.from(text), algorithm), 1, algorithm);
            } catch (error) {
              if (!(error instanceof CfsError)) throw error;
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fixture, type InfoCommand, infoCases } from "../erofs/support/vectors.ts";
import { cfsctl, cfsctlBytes, cfsctlOk } from "../support/cfsctl.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const ROOT = "/ 0 40755 2 0 0 0 1.0 - - -\n";
/** Of an image with nothing but such a root, in versions 0 and 1; recorded from composefs 1.0.8. */
const EMPTY = "77f156e609c613be4e73031c572f20c19e99166f1a57caf416a63aec3de9b422";
const EMPTY_V1 = "b98a48ccc9f1913a062d46b0d494577194fbf8f78433d4b8b4db68eab18d1961";
const WHITEOUT = `${ROOT}/w 0 20600 1 0 0 0 1.0 - - -\n`;

const asC =
  (program: string, dir: TempDir) =>
  (...args: string[]) =>
    cfsctl(args, { argv0: program, cwd: dir.path });

describe("composefs-info", () => {
  test("prints what composefs-rs 0.9.4 prints, and as a program what composefs 1.0.8 prints", () => {
    using dir = tempDir();
    const cases = infoCases();
    expect(cases.length).toBeGreaterThan(80);
    for (const { image } of cases) writeFileSync(dir.join(image), fixture(`images/${image}.zst`));
    const images = cases.map(({ image }) => image);
    // non-UTF-8 bytes were recorded as escapes
    const text = (bytes: Buffer) =>
      bytes.latin1Slice().replace(/[\x80-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
    const all = (command: InfoCommand) => cases.map((recorded) => recorded[command]).join("");
    const union = (texts: string) => [...new Set(texts.split(/(?<=\n)/))].sort().join("");
    for (const command of ["ls", "dump", "objects"] as const) {
      const found = cfsctlBytes(["composefs-info", command, ...images], { cwd: dir.path });
      expect(text(found.stdout)).toBe(all(command));
      const program = cfsctlBytes([command, ...images], { cwd: dir.path, argv0: "composefs-info" });
      const expected = all(`c_${command}`);
      expect(text(program.stdout)).toBe(command === "objects" ? union(expected) : expected);
    }
    const missing = ["missing-objects", "--basedir", "/nonexistent", ...images];
    expect(cfsctlOk(["composefs-info", ...missing], { cwd: dir.path })).toBe(
      union(all("missing_objects_empty_basedir")),
    );
  }, 30_000);

  test("options, several images, and what is wrong with them", () => {
    using dir = tempDir();
    const image = "every-type.sha256.v1.erofs";
    writeFileSync(dir.join("a"), fixture(`images/${image}.zst`));
    writeFileSync(dir.join("not-one"), "nothing");
    const info = asC("composefs-info", dir);
    const [external, plain] = [
      "bb/6aca568906143f8671327b6354477002ef2bffad88355c146c9c07ddb01ef5\n",
      "0c/14b04be12571f70609b095437841f62ec83c97c36a21e2757e37d8d8798d88\n",
    ];
    expect(info("--filter=dir", "--filter", "link", "ls", "a").stdout).toBe("/dir/\t\n/link\t-> target\n");
    expect(info("dump", "--filter=link", "a").stdout).toMatch(/^\/ .*\n\/link .*\n$/);
    expect(info("objects", "a", "a").stdout).toBe(plain + external);
    expect(cfsctlOk(["composefs-info", "objects", "a", "a"], { cwd: dir.path })).toBe(external + external);
    mkdirSync(dir.join("store/bb"), { recursive: true });
    writeFileSync(dir.join("store", external.trim()), "");
    expect(info("--basedir=store", "missing-objects", "a").stdout).toBe(plain);
    expect(info("measure-file", "a").stdout).toBe(
      `${cfsctlOk(["composefs-info", "measure-file", "a"], { cwd: dir.path })}`,
    );
    writeFileSync(dir.join("empty"), "");
    expect(info("measure-file", "empty").stdout).toBe(
      "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95\n",
    );

    const failures: [string[], number, RegExp][] = [
      [["ls", "not-one"], 1, /^composefs-info: error: not-one: Invalid image/],
      [["ls", "nothing"], 1, /nothing: No such file/],
      [["measure-file", "store"], 1, /store: Is a directory/],
      [["--basedir=nowhere", "missing-objects", "a"], 1, /nowhere: No such file/],
      [["missing-objects", "a"], 2, /--basedir/],
      [["--filter=a/b", "ls", "a"], 2, /entry of the root/],
      [["what", "a"], 2, /possible values: ls, dump/],
      [[], 2, /missing argument: <COMMAND>/],
      [["--repo=x", "ls"], 2, /unknown option '--repo'/],
    ];
    for (const [args, code, message] of failures) {
      const found = info(...args);
      expect({ args, code: found.code }).toEqual({ args, code });
      expect(found.stderr).toMatch(message);
    }
    const both = info("ls", "a", "not-one");
    expect({ code: both.code, lines: both.stdout.split("\n").length }).toEqual({ code: 1, lines: 12 });
    expect(
      cfsctlOk(["composefs-info", "--basedir", "nowhere", "missing-objects", "a"], { cwd: dir.path }),
    ).toBe(external);
  });
});

describe("mkcomposefs", () => {
  const whiteoutVersions = [
    // as composefs 1.0: given bounds, and the version of a tree with a whiteout
    [[], 1],
    [["--min-version=0"], 0],
    [["--max-version=1"], 1],
    [["--max-version=0"], 0],
    [["--min-version=1"], 1],
    [["--min-version=1", "--max-version=0"], 1],
    [["--min-version=0", "--max-version=1"], 1],
  ] as const;
  test.each(whiteoutVersions)("version of a tree with a whiteout: %p", (options, version) => {
    using dir = tempDir();
    writeFileSync(dir.join("dump"), WHITEOUT);
    const { stderr, code } = asC("mkcomposefs", dir)("--from-file", ...options, "dump", "image");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(readFileSync(dir.join("image")).readUInt32LE(12)).toBe(version);
  });

  test("output: file, standard output, digest", () => {
    using dir = tempDir();
    writeFileSync(dir.join("dump"), ROOT);
    const make = asC("mkcomposefs", dir);
    expect(make("--from-file", "--print-digest-only", "dump").stdout).toBe(`${EMPTY}\n`);
    expect(make("--from-file", "--print-digest-only", "--min-version=1", "dump").stdout).toBe(
      `${EMPTY_V1}\n`,
    );
    expect(make("--from-file", "--print-digest", "dump", "image").stdout).toBe(`${EMPTY}\n`);
    expect(statSync(dir.join("image")).mode & 0o777).toBe(0o644);
    const image = readFileSync(dir.join("image"));
    const piped = cfsctlBytes(["--from-file", "--print-digest", "-", "-"], {
      argv0: "mkcomposefs",
      stdin: ROOT,
    });
    expect(piped.stdout.equals(Buffer.concat([image, Buffer.from(`${EMPTY}\n`)]))).toBe(true);
    expect(make("--from-file", "dump", "/dev/null").code).toBe(0);
    expect(cfsctlOk(["mkcomposefs", "--from-file", "--print-digest-only", dir.join("dump")])).toBe(
      `${EMPTY}\n`,
    );
  });

  test("what is wrong leaves no file behind", () => {
    using dir = tempDir();
    writeFileSync(dir.join("dump"), ROOT);
    writeFileSync(dir.join("bad"), `${ROOT}what\n`);
    const make = asC("mkcomposefs", dir);
    const failures: [string[], number, RegExp][] = [
      [["--from-file", "bad", "image"], 1, /^mkcomposefs: error: bad: dumpfile line 2/],
      [["--from-file", "nothing", "image"], 1, /nothing: No such file/],
      [["nothing", "image"], 1, /nothing: No such file/],
      [["dump", "image"], 1, /dump: Not a directory/],
      [["--from-file", "--min-version=2", "dump", "image"], 1, /version 2 is not known/],
      [["--from-file", "dump"], 1, /IMAGE is required/],
      [["--from-file", "--print-digest-only", "dump", "image"], 1, /IMAGE must be omitted/],
      [["--from-file", "dump", "nowhere/image"], 1, /nowhere: No such file/],
      [["--threads=0", ".", "image"], 2, /from 1 to 1024/],
      [["--what", "dump"], 2, /unknown option '--what'/],
      [[], 2, /missing argument: <SOURCE>/],
    ];
    for (const [args, code, message] of failures) {
      const found = make(...args);
      expect({ args, code: found.code }).toEqual({ args, code });
      expect(found.stderr).toMatch(message);
      expect(found.stdout).toBe("");
    }
    expect(() => statSync(dir.join("image"))).toThrow();
    const asCommand: [string[], RegExp][] = [
      [
        ["--min-version=1", "--max-version=0"],
        /Invalid version range: --min-version \(1\) must not exceed --max-version \(0\)/,
      ],
      [
        ["--min-version=2", "--max-version=2"],
        /--min-version 2 is not supported; the maximum C-compatible version is 1/,
      ],
    ];
    for (const [options, message] of asCommand) {
      const found = cfsctl(["mkcomposefs", "--from-file", ...options, dir.join("dump"), dir.join("image")]);
      expect(found.code).toBe(1);
      expect(found.stderr).toMatch(message);
    }
  });

  test("data at any path is for the program only", () => {
    using dir = tempDir();
    const line = "/f 5000 100644 1 0 0 0 1.0 some/where - -\n";
    writeFileSync(dir.join("dump"), ROOT + line);
    expect(asC("mkcomposefs", dir)("--from-file", "dump", "image").code).toBe(0);
    expect(asC("composefs-info", dir)("objects", "image").stdout).toBe("some/where\n");
    expect(asC("composefs-info", dir)("dump", "image").stdout).toEndWith(line);
    const { code, stderr } = cfsctl(["mkcomposefs", "--from-file", dir.join("dump"), dir.join("other")]);
    expect(code).toBe(1);
    expect(stderr).toContain("dumpfile line 2: invalid object pathname");
  });
});

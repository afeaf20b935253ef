import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { PROJECT } from "../support/project.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const FIXTURES = join(PROJECT, "fixtures/erofs/dir");

/** A command and what composefs-rs 0.9.4 answered. */
interface Answer {
  readonly setup?: readonly string[];
  readonly argv: readonly string[];
  readonly exit: number;
  readonly stdout?: string;
  readonly stdout_sorted_lines?: readonly string[];
  /** What the program of composefs 1.0 prints, when called with the same options. */
  readonly c_stdout?: string;
  /** Paths below a digest store afterwards. */
  readonly store_files?: readonly string[];
  readonly image_sha256sum?: string;
}

const answers: readonly Answer[] = JSON.parse(
  Buffer.from(Bun.zstdDecompressSync(readFileSync(join(FIXTURES, "expected.json.zst")))).toString(),
);

/** What composefs-rs refuses and we do. */
const DONE: readonly { readonly why: string; readonly isIt: (argv: readonly string[]) => boolean }[] = [
  {
    why: "the root is a path like any other",
    isIt: (argv) => argv.includes("dump-files") && argv.at(-1) === "/",
  },
  { why: "a tree may have no /usr", isIt: (argv) => argv.includes("rootfs/etc") },
];

describe("answers of composefs-rs 0.9.4 about a tree with devices, hard links, xattrs and odd names", () => {
  const testAsRoot = testNeeding("root", { tool: "tar" }, { tool: "zstd" });
  let dir: TempDir;
  beforeAll(() => {
    dir = tempDir();
    if (process.getuid?.() !== 0) return;
    mkdirSync(dir.join("rootfs"));
    const archive = join(FIXTURES, "rootfs.tar.zst");
    const options = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-timestamp"];
    const unpacked = Bun.spawnSync(["tar", "--zstd", ...options, "-xpf", archive, "-C", dir.join("rootfs")]);
    if (!unpacked.success) throw new Error(unpacked.stderr.toString());
  });
  afterAll(() => dir[Symbol.dispose]());

  test("there are some", () => expect(answers.length).toBe(89));

  for (const answer of answers) {
    const { setup, argv, exit, stdout, stdout_sorted_lines: sorted, c_stdout: byC } = answer;
    const done = DONE.find(({ isIt }) => isIt(argv));
    testAsRoot(`${argv.slice(1).join(" ")}${done === undefined ? "" : `: ${done.why}`}`, () => {
      if (setup !== undefined) cfsctlOk(setup.slice(1), { cwd: dir.path });
      const found = cfsctl(argv.slice(1), { cwd: dir.path });
      expect({ code: found.code, stderr: found.code === 0 ? found.stderr : "" }).toEqual({
        code: done === undefined ? exit : 0,
        stderr: "",
      });
      if (done !== undefined) return;
      if (sorted === undefined) expect(found.stdout).toBe(stdout ?? "");
      else expect(found.stdout.trimEnd().split("\n").sort()).toEqual([...sorted]);
      if (answer.store_files !== undefined) {
        const store = new Bun.Glob("**").scanSync({ cwd: dir.join("store"), dot: true });
        expect([...store].sort()).toEqual([...answer.store_files]);
        const image = readFileSync(dir.join("out.img"));
        expect(new Bun.SHA256().update(image).digest("hex")).toBe(answer.image_sha256sum!);
        rmSync(dir.join("store"), { recursive: true });
      }
      if (byC === undefined) return;
      const options = { cwd: dir.path, argv0: "mkcomposefs" };
      expect(cfsctlOk(argv.slice(2), options)).toBe(byC);
    });
  }

  testAsRoot("dump-files /", () => {
    const repository = ["--repo", "repo-root"];
    cfsctlOk([...repository, "init", "--insecure", "--algorithm", "fsverity-sha256-12"], { cwd: dir.path });
    cfsctlOk([...repository, "create-image", "rootfs", "img"], { cwd: dir.path });
    const dump = cfsctlOk([...repository, "dump-files", "img", "/"], { cwd: dir.path });
    expect(dump).toBe(cfsctlOk([...repository, "create-dumpfile", "rootfs"], { cwd: dir.path }));
  });
});

describe("create-image", () => {
  test("links an image in each format, and names that of the default one", () => {
    using dir = tempDir();
    mkdirSync(dir.join("tree/usr"), { recursive: true });
    writeFileSync(dir.join("tree/usr/large"), "x".repeat(65));
    cfsctlOk(["--repo", dir.join("r"), "init", "--insecure", "--algorithm", "fsverity-sha256-12"]);
    const meta = JSON.parse(readFileSync(dir.join("r/meta.json"), "utf8"));
    meta.erofs_formats = { default: 1, extra: [2] };
    writeFileSync(dir.join("r/meta.json"), JSON.stringify(meta));
    const id = cfsctlOk(["--repo", dir.join("r"), "create-image", dir.join("tree"), "a/b"]);
    const compute = (version: string) =>
      cfsctlOk(["compute-id", "--erofs-version", version, "--repo", dir.join("r"), dir.join("tree")]);
    expect(id).toBe(`sha256:${compute("1")}`);
    const linked = readdirSync(dir.join("r/images")).filter((name) => name !== "refs");
    expect(linked.sort()).toEqual([compute("1").trim(), compute("2").trim()].sort());
    expect(cfsctlOk(["--repo", dir.join("r"), "images", "--no-trunc"])).toContain(compute("1").trim());
    expect(cfsctlOk(["--repo", dir.join("r"), "fsck", "--deep"])).toContain("status: ok");
  });

  test("checks the name before it stores anything", () => {
    using dir = tempDir();
    mkdirSync(dir.join("tree"));
    writeFileSync(dir.join("tree/large"), "x".repeat(65));
    cfsctlOk(["--repo", dir.join("r"), "init", "--insecure"]);
    const { code, stderr } = cfsctl(["--repo", dir.join("r"), "create-image", dir.join("tree"), "../up"]);
    expect(code).toBe(1);
    expect(stderr).toContain("'../up' must not contain '..'");
    expect(readdirSync(dir.join("r"))).not.toContain("images");
  });
});

describe("directories as they are", () => {
  test("one without /usr keeps the metadata of its root", () => {
    using dir = tempDir();
    const dump = cfsctlOk(["--no-repo", "create-dumpfile", dir.path]);
    expect(dump).toMatch(/^\/ 0 40700 2 \d+ \d+ 0 \d+\.\d+ - - -\n$/);
    expect(cfsctlOk(["--no-repo", "create-dumpfile", "--no-propagate-usr-to-root", dir.path])).toBe(dump);
  });

  test("/run is emptied, unless everything is to stay", () => {
    using dir = tempDir();
    mkdirSync(dir.join("usr"));
    mkdirSync(dir.join("run/lock"), { recursive: true });
    const paths = (...options: string[]) =>
      cfsctlOk(["--no-repo", "create-dumpfile", ...options, dir.path]).match(/^\S+/gm);
    expect(paths()).toEqual(["/", "/run", "/usr"]);
    expect(paths("--no-propagate-usr-to-root")).toEqual(["/", "/run", "/run/lock", "/usr"]);
  });

  test.each([
    ["a symbolic link", "link", /link: Not a directory/],
    ["a file", "file", /file: Not a directory/],
    ["nothing", "nothing", /nothing: No such file or directory/],
  ])("%s is refused", (_, name, message) => {
    using dir = tempDir();
    symlinkSync(".", dir.join("link"));
    writeFileSync(dir.join("file"), "");
    const { code, stdout, stderr } = cfsctl(["--no-repo", "compute-id", dir.join(name)]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(message);
  });

  test("the hash is that of the repository, if there is one", () => {
    using dir = tempDir();
    mkdirSync(dir.join("tree"));
    cfsctlOk(["--repo", dir.join("r"), "init", "--insecure", "--algorithm", "fsverity-sha256-12"]);
    const idLength = (...args: string[]) =>
      cfsctlOk([...args, "compute-id", dir.join("tree")], { env: { HOME: undefined } }).trim().length;
    expect(idLength("--repo", dir.join("r"))).toBe(64);
    expect(idLength("--repo", dir.join("r"), "--hash", "sha512")).toBe(128);
    expect(idLength("--repo", dir.join("r"), "--no-repo")).toBe(128);
    expect(idLength("--repo", dir.join("nothing"))).toBe(128);
    expect(idLength("--user")).toBe(128);
    writeFileSync(dir.join("r/meta.json"), "{");
    const { code, stderr } = cfsctl(["--repo", dir.join("r"), "compute-id", dir.join("tree")]);
    expect(code).toBe(1);
    expect(stderr).toContain("no --hash was given, and that of the repository can't be read");
  });
});

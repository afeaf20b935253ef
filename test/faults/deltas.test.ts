import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CFSCTL, cfsctlOk, type RunResult, run, runCfsctl } from "../support/cfsctl.ts";
import { writeContainersHome } from "../support/containers-home.ts";
import { type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { type RepositoryContent, repositoryContent } from "../support/repository-content.ts";
import { addDelta, type DiffOp, encodeOps, tarDiff } from "../support/tar-diff.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

/** Deltas that are interrupted, or want too much, seen by the built program. */

let scratch: TempDir;
let registry: TestRegistry;
let env: Record<string, string | undefined>;
let whole: RepositoryContent;
let source: WrittenImage;
let target: WrittenImage;
const layout = () => scratch.join("layout");

/** GNU's. */
const TIME = "/usr/bin/time";

const COPIED = noise(2_000_000, 1);
const ADDED = noise(6_000_000, 2);
const OLD_LAYER = { tar: writeTar([directory("usr/"), file("usr/old", COPIED)]) };
const SMALL_TAR = writeTar([file("x", "y")]);
const CHANGED = Array.from({ length: 4 }, (_, i) => noise(1_000_000, 10 + i));

beforeAll(async () => {
  scratch = tempDirInMemory(300e6);
  const layers = [
    { tar: writeTar([directory("usr/"), file("usr/added", ADDED)]) },
    ...CHANGED.map((body, i) => ({
      tar: writeTar([directory("usr/"), file(`usr/copy-${i}`, COPIED), file(`usr/new-${i}`, body)]),
    })),
  ];
  [source, target] = writeLayout(layout(), [
    { tag: "1", layers: [OLD_LAYER] },
    { tag: "2", layers },
  ]) as [WrittenImage, WrittenImage];
  const blobs = layers.map(({ tar }) => {
    const at = tar.indexOf(COPIED);
    const ops: DiffOp[] =
      at < 0
        ? [{ op: "data", bytes: tar }]
        : [
            { op: "data", bytes: tar.subarray(0, at) },
            { op: "open", name: "usr/old" },
            { op: "copy", size: COPIED.length },
            { op: "data", bytes: tar.subarray(at + COPIED.length) },
          ];
    return { blob: tarDiff(1, ops) };
  });
  addDelta({ layout: layout(), source, target, layers: { ...blobs }, tag: "1to2" });
  registry = await startRegistry();
  registry.content.addLayout("os", layout());
  env = writeContainersHome(scratch.join("home"), {
    registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
  });
  const plain = await repositoryWithSource();
  cfsctlOk(["--repo", plain, "oci", "pull", `oci:${layout()}:2`, "new"]);
  whole = repositoryContent(plain, "sha512");
});
afterAll(() => {
  registry[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

async function repositoryWithSource(): Promise<string> {
  const path = scratch.join("repository");
  rmSync(path, { recursive: true, force: true });
  cfsctlOk(["--repo", path, "init", "--insecure"]);
  cfsctlOk(["--repo", path, "oci", "pull", `oci:${layout()}:1`, "old"]);
  return path;
}

const pullArgs = (repository: string, reference = `docker://${registry.host}/os:1to2`) => [
  "--repo",
  repository,
  "oci",
  "pull",
  reference,
  "new",
];

const pull = (repository: string): Promise<RunResult> => runCfsctl(pullArgs(repository), { env });

function names(path: string): string[] {
  return existsSync(path) ? readdirSync(path).sort() : [];
}

function expectWhole(repository: string, { code, stderr }: RunResult): void {
  expect({ code, errors: stderr.split("\n").filter((line) => line.startsWith("cfsctl:")) }).toEqual({
    code: 0,
    errors: [],
  });
  cfsctlOk(["--repo", repository, "gc"]);
  expect(repositoryContent(repository, "sha512")).toEqual(whole);
  expect(names(join(repository, "tmp"))).toEqual([]);
}

/** One sentence, perhaps one of advice; no link is left, and `gc` gives all of the space back. */
function expectRefusal(repository: string, before: RepositoryContent, result: RunResult): string {
  expect([result.code, result.stdout]).toEqual([1, ""]);
  const lines = result.stderr.split("\n").filter((line) => /^(cfsctl: |hint: )/.test(line));
  expect(lines[0]).toStartWith("cfsctl: error: ");
  expect(lines.length).toBeLessThanOrEqual(2);
  expect(repositoryContent(repository, "sha512").links).toEqual(before.links);
  expect(cfsctlOk(["--repo", repository, "fsck"])).toContain("status: ok");
  cfsctlOk(["--repo", repository, "gc"]);
  expect(repositoryContent(repository, "sha512")).toEqual(before);
  expect(names(repository).filter((name) => name.startsWith("."))).toEqual([]);
  expect(names(join(repository, "tmp"))).toEqual([]);
  return lines[0]!;
}

describe("a delta from a registry", () => {
  test("whose transfer is killed is taken up by the next run", async () => {
    const repository = await repositoryWithSource();
    registry.fault(
      "/v2/os/blobs/",
      { bytesPerSecond: 4_000_000 },
      { from: 3, times: Number.POSITIVE_INFINITY },
    );
    for (const after of [300, 700]) {
      const child = Bun.spawn([CFSCTL, ...pullArgs(repository)], {
        env: { ...process.env, ...env },
        stdout: "ignore",
        stderr: "ignore",
      });
      await Bun.sleep(after);
      child.kill("SIGKILL");
      await child.exited;
      expect(child.signalCode).toBe("SIGKILL");
      expect(names(join(repository, "streams", "refs", "oci"))).toEqual(["old"]);
      cfsctlOk(["--repo", repository, "fsck"]);
    }
    registry.clearFaults();
    expectWhole(repository, await pull(repository));
  }, 60_000);

  test("whose connections break goes on", async () => {
    const repository = await repositoryWithSource();
    registry.fault("/v2/os/blobs/", { cutAfter: 700_000 }, { from: 3, times: 5 });
    expectWhole(repository, await pull(repository));
    registry.clearFaults();
  }, 60_000);

  test("that can't be had in full is an error, and costs nothing", async () => {
    const repository = await repositoryWithSource();
    const before = repositoryContent(repository, "sha512");
    registry.fault("/v2/os/blobs/", { status: 404 }, { from: 4, times: Number.POSITIVE_INFINITY });
    const result = await pull(repository);
    registry.clearFaults();
    expect(expectRefusal(repository, before, result)).toMatch(/layer sha256:\w{64}: .*404/);
  }, 60_000);

  test("is fetched one blob at a time, unless jobs are asked for", async () => {
    const peak = async (more: readonly string[], variables: Readonly<Record<string, string>> = {}) => {
      const repository = await repositoryWithSource();
      await using own = await startRegistry({ content: registry.content });
      own.fault("/v2/os/blobs/", { delayMs: 50 }, { times: Number.POSITIVE_INFINITY });
      const args = [...pullArgs(repository, `docker://${own.host}/os:1to2`), "--no-tls-verify", ...more];
      let blobs = 0;
      const timer = setInterval(() => {
        blobs = Math.max(blobs, names(join(repository, "tmp")).length);
      }, 2);
      const result = await runCfsctl(args, { env: { ...env, ...variables } });
      clearInterval(timer);
      expectWhole(repository, result);
      return { connections: own.peakConnections, blobs };
    };
    const one = await peak([]);
    // One that arrives, and one that is applied.
    expect([1, 2]).toContain(one.blobs);
    const makes = await peak([], { MAKEFLAGS: " -j1" });
    expect(makes.connections).toBe(one.connections);
    for (const many of [await peak(["--jobs", "4"]), await peak([], { CFSCTL_JOBS: "4" })]) {
      expect(many.connections).toBeGreaterThan(one.connections);
      expect(many.blobs).toBeLessThanOrEqual(5);
    }
  }, 60_000);
});

interface Refused {
  /** MB. */
  readonly peak: number;
  readonly message: string;
}

/** Gives the program a delta that makes a layer with one small file, or should. */
async function refused(blob: Uint8Array, name: string): Promise<Refused> {
  const folder = scratch.join(name);
  const [first, second] = writeLayout(folder, [
    { tag: "1", layers: [OLD_LAYER] },
    { tag: "2", layers: [{ tar: SMALL_TAR }] },
  ]) as [WrittenImage, WrittenImage];
  addDelta({ layout: folder, source: first, target: second, layers: { 0: { blob } }, tag: "1to2" });
  const repository = await repositoryWithSource();
  const before = repositoryContent(repository, "sha512");
  const command = [CFSCTL, ...pullArgs(repository, `oci:${folder}:1to2`)];
  const timed = existsSync(TIME) ? [TIME, "-f", "peak %M", ...command] : command;
  const result = await run(timed, { env });
  const peak = Number(/peak (\d+)/.exec(result.stderr)?.[1] ?? 0) / 1024;
  return { peak, message: expectRefusal(repository, before, result) };
}

describe("a delta that does not fit", () => {
  test.each<[string, DiffOp[], RegExp]>([
    [
      "more of a file than it has",
      [
        { op: "data", bytes: writeTar([file("x", noise(3_000_000, 1))]).subarray(0, 512) },
        { op: "open", name: "usr/old" },
        { op: "copy", size: COPIED.length + 1 },
      ],
      /2000001 bytes at 0 of the source image's file usr\/old are asked for, which has 2000000$/,
    ],
    [
      "behind the end of a file",
      [
        { op: "open", name: "usr/old" },
        { op: "seek", size: COPIED.length },
        { op: "add", bytes: noise(9, 1) },
      ],
      /9 bytes at 2000000 of .* are asked for, which has 2000000$/,
    ],
    [
      "a missing file",
      [{ op: "open", name: "usr/new" }],
      /usr\/new of the source image: there is no such file$/,
    ],
    [
      "another layer",
      [{ op: "data", bytes: writeTar([file("x", "z")]) }],
      /Layer sha256:\w{64} has incorrect checksum: computed sha256:\w{64}$/,
    ],
    ["a cut layer", [{ op: "data", bytes: SMALL_TAR.subarray(0, 700) }], /unexpected EOF reading tar entry/],
  ])("%s", async (name, ops, expected) => {
    const { message } = await refused(tarDiff(1, ops), name.replaceAll(" ", "-"));
    expect(message).toMatch(expected);
  });

  test("an operation that ends too early", async () => {
    const whole = tarDiff(1, [{ op: "data", bytes: SMALL_TAR }]);
    const { message } = await refused(whole.subarray(0, whole.length - 9), "cut");
    expect(message).toContain("layer sha256:");
  });
});

test("an image for another machine is made, with a warning", async () => {
  const folder = scratch.join("foreign");
  const config = (value: { architecture: string }) => {
    value.architecture = "s390x";
  };
  const [first, second] = writeLayout(folder, [
    { tag: "1", layers: [OLD_LAYER] },
    { tag: "2", layers: [{ tar: SMALL_TAR }], config },
  ]) as [WrittenImage, WrittenImage];
  const blob = tarDiff(1, [{ op: "data", bytes: SMALL_TAR }]);
  addDelta({ layout: folder, source: first, target: second, layers: { 0: { blob } }, tag: "1to2" });
  const repository = await repositoryWithSource();
  const result = await run([CFSCTL, ...pullArgs(repository, `oci:${folder}:1to2`)], { env });
  expect(result.code, result.stderr).toBe(0);
  expect(result.stderr).toContain("cfsctl: warning: the image is for linux/s390x, not for linux/");
  expect(result.stdout).toContain(`manifest ${second.manifest}\n`);
});

describe("a delta that wants too much", () => {
  test.skipIf(!existsSync(TIME))(
    "a gigabyte out of kilobytes, in little memory",
    async () => {
      const zeros = Buffer.alloc(100 * 1024 * 1024);
      const gigabyte = encodeOps(Array.from({ length: 10 }, () => ({ op: "data", bytes: zeros })));
      const blob = Buffer.concat([Buffer.from("tardf1\n\0"), Bun.zstdCompressSync(gigabyte)]);
      expect(blob.length).toBeLessThan(200_000);
      const { peak, message } = await refused(blob, "zeros");
      expect(message).toContain("incorrect checksum");
      expect(peak).toBeLessThan(150);
    },
    60_000,
  );

  test.skipIf(!existsSync(TIME))(
    "a file that claims a gigabyte, made by copying",
    async () => {
      const header = Buffer.from(writeTar([file("x", "")]).subarray(0, 512));
      header.write("10000000000\0", 124);
      header.fill(" ", 148, 156);
      header.write(
        `${header
          .reduce((sum, byte) => sum + byte, 0)
          .toString(8)
          .padStart(6, "0")}\0 `,
        148,
      );
      const copies: DiffOp[] = Array.from({ length: 100 }, () => [
        { op: "seek", size: 0 } as const,
        { op: "copy", size: COPIED.length } as const,
      ]).flat();
      const ops: DiffOp[] = [{ op: "data", bytes: header }, { op: "open", name: "usr/old" }, ...copies];
      const { peak, message } = await refused(tarDiff(1, ops), "copies");
      expect(message).toContain("unexpected EOF reading tar entry");
      expect(peak).toBeLessThan(150);
    },
    60_000,
  );
});

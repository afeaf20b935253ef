import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { type StaticServer, serveFiles } from "../ostree/static-server.ts";
import { CFSCTL, cfsctlOk, type RunResult, runCfsctl } from "../support/cfsctl.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";
import {
  listRepository,
  makeSampleRepository,
  type SampleRepository,
  snapshot,
} from "./sample-repository.ts";

/** The command as people use it, with sources of every kind. */

let scratch: TempDir;
let sample: SampleRepository;
let pristine: string[];
let path: string;
let server: StaticServer;

beforeAll(async () => {
  scratch = tempDirInMemory(64 << 20);
  sample = await makeSampleRepository(scratch.path, "sha256");
  pristine = snapshot(sample.path);
  cfsctlOk(["--repo", sample.path, "publish", scratch.join("published")]);
  server = await serveFiles(scratch.join("published"));
  path = scratch.join("damaged");
});
afterAll(() => {
  server[Symbol.dispose]();
  scratch[Symbol.dispose]();
});
beforeEach(() => {
  server.fault = undefined;
  rmSync(path, { recursive: true, force: true });
  expect(Bun.spawnSync(["cp", "-a", sample.path, path]).success).toBe(true);
});

const repair = (...args: string[]): Promise<RunResult> =>
  runCfsctl(["--repo", path, "fsck", "--repair", ...args]);
const deepCheck = () => runCfsctl(["--repo", path, "fsck", "--deep"]);

/** The objects that a ref needs and nothing else does. */
function objectsOnlyOf(wanted: string): string[] {
  const others = sample.refs.filter((ref) => ref !== wanted).flatMap((ref) => [...sample.needs.get(ref)!]);
  return [...sample.needs.get(wanted)!].filter(
    (name) => name.startsWith("objects/") && !others.includes(name),
  );
}

/** Damages every third object, drops every third, and the same with links. */
function damageMuch(): void {
  for (const [i, name] of sample.objects.entries()) {
    if (i % 3 === 0) rmSync(join(path, name));
    if (i % 3 === 1) truncateSync(join(path, name), 10);
  }
  for (const [i, name] of [...sample.entries, ...sample.refs].entries()) {
    if (i % 4 === 0) rmSync(join(path, name));
    if (i % 4 !== 1) continue;
    rmSync(join(path, name));
    symlinkSync("nowhere", join(path, name));
  }
}

/** `damageMuch` removes refs; a repair brings back what something leads to, and nothing else can be known of. */
const isLost = (line: string) => line.includes("/refs/");

describe("from another copy", () => {
  const expectWhole = async ({ code, stdout }: RunResult) => {
    expect(stdout).toContain("status: ok");
    expect(code).toBe(0);
    expect((await deepCheck()).code).toBe(0);
  };

  test("a repository", async () => {
    damageMuch();
    expect((await deepCheck()).code).toBe(1);
    await expectWhole(await repair("--yes", "--from", sample.path));
    for (const line of snapshot(path)) expect(pristine).toContain(line);
  });

  test("one made by publish, over HTTP", async () => {
    for (const name of sample.objects.slice(0, 5)) truncateSync(join(path, name), 3);
    rmSync(join(path, sample.entries[0]!));
    const ref = sample.refs.find((name) => name.endsWith("os/tree"))!;
    rmSync(join(path, ref));
    symlinkSync("nowhere", join(path, ref));
    const result = await repair("--from", server.url);
    expect(result.stdout).toContain(`restored ${sample.objects[0]} from ${server.url}\n`);
    await expectWhole(result);
    expect(snapshot(path)).toEqual(pristine);
  });

  test("much damage, over HTTP", async () => {
    damageMuch();
    await expectWhole(await repair("--yes", "--from", server.url));
    const left = snapshot(path);
    for (const line of left) expect(pristine).toContain(line);
    const gone = pristine.filter((line) => !left.includes(line));
    expect(gone.filter((line) => !isLost(line) && line.startsWith("objects"))).toEqual([]);
  });

  test("the files of a repository, by a server that knows of no index", async () => {
    using plain = await serveFiles(sample.path);
    const [broken, gone] = sample.objects;
    truncateSync(join(path, broken!), 3);
    rmSync(join(path, gone!));
    const layer = sample.entries.find((name) => name.includes("oci-layer-"))!;
    rmSync(join(path, layer));
    await expectWhole(await repair("--from", plain.url));
    expect(snapshot(path)).toEqual(pristine);
  });

  test("nothing damaged comes from a copy, and what another one has is asked of that", async () => {
    const [first] = sample.objects;
    rmSync(join(path, first!));
    server.fault = (target, _, answer) =>
      target === `/${first}` ? { ...answer, body: Buffer.alloc(20, "x") } : undefined;
    const refused = await repair("--from", server.url);
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain("missing");
    expect(listRepository(path)).not.toContain(first!);
    await expectWhole(await repair("--from", server.url, "--from", sample.path));
    expect(snapshot(path)).toEqual(pristine);
  });

  test("a server that can't be reached is named, and does not keep others from helping", async () => {
    rmSync(join(path, sample.objects[0]!));
    server.fault = () => ({ status: 403 });
    const refused = await repair("--from", server.url);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(server.url);
    const helped = await repair("--from", server.url, "--from", sample.path);
    expect(helped.stderr).toContain(server.url);
    await expectWhole(helped);
  });

  test("one with other digests is refused", async () => {
    const other = scratch.join("other");
    cfsctlOk(["--repo", other, "init", "--insecure"]);
    mkdirSync(join(other, "objects"), { recursive: true });
    cfsctlOk(["--repo", other, "publish", scratch.join("published-other")]);
    using published = await serveFiles(scratch.join("published-other"));
    rmSync(join(path, sample.objects[0]!));
    for (const source of [other, published.url]) {
      const { code, stderr } = await repair("--from", source);
      expect(code).toBe(1);
      expect(stderr).toContain("fsverity-sha512-12");
    }
    rmSync(other, { recursive: true });
  });

  test.each(["/nonexistent", "ftp://host/path", "http://me:secret@"])("%s is no source", async (source) => {
    const { code, stderr } = await repair("--from", source);
    expect(code).toBe(1);
    expect(stderr).not.toContain("secret");
  });
});

describe("from where images and commits were pulled", () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startRegistry();
    registry.content.addLayout("team/app", sample.layout);
  });
  afterAll(() => registry[Symbol.asyncDispose]());

  test("a registry is asked for every image that lacks something, by its digest", async () => {
    const ofOne = objectsOnlyOf("streams/refs/oci/two");
    const layers = sample.entries.filter((name) => name.includes("oci-layer-"));
    expect(ofOne.length).toBeGreaterThan(0);
    for (const name of ofOne) rmSync(join(path, name));
    for (const name of layers) rmSync(join(path, name));
    const result = await repair("--no-tls-verify", "--from", `docker://${registry.host}/team/app:one`);
    expect(result.stdout).toContain("pulled sha256:");
    expect(result.code).toBe(0);
    expect(snapshot(path)).toEqual(pristine);
  });

  test("a layout", async () => {
    for (const name of objectsOnlyOf("streams/refs/oci/two")) truncateSync(join(path, name), 1);
    const result = await repair("--from", `oci:${sample.layout}:two`);
    expect(result.stdout).toContain(` from oci:${sample.layout}:two\n`);
    expect(result.code).toBe(0);
    expect(snapshot(path)).toEqual(pristine);
  });

  test("an ostree repository", async () => {
    const objects = objectsOnlyOf(sample.refs.find((name) => name.includes("ostree"))!);
    expect(objects.length).toBeGreaterThan(0);
    for (const name of objects) rmSync(join(path, name));
    const result = await repair("--from", `ostree:${sample.ostree}`);
    expect(result.stdout).toContain("pulled ");
    expect(result.code).toBe(0);
    expect(snapshot(path)).toEqual(pristine);
  });
});

describe("what is taken away", () => {
  test("dangling refs and strays, with consent only", async () => {
    const ref = "streams/refs/oci/nowhere";
    symlinkSync("../../no-such-stream", join(path, ref));
    writeFileSync(join(path, "objects/stray"), "not an object");
    writeFileSync(join(path, "streams/note"), "not a link");
    const before = snapshot(path);
    const refused = await repair("--from", sample.path);
    expect(refused.code).toBe(1);
    for (const name of [ref, "objects/stray", "streams/note"])
      expect(refused.stderr).toContain(`taken away only with --yes: ${name}\n`);
    expect(snapshot(path)).toEqual(before);
    const json = JSON.parse((await repair("--json")).stdout);
    expect(json).toMatchObject({ ok: false, actions: [], affected: [ref] });
    expect(json.needs_consent.sort()).toEqual(["objects/stray", "streams/note", ref]);

    const done = await repair("--yes");
    expect(done.stdout).toContain(`dropped ${ref} -> ../../no-such-stream\n`);
    expect(done.stdout).toContain("moved objects/stray to lost+found/objects/stray\n");
    expect(done.code).toBe(0);
    expect(snapshot(path)).toEqual(pristine);
    expect(readFileSync(join(path, "lost+found/objects/stray"), "utf8")).toBe("not an object");
  });

  test("no ref that a source can mend", async () => {
    const ref = sample.refs.find((name) => name.endsWith("oci/two"))!;
    const entry = join("streams", basename(readlinkSync(join(path, ref))));
    rmSync(join(path, entry));
    expect((await repair("--yes", "--from", sample.path)).code).toBe(0);
    expect(snapshot(path)).toEqual(pristine);
  });

  test("damaged objects that no source has stay as they are", async () => {
    const name = objectsOnlyOf("images/refs/os/tree")[0]!;
    truncateSync(join(path, name), 1);
    const before = snapshot(path);
    const { code, stderr } = await repair("--yes");
    expect(code).toBe(1);
    expect(stderr).toContain("affected: images/refs/os/tree\n");
    expect(snapshot(path)).toEqual(before);
  });
});

test("a damaged object that no ref needs goes, with consent", async () => {
  const name = `objects/00/${"0".repeat(62)}`;
  mkdirSync(join(path, "objects/00"), { recursive: true });
  writeFileSync(join(path, name), "of no use");
  const { code, stderr } = await repair();
  expect({ code, told: stderr.includes(`taken away only with --yes: ${name}\n`) }).toEqual({
    code: 1,
    told: true,
  });
  expect((await repair("--yes")).code).toBe(0);
  expect(snapshot(path)).toEqual(pristine);
});

test("an interrupted repair can be run again, and two do not run at a time", async () => {
  const [first, second] = sample.objects;
  truncateSync(join(path, first!), 3);
  rmSync(join(path, second!));
  const asked = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  server.fault = async (target) => {
    if (target !== `/${second}`) return undefined;
    asked.resolve();
    await go.promise;
    return undefined;
  };
  const child = Bun.spawn([CFSCTL, "--repo", path, "fsck", "--repair", "--from", server.url], {
    stdout: "ignore",
    stderr: "ignore",
  });
  await asked.promise;
  const beside = await repair("--from", sample.path);
  expect(beside.stderr).toContain("is being repaired by another process");
  child.kill("SIGKILL");
  await child.exited;
  go.resolve();
  server.fault = undefined;
  expect((await repair("--from", server.url)).code).toBe(0);
  expect(snapshot(path)).toEqual(pristine);
});

test("a healthy repository is left alone", async () => {
  const healthy = await repair("--yes");
  expect(healthy.code).toBe(0);
  expect(healthy.stdout).toStartWith("meta.json: ok\n");
  expect(snapshot(path)).toEqual(pristine);
});

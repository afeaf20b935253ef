import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { HashName } from "../../src/verity/digest.ts";
import { CFSCTL } from "../support/cfsctl.ts";
import type { WrittenImage } from "../support/oci-layout.ts";
import { PROJECT } from "../support/project.ts";
import { findReference } from "../support/reference.ts";
import { listObjects, repositoryContent } from "../support/repository-content.ts";
import { writeSampleLayout } from "../support/sample-images.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

const REFERENCE = findReference();
if (REFERENCE === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");

type Who = "cfsctl" | "reference";
const BINARY: Record<Who, string> = { cfsctl: CFSCTL, reference: REFERENCE ?? "" };
const BOTH: readonly Who[] = ["cfsctl", "reference"];
const HASHES: HashName[] = ["sha256", "sha512"];

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of the two programs; stdout has one character a byte. */
function run(who: Who, repository: string, args: readonly string[], stdin?: Uint8Array): Outcome {
  const result = Bun.spawnSync([BINARY[who], "--repo", repository, ...args], {
    cwd: scratch.path,
    stdin: stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return {
    code: result.exitCode,
    stdout: result.stdout.toString("latin1"),
    stderr: result.stderr.toString(),
  };
}

function ok(who: Who, repository: string, ...args: string[]): string {
  const { code, stdout, stderr } = run(who, repository, args);
  if (code !== 0) throw new Error(`${who} ${args.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}

/** Both programs find nothing wrong, and say so in the same words; `oci fsck` is `fsck` and more. */
function expectHealthy(repository: string): void {
  const [ours, theirs] = BOTH.map((who) => run(who, repository, ["oci", "fsck"]));
  expect(ours).toEqual(theirs!);
  expect(ours!.stdout).toContain("status: ok");
  expect({ code: ours!.code, stderr: ours!.stderr }).toEqual({ code: 0, stderr: "" });
}

/** The output of a pull but for the id of the manifest's stream, which is random in the reference. */
function pull(who: Who, repository: string, reference: string, name: string): string[] {
  return ok(who, repository, "oci", "pull", reference, name)
    .split("\n")
    .filter((line) => !line.startsWith("verity "));
}

const other = (who: Who): Who => (who === "cfsctl" ? "reference" : "cfsctl");

let scratch: TempDir;
let images: Record<"many" | "odd" | "sparse", WrittenImage>;
const LAYOUT = "layout";

beforeAll(() => {
  scratch = tempDirInMemory(1e9);
  images = writeSampleLayout(scratch.join(LAYOUT));
});
afterAll(() => scratch[Symbol.dispose]());

function newRepository(who: Who, hash: HashName, name: string): string {
  const path = scratch.join(name);
  rmSync(path, { recursive: true, force: true });
  ok(who, path, "init", "--insecure", "--algorithm", `fsverity-${hash}-12`);
  return path;
}

/** Pulls, tags, untags and collects; `who` says who does the n-th step. Calls `check` after each. */
function work(repository: string, who: (step: number) => Who, check: () => void): string[][] {
  const said: string[][] = [];
  let step = 0;
  const next = (action: (by: Who) => string[]) => {
    said.push(action(who(step++)));
    check();
  };
  const plain =
    (...args: string[]) =>
    (by: Who) =>
      ok(by, repository, ...args).split("\n");
  next((by) => pull(by, repository, `oci:${LAYOUT}:many`, "registry.example/many:1"));
  next((by) => pull(by, repository, `oci:${LAYOUT}:odd`, "odd"));
  next(plain("oci", "tag", images.many.manifest, "a/b%c"));
  next((by) => pull(by, repository, `oci:${LAYOUT}:many`, "odd"));
  next(plain("oci", "untag", "registry.example/many:1"));
  next((by) => pull(by, repository, `oci:${LAYOUT}:odd`, "odd"));
  next((by) => {
    ok(by, repository, "gc");
    return [];
  });
  next(plain("oci", "untag", "a/b%c"));
  next((by) => {
    ok(by, repository, "gc");
    return [];
  });
  next((by) => pull(by, repository, `oci:${LAYOUT}:many`, "many"));
  next((by) => {
    ok(by, repository, "gc");
    return [];
  });
  return said;
}

describe.skipIf(REFERENCE === undefined).each(HASHES)("a %s repository", (hash) => {
  test("is the same after the same steps by either program, or by both in turn", () => {
    const byUs = newRepository("cfsctl", hash, "by-us");
    const byThem = newRepository("reference", hash, "by-them");
    const inTurn = newRepository("cfsctl", hash, "in-turn");
    const inOtherTurn = newRepository("reference", hash, "in-other-turn");
    const healthy = (repository: string) => () => expectHealthy(repository);
    const said = work(byUs, () => "cfsctl", healthy(byUs));
    expect(work(byThem, () => "reference", healthy(byThem))).toEqual(said);
    const turn = (first: Who) => (step: number) => (step % 2 === 0 ? first : other(first));
    expect(work(inTurn, turn("cfsctl"), healthy(inTurn))).toEqual(said);
    expect(work(inOtherTurn, turn("reference"), healthy(inOtherTurn))).toEqual(said);

    const content = repositoryContent(byUs, hash);
    expect(content.objects.length).toBeGreaterThan(400);
    for (const path of [byThem, inTurn, inOtherTurn]) {
      expect(repositoryContent(path, hash)).toEqual(content);
      expect(readFileSync(join(path, "meta.json"), "utf8")).toBe(
        readFileSync(join(byUs, "meta.json"), "utf8"),
      );
    }
  }, 120_000);

  test.each(BOTH)(
    "filled by %s is read alike",
    (who) => {
      const repository = newRepository(who, hash, "read");
      for (const tag of ["many", "odd"]) ok(who, repository, "oci", "pull", `oci:${LAYOUT}:${tag}`, tag);
      ok(who, repository, "oci", "tag", images.odd.manifest, "second name/of:it");
      const erofs = ok(who, repository, "oci", "compute-id", "many").trim();
      expect(readlinkSync(join(repository, "images", erofs))).toBe(
        `../objects/${erofs.slice(0, 2)}/${erofs.slice(2)}`,
      );
      run(who, repository, ["import-image", "my-image"], readFileSync(join(repository, "images", erofs)));
      const sameLines = [
        ...["many", "odd", `@${images.many.config}`].flatMap((name) => [
          ["oci", "dump", name],
          ["oci", "dump", "--xattrs", "keep-user-xattrs", name],
          ["oci", "compute-id", name],
          ["oci", "compute-id", "--xattrs", "keep-user-xattrs", name],
          ["--erofs-version", "0", "oci", "compute-id", name],
          ["--erofs-version", "2", "oci", "compute-id", name],
        ]),
        ...images.many.layers.slice(0, 3).flatMap(({ diffId }) => [
          ["oci", "layer", diffId],
          ["oci", "layer", "--json", diffId],
          ["oci", "layer", "--dumpfile", diffId],
          ["cat", `oci-layer-${diffId}`],
        ]),
        ["oci", "inspect", "many"],
        ["fsck"],
        ["oci", "inspect", "--manifest", "odd"],
        ["oci", "inspect", "--config", `@${images.odd.manifest}`],
        ["oci", "fsck", "many"],
        ["oci", "fsck", "--json"],
        ["fsck", "--json"],
        ["gc", "--dry-run"],
        ["oci", "linked-erofs-images", erofs],
        ["cat", `oci-manifest-${images.many.manifest}`],
      ];
      const anyOrder = [
        ["oci", "images"],
        ["images", "--no-trunc"],
        ["image-objects", erofs],
        ["image-objects", "refs/my-image"],
        ["image-objects", "my-image"],
      ];
      for (const args of sameLines) {
        const theirs = run("reference", repository, args);
        expect(theirs.code, args.join(" ")).toBe(0);
        const ours = run("cfsctl", repository, args);
        // large outputs would make the report of a difference unreadable
        if (ours.stdout !== theirs.stdout)
          expect(firstDifference(ours.stdout, theirs.stdout), args.join(" ")).toEqual([]);
        expect(ours.code, args.join(" ")).toBe(0);
      }
      for (const args of anyOrder) {
        const lines = (by: Who) =>
          ok(by, repository, ...args)
            .replaceAll("},\n", "}\n")
            .split("\n")
            .sort();
        expect(lines("cfsctl"), args.join(" ")).toEqual(lines("reference"));
      }
      // ours tells more of each image
      const listed = (by: Who) =>
        (JSON.parse(ok(by, repository, "oci", "images", "--json")).images as { name: string }[]).sort(
          (a, b) => (a.name < b.name ? -1 : 1),
        );
      expect(listed("cfsctl")).toMatchObject(listed("reference"));
    },
    120_000,
  );

  test.each(BOTH)(
    "filled by %s is cleaned alike",
    (who) => {
      const repository = newRepository(who, hash, "clean");
      for (const tag of ["many", "odd"]) ok(who, repository, "oci", "pull", `oci:${LAYOUT}:${tag}`, tag);
      ok(who, repository, "oci", "untag", "many");
      for (const args of [
        ["gc"],
        ["gc", "--root", `oci-layer-${images.many.layers[1]!.diffId}`],
        ["gc", "--root", `oci-manifest-${images.many.manifest}`, "--dry-run"],
      ]) {
        const results = BOTH.map((by) => {
          const copy = scratch.join("copy");
          cpSync(repository, copy, { recursive: true, verbatimSymlinks: true });
          const said = ok(by, copy, ...args);
          const objects = listObjects(copy);
          expectHealthy(copy);
          const content = repositoryContent(copy, hash);
          rmSync(copy, { recursive: true });
          return { said, objects, content };
        });
        expect(results[0]!).toEqual(results[1]!);
      }
    },
    60_000,
  );

  test("takes large files without content", () => {
    const [ours, theirs] = BOTH.map((who) => {
      const repository = newRepository(who, hash, "sparse");
      const said = pull(who, repository, `oci:${LAYOUT}:sparse`, "sparse");
      ok(other(who), repository, "oci", "fsck");
      ok(other(who), repository, "gc");
      return { said, content: repositoryContent(repository, hash) };
    });
    expect(ours!).toEqual(theirs!);
  }, 60_000);

  test("half filled by one is completed by the other", () => {
    for (const who of BOTH) {
      const repository = newRepository(who, hash, "half");
      const { diffId } = images.many.layers[1]!;
      const layer = Bun.zstdDecompressSync(
        readFileSync(scratch.join(LAYOUT, "blobs", ...images.many.layers[1]!.digest.split(":"))),
      );
      run(who, repository, ["oci", "import-layer", diffId, "kept/layer"], layer);
      pull(who, repository, `oci:${LAYOUT}:odd`, "odd");
      ok(who, repository, "oci", "untag", "odd");
      pull(other(who), repository, `oci:${LAYOUT}:many`, "many");
      pull(other(who), repository, `oci:${LAYOUT}:odd`, "odd");
      expectHealthy(repository);
      ok(who, repository, "gc");
      expectHealthy(repository);
    }
  }, 60_000);

  test("in which an object is lost is healed by a pull, as the reference confirms", () => {
    const repository = newRepository("reference", hash, "lost");
    pull("reference", repository, `oci:${LAYOUT}:many`, "many");
    ok("reference", repository, "gc");
    const before = repositoryContent(repository, hash);
    const largest = before.objects
      .map((line) => line.split(" "))
      .sort((a, b) => Number(b[1]) - Number(a[1]))[0]!;
    rmSync(join(repository, "objects", largest[0]!));
    expect(run("cfsctl", repository, ["fsck"]).code).toBe(1);
    pull("cfsctl", repository, `oci:${LAYOUT}:many`, "many");
    expectHealthy(repository);
    ok("cfsctl", repository, "gc");
    expect(repositoryContent(repository, hash)).toEqual(before);
  }, 60_000);
});

function firstDifference(ours: string, theirs: string): string[] {
  const [a, b] = [ours.split("\n"), theirs.split("\n")];
  const at = a.findIndex((line, i) => line !== b[i]);
  const cut = (line: string | undefined) => (line ?? "(end)").slice(0, 500);
  return at < 0 ? [`${a.length} lines`, `${b.length} lines`] : [`line ${at + 1}`, cut(a[at]), cut(b[at])];
}

/** The reference may count a layer that comes twice once or twice, as its threads go. */
const SAME_LAYER_TWICE = ["same-layer-twice", "empty-layers"];
const IMAGES = join(PROJECT, "fixtures", "oci", "images");
/** Faults that the reference does not see. */
const ONLY_THEY_ACCEPT = ["diffid-mismatch", "layer-tampered", "config-tampered", "manifest-tampered"];

describe.skipIf(REFERENCE === undefined)("every stored image that the reference accepts", () => {
  test("gives the same repository", () => {
    const expected: Record<string, { pull: { sha256: { exit: number } } }> = JSON.parse(
      readFileSync(join(IMAGES, "expected.json"), "utf8"),
    );
    const names = Object.keys(expected).filter(
      (name) => expected[name]!.pull.sha256.exit === 0 && !ONLY_THEY_ACCEPT.includes(name),
    );
    expect(names.length).toBeGreaterThan(25);
    const repositories = BOTH.map((who) => {
      const repository = newRepository(who, "sha256", `all-${who}`);
      const said = names.map((name) =>
        pull(who, repository, `oci-archive:${IMAGES}/${name}.tar:t`, name).filter(
          (line) => !(SAME_LAYER_TWICE.includes(name) && line.startsWith("objects ")),
        ),
      );
      expectHealthy(repository);
      ok(who, repository, "gc");
      expectHealthy(repository);
      return { said, content: repositoryContent(repository, "sha256") };
    });
    expect(repositories[0]!).toEqual(repositories[1]!);
  }, 60_000);
});

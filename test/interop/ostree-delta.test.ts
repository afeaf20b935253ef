import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { tempDir } from "../support/temp.ts";

const testWithOstree = testNeeding({ tool: "ostree" });

function ostree(...args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["ostree", ...args]);
  if (exitCode !== 0) throw new Error(`ostree ${args.join(" ")}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

/** Numbers that are always the same. */
function* numbers(seed: number): Generator<number> {
  for (let x = seed; ; ) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    yield x >>> 12;
  }
}

/** A tree of texts and something like programs; the second one is an update of the first. */
function makeTree(path: string, version: 1 | 2): void {
  for (const directory of ["usr/bin", "usr/share/doc"]) mkdirSync(join(path, directory), { recursive: true });
  const random = numbers(1);
  const next = () => random.next().value as number;
  for (let i = 0; i < 120; i++) {
    const words = Array.from({ length: next() % 1000 }, () => `word${next() % 300}`);
    if (version === 2 && i % 4 === 0) words.splice(words.length >> 1, 2, `changed ${i}`, "and", "longer");
    if (version === 2 && i % 10 === 3) continue;
    writeFileSync(join(path, `usr/share/doc/file-${i}`), words.join(" "));
  }
  const program = Buffer.from(Uint8Array.from({ length: 1_500_000 }, () => next() >>> 4));
  if (version === 2) for (let at = 1000; at < program.length; at += 5000) program.writeUInt32LE(at, at);
  writeFileSync(join(path, "usr/bin/program"), program);
  writeFileSync(join(path, `usr/bin/new-${version}`), program.subarray(0, 200_000 * version));
  writeFileSync(join(path, "usr/bin/empty"), "");
  writeFileSync(join(path, `usr/bin/zeros-${version}`), new Uint8Array(500_000 * version));
  symlinkSync("program", join(path, `usr/bin/link-${version}`));
}

interface Made extends Disposable {
  readonly archive: string;
  readonly old: string;
  readonly young: string;
  join(...parts: string[]): string;
}

function makeArchive(): Made {
  const directory = tempDir();
  const archive = directory.join("archive");
  ostree("init", `--repo=${archive}`, "--mode=archive");
  const commit = (version: 1 | 2) => {
    makeTree(directory.join(`tree-${version}`), version);
    const time = `--timestamp=2024-01-0${version}T00:00:00Z`;
    return ostree(
      "commit",
      `--repo=${archive}`,
      "-b",
      "main",
      "--canonical-permissions",
      time,
      directory.join(`tree-${version}`),
    );
  };
  const old = commit(1);
  const young = commit(2);
  return { archive, old, young, join: directory.join, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("deltas that cfsctl makes", () => {
  for (const mode of ["bare-user", "bare-user-only"]) {
    for (const inline of [[], ["--inline"]]) {
      testWithOstree(
        `are applied by ostree, ${mode} ${inline.join()}`,
        () => {
          using made = makeArchive();
          const { archive, old, young } = made;
          const target = made.join("target");
          ostree("init", `--repo=${target}`, `--mode=${mode}`);
          for (const [from, to] of [
            ["-", old],
            [old, young],
          ] as const) {
            const command = [
              "ostree",
              "delta",
              "create",
              archive,
              from,
              to,
              "--min-fallback-size",
              "0",
              "--json",
              ...inline,
            ];
            const { path } = JSON.parse(cfsctlOk(command)) as { path: string };
            const delta = join(archive, path);
            expect(readdirSync(delta).includes("0")).toBe(inline.length === 0);
            ostree(
              "static-delta",
              "apply-offline",
              `--repo=${target}`,
              inline.length > 0 ? join(delta, "superblock") : delta,
            );
            ostree("refs", `--repo=${target}`, "--create", `ref-${to}`, to);
          }
          ostree("fsck", `--repo=${target}`);
          expect(ostree("ls", `--repo=${target}`, "-RXC", young)).toBe(
            ostree("ls", `--repo=${archive}`, "-RXC", young),
          );
        },
        60_000,
      );
    }
  }

  testWithOstree(
    "are pulled by ostree from a server",
    async () => {
      using made = makeArchive();
      const { archive, old, young } = made;
      cfsctlOk(["ostree", "delta", "create", archive, "-", old, "--min-fallback-size", "1"]);
      cfsctlOk(["ostree", "delta", "create", archive, old, young]);
      ostree("summary", "-u", `--repo=${archive}`);
      const requests: string[] = [];
      await using server = Bun.serve({
        port: 0,
        fetch(request) {
          const { pathname } = new URL(request.url);
          requests.push(pathname);
          const file = Bun.file(join(archive, decodeURIComponent(pathname)));
          return file.exists().then((is) => (is ? new Response(file) : new Response("", { status: 404 })));
        },
      });
      const target = made.join("target");
      ostree("init", `--repo=${target}`, "--mode=bare-user");
      ostree("remote", "add", `--repo=${target}`, "--no-gpg-verify", "origin", String(server.url));
      for (const commit of [old, young]) {
        const child = Bun.spawn([
          "ostree",
          "pull",
          `--repo=${target}`,
          "--require-static-deltas",
          "origin",
          `main@${commit}`,
        ]);
        expect(await child.exited).toBe(0);
      }
      ostree("fsck", `--repo=${target}`);
      // While parts are on their way, ostree also fetches files that will be in them: of its own deltas as well.
      expect(requests.filter((path) => /^\/deltas\/.*\/(superblock|0)$/.test(path)).length).toBe(4);
    },
    60_000,
  );

  testWithOstree(
    "are smaller than those of ostree, or not much larger",
    () => {
      using made = makeArchive();
      const { archive, old, young } = made;
      for (const from of ["-", old]) {
        const command = [
          "ostree",
          "delta",
          "create",
          archive,
          from,
          young,
          "--min-fallback-size",
          "0",
          "--inline",
          "--json",
        ];
        const { size } = JSON.parse(cfsctlOk(command)) as { size: number };
        const name = made.join(`by-ostree${from}`);
        const base = from === "-" ? "--empty" : `--from=${from}`;
        ostree(
          "static-delta",
          "generate",
          `--repo=${archive}`,
          base,
          `--to=${young}`,
          "--min-fallback-size=0",
          "--inline",
          `--filename=${name}`,
        );
        expect(size).toBeLessThan(Bun.file(name).size * 1.2);
      }
    },
    60_000,
  );
});

describe("deltas that ostree makes", () => {
  const variants: readonly (readonly string[])[] = [
    [],
    ["--inline"],
    ["--disable-bsdiff"],
    ["--swap-endianness", "--max-chunk-size=1"],
  ];
  for (const options of variants) {
    testWithOstree(
      `bring what a pull brings ${options.join(" ")}`,
      () => {
        using made = makeArchive();
        const { archive, old, young } = made;
        const byDelta = made.join("by-delta");
        const byObjects = made.join("by-objects");
        const lines = (text: string) => text.split("\n").slice(0, 3);
        for (const path of [byDelta, byObjects]) cfsctlOk(["--repo", path, "init", "--insecure"]);
        for (const [from, to] of [
          [undefined, old],
          [old, young],
        ] as const) {
          const directory = made.join(`delta-${to}`);
          mkdirSync(directory);
          const name = join(directory, "superblock");
          const base = from === undefined ? "--empty" : `--from=${from}`;
          ostree(
            "static-delta",
            "generate",
            `--repo=${archive}`,
            base,
            `--to=${to}`,
            "--min-fallback-size=0",
            `--filename=${name}`,
            ...options,
          );
          const applied = cfsctlOk(["--repo", byDelta, "ostree", "apply-delta", name]);
          const pulled = cfsctlOk(["--repo", byObjects, "ostree", "pull-local", archive, to]);
          expect(lines(applied)).toEqual(lines(pulled));
        }
        expect(cfsctl(["--repo", byDelta, "ostree", "fsck"]).stdout).toContain("ostree commits: 2/2 ok");
      },
      60_000,
    );
  }
});

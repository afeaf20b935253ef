import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { PROJECT } from "./support/project.ts";

const SRC = join(PROJECT, "src");

/** Layers from the ground up: a file may import from its own folder and from layers below. */
const LAYERS: readonly (readonly string[])[] = [
  ["errors", "bytes", "mode", "types.d", "worker-url", "progress", "lazy"],
  ["sys", "verity", "compress", "signature", "similarity"],
  ["splitstream", "erofs", "tree", "tar"],
  ["parallel"],
  ["repository", "http"],
  ["oci", "ostree"],
  ["published"],
  ["mount", "boot", "repair"],
  ["varlink", "cli"],
  ["main", "worker"],
];

/** Folders of one layer that use each other, in the given direction only. */
const SIDEWAYS: ReadonlySet<string> = new Set([
  "erofs → tree",
  "sys → verity",
  "compress → sys",
  "tar → tree",
  "boot → mount",
  "cli → varlink",
]);

/** Formats: memory in, memory out. */
const PURE: ReadonlySet<string> = new Set([
  "erofs",
  "signature",
  "similarity",
  "splitstream",
  "tar",
  "verity",
]);

/** Modules that reach outside of the program's memory. */
const OUTSIDE = /^(node:(fs|net|http|https|child_process|dgram|dns|tls|os)(\/.*)?|bun:ffi|bun:sqlite)$/;

/** Layers where each folder is one unit. The first part of a path below src, without its extension. */
const unitOf = (path: string) => relative(SRC, path).split("/")[0]!.replace(/\.ts$/, "");
const levelOf = (unit: string) => LAYERS.findIndex((units) => units.includes(unit));

interface Import {
  readonly from: string;
  readonly specifier: string;
  /** Absolute path, or undefined for a package. */
  readonly target: string | undefined;
}

const transpiler = new Bun.Transpiler({ loader: "ts" });

function importsOf(path: string): Import[] {
  const source = readFileSync(path, "utf8");
  // the transpiler leaves out imports of types, which point somewhere as well
  const typeImports = [...source.matchAll(/^(?:import|export) type [^;]*? from "([^"]+)"/gm)].map(
    (m) => m[1]!,
  );
  const specifiers = [...transpiler.scanImports(source).map((i) => i.path), ...typeImports];
  return specifiers.map((specifier) => ({
    from: path,
    specifier,
    target: specifier.startsWith(".") ? join(dirname(path), specifier) : undefined,
  }));
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(SRC, name))
  .filter((path) => statSync(path).isFile());
const imports = files.flatMap(importsOf);
const show = ({ from, specifier }: Import) => `${relative(PROJECT, from)} imports ${specifier}`;

describe("architecture", () => {
  test("every folder has its layer", () => {
    const unknown = new Set(files.map(unitOf).filter((unit) => levelOf(unit) < 0));
    expect([...unknown]).toEqual([]);
  });

  test("imports point to the own folder or to a layer below", () => {
    const wrong = imports.filter(({ from, target }) => {
      if (target === undefined || target === join(PROJECT, "package.json")) return false;
      const [a, b] = [unitOf(from), unitOf(target)];
      return a !== b && levelOf(b) >= levelOf(a) && !SIDEWAYS.has(`${a} → ${b}`);
    });
    expect(wrong.map(show)).toEqual([]);
  });

  test("neighbours use each other one way at most", () => {
    for (const pair of SIDEWAYS) expect(SIDEWAYS.has(pair.split(" → ").reverse().join(" → "))).toBe(false);
  });

  test("only src/sys calls the kernel through bun:ffi", () => {
    const wrong = imports.filter((i) => i.specifier === "bun:ffi" && unitOf(i.from) !== "sys");
    expect(wrong.map(show)).toEqual([]);
  });

  test("formats are pure", () => {
    const wrong = imports.filter(
      ({ from, specifier, target }) =>
        PURE.has(unitOf(from)) &&
        (OUTSIDE.test(specifier) || (target !== undefined && unitOf(target) === "sys")),
    );
    expect(wrong.map(show)).toEqual([]);
  });

  test("only the output module writes to the terminal", () => {
    const writers = files.filter((path) =>
      /\bconsole\.|process\.(stdout|stderr)\.write/.test(readFileSync(path, "utf8")),
    );
    expect(writers.map((path) => relative(PROJECT, path))).toEqual([]);
  });

  test("every dependency is used, and only by its own module", () => {
    const { dependencies } = require(join(PROJECT, "package.json")) as {
      dependencies: Record<string, string>;
    };
    for (const name of Object.keys(dependencies)) {
      const users = new Set(imports.filter((i) => i.specifier === name).map((i) => unitOf(i.from)));
      expect({ name, folders: users.size }).toEqual({ name, folders: 1 });
    }
  });
});

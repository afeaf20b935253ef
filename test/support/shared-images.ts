import { mkdirSync, writeFileSync } from "node:fs";
import { cfsctlOk } from "./cfsctl.ts";
import { writeLayout } from "./oci-layout.ts";
import { directory, file, noise, writeTar } from "./tar-writer.ts";
import type { TempDir } from "./temp.ts";

/** Names and commands as somebody might choose them who wants to take over a page or a terminal. */
export const HOSTILE = {
  tag: '"><script>alert(1)</script>:1',
  path: "usr/<img src=x onerror=alert(2)>&amp;.bin",
  command: "RUN </td><script src='//example.invalid/x'></script> \u202egpj.exe\u2028 $(x) `y`",
  image: "a'b\"><svg onload=alert(3)>",
} as const;

const BASE = [
  directory("usr/"),
  directory("usr/lib/"),
  file("usr/lib/libc.so.6", noise(180_000, 1)),
  file("usr/lib/libcrypto.so.3", noise(420_000, 2)),
  ...Array.from({ length: 40 }, (_, i) => file(`usr/lib/part-${i}.so`, noise(3000 + 211 * i, 100 + i))),
];

interface Release {
  readonly tag: string;
  readonly day: string;
  /** Seed and size of each file of its own. */
  readonly files: readonly (readonly [path: string, size: number, seed: number])[];
}

const RELEASES: readonly Release[] = [
  { tag: "web/shop:1.0", day: "2025-01-10", files: [["usr/shop", 90_000, 11]] },
  { tag: "web/shop:1.1", day: "2025-02-20", files: [["usr/shop", 95_000, 12]] },
  {
    tag: "web/shop:2.0",
    day: "2025-06-01",
    files: [
      ["usr/shop", 99_000, 13],
      ["usr/model.bin", 600_000, 14],
    ],
  },
  { tag: "tools/backup:latest", day: "2025-03-15", files: [["usr/backup", 40_000, 21]] },
  {
    tag: "localhost:5000/deep/path/with/a/very/long/name/of/an/image:2025-04",
    day: "2025-04-04",
    files: [["usr/x", 8000, 31]],
  },
];

/**
 * A repository with container images of several releases over one base, an image that shares nothing, one with names
 * that must not be trusted, and something that nothing needs.
 * @returns the options that name the repository.
 */
export function sharedImagesRepository(dir: TempDir): string[] {
  const layers = RELEASES.map(({ files }) =>
    writeTar(files.map(([path, size, seed]) => file(path, noise(size, seed)))),
  );
  const config = (day: string, commands: readonly string[]) => (config: Record<string, unknown>) => {
    config.created = `${day}T12:00:00Z`;
    config.history = [
      ...commands.map((created_by) => ({ created_by })),
      { created_by: "CMD sh", empty_layer: true },
    ];
  };
  writeLayout(dir.join("layout"), [
    ...RELEASES.map(({ tag, day }, i) => ({
      tag: String(i),
      layers: [{ tar: writeTar(BASE) }, { tar: layers[i]! }],
      config: config(day, ["ADD base /", `COPY ${tag} /usr`]),
    })),
    {
      tag: "hostile",
      layers: [{ tar: writeTar([directory("usr/"), file(HOSTILE.path, noise(700_000, 41))]) }],
      config: config("2025-05-05", [HOSTILE.command]),
    },
    { tag: "gone", layers: [{ tar: writeTar([directory("usr/"), file("usr/gone", noise(5000, 51))]) }] },
  ]);
  const repo = ["--repo", dir.join("repo")];
  cfsctlOk([...repo, "init", "--insecure"]);
  for (const [i, { tag }] of RELEASES.entries())
    cfsctlOk([...repo, "oci", "pull", `oci:${dir.join("layout")}:${i}`, tag]);
  cfsctlOk([...repo, "oci", "pull", `oci:${dir.join("layout")}:hostile`, HOSTILE.tag]);
  cfsctlOk([...repo, "oci", "pull", `oci:${dir.join("layout")}:gone`, "gone"]);
  cfsctlOk([...repo, "oci", "untag", "gone"]);
  mkdirSync(dir.join("tree/usr/share"), { recursive: true });
  writeFileSync(dir.join("tree/usr/share/libc"), noise(180_000, 1));
  writeFileSync(dir.join("tree/usr/share/other"), noise(30_000, 61));
  cfsctlOk([...repo, "create-image", dir.join("tree"), HOSTILE.image]);
  return repo;
}

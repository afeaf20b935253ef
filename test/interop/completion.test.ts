import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { cfsctlOk } from "../support/cfsctl.ts";
import { InteractiveShell, type ShellName } from "../support/interactive-shell.ts";
import { HOSTILE, sharedImagesRepository } from "../support/shared-images.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** What real shells make of a line that is typed with tabs. */

let dir: TempDir;
let digest: string;
beforeAll(() => {
  dir = tempDir();
  const repo = sharedImagesRepository(dir);
  const { images } = JSON.parse(cfsctlOk([...repo, "oci", "images", "--json"])) as {
    images: { name: string; manifest_digest: string }[];
  };
  digest = images.find(({ name }) => name === "tools/backup:latest")!.manifest_digest;
  mkdirSync(dir.join("a directory (of mine)"));
  mkdirSync(dir.join("home/projects"), { recursive: true });
  writeFileSync(dir.join("file.img"), "");
}, 60_000);
afterAll(() => dir[Symbol.dispose]());

/** Typed line and arguments. DIGEST is the digest of an image, D its first digits. */
const LINES: readonly (readonly [line: string, args: readonly string[]])[] = [
  ["cfsctl ima\ts", ["images"]],
  ["cfsctl --repo repo oci ins\tweb\t2\t", ["--repo", "repo", "oci", "inspect", "web/shop:2.0"]],
  [
    "cfsctl --repo repo oci inspect loc\t",
    [
      "--repo",
      "repo",
      "oci",
      "inspect",
      "localhost:5000/deep/path/with/a/very/long/name/of/an/image:2025-04",
    ],
  ],
  [
    "cfsctl --repo repo oci inspect localhost:5000/d\t",
    [
      "--repo",
      "repo",
      "oci",
      "inspect",
      "localhost:5000/deep/path/with/a/very/long/name/of/an/image:2025-04",
    ],
  ],
  ["cfsctl --repo repo oci inspect D\t", ["--repo", "repo", "oci", "inspect", "DIGEST"]],
  [
    "cfsctl --repo repo oci inspect @D\t--man\t",
    ["--repo", "repo", "oci", "inspect", "@DIGEST", "--manifest"],
  ],
  ["cfsctl --rep\trep\t oci unt\ttoo\t", ["--repo", "repo/", "oci", "untag", "tools/backup:latest"]],
  ["cfsctl --repo=rep\t images", ["--repo=repo/", "images"]],
  ["cfsctl --repo repo cat refs/oci/too\t", ["--repo", "repo", "cat", "refs/oci/tools%2Fbackup:latest"]],
  ["cfsctl --repo repo image-obj\ta\t", ["--repo", "repo", "image-objects", HOSTILE.image]],
  ["cfsctl --hash sha5\tcompute-id a\t", ["--hash", "sha512", "compute-id", "a directory (of mine)/"]],
  ["cfsctl oci pull oci:lay\t:t name", ["oci", "pull", "oci:layout/:t", "name"]],
  ["cfsctl compute-id ~/pro\t", ["compute-id", "HOME/projects/"]],
  ["cfsctl --user diff ./fi\t./re\t", ["--user", "diff", "./file.img", "./repo/"]],
  ['cfsctl --repo "repo" oci untag "too\t', ["--repo", "repo", "oci", "untag", "tools/backup:latest"]],
  [
    "cfsctl --repo 'repo' oci untag 'tools/backup:l\t",
    ["--repo", "repo", "oci", "untag", "tools/backup:latest"],
  ],
  ["cfsctl help oci fs\t", ["help", "oci", "fsck"]],
];

describe.each<ShellName>(["bash", "zsh", "fish"])("%s", (shell) => {
  testNeeding({ tool: shell })(
    "completes commands, options, paths, tags and digests",
    async () => {
      using interactive = await InteractiveShell.start(dir, shell, dir.path);
      const fill = (text: string) =>
        text
          .replace("DIGEST", digest)
          .replace(/D(?=\t)/, digest.slice(0, 14))
          .replace("HOME", dir.join("home"));
      for (const [line, args] of LINES) {
        const found = await interactive.type(fill(line));
        expect([line, found.map(withoutSlash)]).toEqual([line, args.map(fill).map(withoutSlash)]);
      }
    },
    180_000,
  );
});

/** zsh takes it back where it has completed a path itself. */
function withoutSlash(word: string): string {
  return word.replace(/\/$/, "");
}

import { describe, expect, test } from "bun:test";
import {
  copyFileSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** A repository with the images v0, v1, v2 of one directory, in these formats. */
function setUp(dir: TempDir): { repo: string[]; root: string } {
  const root = dir.join("root");
  mkdirSync(`${root}/usr/bin`, { recursive: true });
  writeFileSync(`${root}/usr/bin/tool`, "x".repeat(5000));
  writeFileSync(`${root}/usr/bin/small`, "hello");
  linkSync(`${root}/usr/bin/tool`, `${root}/usr/bin/alias`);
  symlinkSync("usr/bin", `${root}/bin`);
  for (const path of ["usr/bin/tool", "usr/bin/small", "usr/bin", "usr", "."])
    utimesSync(`${root}/${path}`, 1_700_000_000, 1_700_000_000);
  lutimesSync(`${root}/bin`, 1_700_000_000, 1_700_000_000);
  const repo = ["--repo", dir.join("repo")];
  cfsctlOk([...repo, "init", "--insecure"]);
  for (const version of ["0", "1", "2"])
    cfsctlOk([...repo, "--erofs-version", version, "create-image", root, `v${version}`]);
  return { repo, root };
}

function json(args: readonly string[]) {
  const { code, stdout, stderr } = cfsctl([...args, "--json"]);
  expect(stderr).toBe("");
  return { code, ...JSON.parse(stdout) };
}

describe("diff", () => {
  test("of everything that is the same, in any pairing", () => {
    using dir = tempDir();
    const { repo, root } = setUp(dir);
    const id = cfsctlOk([...repo, "create-image", root]).trim();
    const imageFile = dir.join("image");
    const [hash, hex] = id.split(":") as [string, string];
    copyFileSync(objectPath(dir, hex), imageFile);
    const dumpfile = dir.join("dump");
    writeFileSync(dumpfile, cfsctlOk(["--no-repo", "create-dumpfile", root]));
    expect(hash).toBe("sha512");
    const sides = ["v1", "refs/v1", id, hex, root, imageFile, dumpfile];
    for (const a of sides) {
      for (const b of sides)
        expect([a, b, cfsctl([...repo, "diff", a, b])]).toEqual([a, b, { code: 0, stdout: "", stderr: "" }]);
    }
  });

  test("says why digests differ when no file does", () => {
    using dir = tempDir();
    const { repo } = setUp(dir);
    const { code, stdout } = cfsctl([...repo, "diff", "v1", "v2"]);
    expect(code).toBe(1);
    expect(stdout).toStartWith("The files are the same, but not the images:\n");
    const { images, differences, equal } = json([...repo, "diff", "v1", "v2"]);
    expect({ differences, equal, same: images.same }).toEqual({ differences: [], equal: false, same: false });
    expect(images.expected).toMatchObject({ format: 1, made_for_comparison: false, unusual: null });
    expect(images.found.format).toBe(2);
    const aspects = images.differences.map(({ aspect }: { aspect: string }) => aspect);
    expect(aspects).toEqual(expect.arrayContaining(["format", "inode-form", "inode-place", "chunk-format"]));
  });

  test("a directory is compared with an image in the image's format", () => {
    using dir = tempDir();
    const { repo, root } = setUp(dir);
    for (const name of ["v0", "v1", "v2"]) expect(cfsctl([...repo, "diff", name, root]).code).toBe(0);
  });

  test("names what differs between files, and of the images only what that does not explain", () => {
    using dir = tempDir();
    const { repo, root } = setUp(dir);
    utimesSync(`${root}/usr/bin/small`, 1_700_000_000.5, 1_700_000_000.5);
    const { differences, images, code } = json([...repo, "diff", "v1", root]);
    expect(code).toBe(1);
    expect(images).toBeUndefined();
    expect(differences).toEqual([
      {
        entry: "/usr/bin/small",
        field: "mtime",
        expected: "1700000000.000000000",
        found: "1700000000.500000000",
        known_reason: expect.any(String),
      },
    ]);
    // Format 2 has no nanoseconds: that is known of two images.
    const image = cfsctlOk([...repo, "create-image", root]).trim();
    const twoImages = json([...repo, "diff", image, "v2"]);
    expect(twoImages.differences[0].known_reason).toBe("images of format 2 have no nanoseconds");
    expect(twoImages.images.same).toBe(false);
    expect(cfsctl([...repo, "diff", image, "v2", "--ignore", "mtime"])).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("works without a repository, and between algorithms", () => {
    using dir = tempDir();
    const { root } = setUp(dir);
    const [a, b] = [dir.join("a"), dir.join("b")];
    for (const [file, hash] of [
      [a, "sha256"],
      [b, "sha512"],
    ] as const)
      writeFileSync(file, cfsctlOk(["--no-repo", "--hash", hash, "create-dumpfile", root]));
    expect(cfsctl(["--no-repo", "diff", a, root]).code).toBe(0);
    const { code, differences, images } = json(["--no-repo", "diff", a, b]);
    expect({ code, differences }).toEqual({ code: 1, differences: [] });
    expect(images.differences[0]).toMatchObject({ aspect: "algorithm", expected: "sha256", found: "sha512" });
  });

  test("what can't be compared is named", () => {
    using dir = tempDir();
    const { repo, root } = setUp(dir);
    writeFileSync(dir.join("other"), "no dumpfile");
    for (const [args, message] of [
      [["missing", root], "there is neither an image nor a directory missing"],
      [[root, dir.join("other")], "is neither a directory nor an EROFS image nor a dumpfile"],
      [[root, dir.join("missing")], "No such file or directory"],
      [[root, `sha256:${"0".repeat(64)}`], "there is neither an image nor a directory sha256:"],
    ] as const) {
      const { code, stderr } = cfsctl([...repo, "diff", ...args]);
      expect(code).toBe(1);
      expect(stderr).toContain(message);
    }
    writeFileSync(dir.join("image"), Buffer.from("9a6278d0", "hex"));
    expect(cfsctl(["diff", dir.join("image"), root]).stderr).toContain("Invalid image");
  });
});

function objectPath(dir: TempDir, hex: string): string {
  return dir.join("repo/objects", hex.slice(0, 2), hex.slice(2));
}

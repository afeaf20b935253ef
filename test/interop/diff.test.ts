import { describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  lutimesSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { testNeeding } from "../support/skip.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** What other tools unpack of an image, compared with the image. */

const base = [
  directory("usr/", { fraction: "123456789", mtime: 1_700_000_001 }),
  directory("usr/bin/"),
  directory("run/"),
  file("run/secret", "left by a build"),
  file("usr/bin/tool", noise(70_000, 1), { mode: 0o4755, fraction: "5" }),
  { path: "usr/bin/alias", type: "hardlink", target: "usr/bin/tool" } as const,
  file("usr/gone", noise(100, 2)),
  file("opt/implied/file", "hello", { xattrs: { "user.note": "n" } }),
  { path: "usr/link", type: "symlink", target: "bin/tool" } as const,
  { path: "dev/null", type: "char", device: [1, 3], mode: 0o666 } as const,
  directory("empty/"),
];

/** Pulls an image and unpacks it with umoci. */
function unpacked(dir: TempDir, ...options: string[]): { repo: string[]; root: string } {
  writeLayout(dir.join("layout"), [
    {
      tag: "t",
      layers: [
        { tar: writeTar(base) },
        { tar: writeTar([file("usr/.wh.gone", ""), file("usr/new", "text")]) },
      ],
    },
  ]);
  const repo = ["--repo", dir.join("repo")];
  cfsctlOk([...repo, "init", "--insecure"]);
  cfsctlOk([...repo, "oci", "pull", `oci:${dir.join("layout")}:t`, "image"]);
  const result = Bun.spawnSync([
    "umoci",
    "unpack",
    ...options,
    "--image",
    `${dir.join("layout")}:t`,
    dir.join("bundle"),
  ]);
  if (result.exitCode !== 0) throw new Error(result.stderr.toString());
  return { repo, root: dir.join("bundle/rootfs") };
}

interface Entry {
  readonly entry: string;
  readonly field: string;
  readonly known_reason: string | null;
}

function differences(repo: readonly string[], ...args: string[]): string[] {
  const { code, stdout, stderr } = cfsctl([...repo, "oci", "diff", ...args, "--json"]);
  const report = JSON.parse(stdout) as { differences: Entry[]; count: number; equal: boolean };
  expect(stderr).toBe("");
  expect(report.count).toBe(report.differences.length);
  expect([code, report.equal]).toEqual(report.count === 0 ? [0, true] : [1, false]);
  return report.differences.map(({ entry, field, known_reason }) => `${entry} ${field}: ${known_reason}`);
}

describe("an image and what umoci makes of it", () => {
  testNeeding("root", { tool: "umoci" })("differ only where a reason is known", () => {
    using dir = tempDir();
    const { repo, root } = unpacked(dir);
    expect(differences(repo, "image", root)).toEqual([
      "/ mtime: the root of an image has the metadata of /usr",
      "/dev mtime: no layer describes this directory",
      "/opt mtime: no layer describes this directory",
      "/opt/implied mtime: no layer describes this directory",
      "/opt/implied/file xattr: images keep only security.capability",
      "/run mtime: /run of an image has the time of /usr",
      "/run/secret entry: /run of an image is empty",
      "/usr/link mode: Linux gives every symbolic link the mode 0777",
    ]);
    expect(differences(repo, "image", root, "--ignore-known")).toEqual([]);
    expect(differences(repo, root, "image", "--ignore", "mtime,xattrs", "--ignore", "mode")).toEqual([
      "/run/secret entry: /run of an image is empty",
    ]);
    expect(differences(repo, "image", root, "--ignore-known", "--xattrs", "keep-user-xattrs")).toEqual([]);
  });

  testNeeding("root", { tool: "umoci" })("every change is found", () => {
    using dir = tempDir();
    const { repo, root } = unpacked(dir);
    appendFileSync(`${root}/opt/implied/file`, "!");
    chmodSync(`${root}/usr/bin`, 0o700);
    unlinkSync(`${root}/usr/link`);
    symlinkSync("bin/other", `${root}/usr/link`);
    lutimesSync(`${root}/usr/link`, 1_700_000_000, 1_700_000_000);
    rmSync(`${root}/empty`, { recursive: true });
    writeFileSync(`${root}/usr/added\nfile`, "");
    const tool = Buffer.from(noise(70_000, 1));
    tool[69_999]! ^= 1;
    writeFileSync(`${root}/usr/bin/tool`, tool);
    chmodSync(`${root}/usr/bin/tool`, 0o4755);
    const found = differences(repo, "image", root, "--ignore-known", "--ignore", "mtime");
    expect(found.map((line) => line.replace(/: null$/, ""))).toEqual([
      "/empty entry",
      "/opt/implied/file size",
      "/opt/implied/file digest",
      "/usr/added\\x0afile entry",
      "/usr/bin mode",
      "/usr/bin/alias digest",
      "/usr/bin/tool digest",
      "/usr/link target",
    ]);
    const { stdout, code } = cfsctl([
      ...repo,
      "oci",
      "diff",
      "image",
      root,
      "--ignore-known",
      "--ignore",
      "mtime,digest",
    ]);
    expect(code).toBe(1);
    expect(stdout).toBe(
      [
        "ENTRY\tFIELD\tEXPECTED\tFOUND\tKNOWN REASON",
        "/empty\tentry\tdirectory\t-",
        "/opt/implied/file\tsize\t5\t6",
        "/usr/added\\x0afile\tentry\t-\tfile",
        "/usr/bin\tmode\t0755\t0700",
        "/usr/link\ttarget\tbin/tool\tbin/other",
        "",
      ].join("\n"),
    );
  });

  testNeeding({ tool: "umoci" }, { tool: "cp" })("without root and copied", () => {
    using dir = tempDir();
    const { repo, root } = unpacked(dir, "--rootless");
    Bun.spawnSync(["cp", "-PR", "--preserve=mode,xattr", root, dir.join("copy")]);
    const found = differences(repo, "image", dir.join("copy"), "--ignore", "mtime");
    expect(found).toContain("/dev/null type: unpacked without root: devices became empty files");
    expect(found).toContain("/usr/bin/tool nlink: copying has broken hard links");
    if (process.getuid?.() === 0) expect(found.filter((line) => line.endsWith(": null"))).toEqual([]);
  });
});

test("wrong use", () => {
  using dir = tempDir();
  const repo = ["--repo", dir.join("repo")];
  cfsctlOk([...repo, "init", "--insecure"]);
  expect(cfsctl([...repo, "oci", "diff", "a"]).code).toBe(2);
  expect(cfsctl([...repo, "oci", "diff", "a", "b", "--ignore", "color"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("no such field"),
  });
  expect(cfsctl([...repo, "oci", "diff", "nope", dir.path])).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("there is neither an image nor a directory nope"),
  });
  expect(cfsctl([...repo, "oci", "diff", dir.path, dir.path])).toEqual({ code: 0, stdout: "", stderr: "" });
});

import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CFSCTL, cfsctl } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { describeTree, mountLab, mountLine } from "./support.ts";

const CONTAINER = "24eda7d2720f777e9171ce7aa72a9fc1cb94ee18a282d6d6028d42a8513ef611";
const testMounting = testNeeding("root");

describe("cfsctl mount", () => {
  testMounting("is silent when all is well", () => {
    using lab = mountLab();
    const result = cfsctl(["--repo", lab.repository, "mount", "refs/rootfs", lab.mountpoint]);
    expect(result).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(mountLine(lab.mountpoint)).toStartWith("composefs:refs/rootfs ");
    expect(describeTree(lab.mountpoint)).toEqual(describeTree(lab.join("src")));
  });

  testMounting("oci mount mounts the image of a tag", () => {
    using lab = mountLab();
    const result = cfsctl(["--repo", lab.repository, "oci", "mount", "myimg", lab.mountpoint]);
    expect(result).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(mountLine(lab.mountpoint)).toStartWith(`composefs:${CONTAINER} ${lab.mountpoint} overlay ro,`);
  });

  testMounting("--read-write lets files be changed", () => {
    using lab = mountLab();
    for (const name of ["upper", "work"]) mkdirSync(lab.join(name));
    const directories = ["--upperdir", lab.join("upper"), "--workdir", lab.join("work")];
    const args = ["--repo", lab.repository, "mount", "rootfs", lab.mountpoint, ...directories];
    expect(cfsctl([...args, "--read-write"]).code).toBe(0);
    writeFileSync(join(lab.mountpoint, "new"), "new");
    expect(existsSync(lab.join("upper/new"))).toBe(true);
  });

  test.each([
    ["--upperdir without --workdir", ["--upperdir", "/tmp"], "'--upperdir' needs '--workdir' as well"],
    ["--workdir without --upperdir", ["--workdir", "/tmp"], "'--workdir' needs '--upperdir' as well"],
    ["--read-write without --upperdir", ["--read-write"], "'--read-write' needs '--upperdir' as well"],
    ["an empty directory name", ["--upperdir=", "--workdir", "/tmp"], "--upperdir"],
  ])("%s is wrong usage", (_, options, named) => {
    for (const command of [["mount"], ["oci", "mount"]]) {
      const result = cfsctl([...command, "x", "/mnt", ...options]);
      expect(result.code).toBe(2);
      expect(result.stderr).toContain(named);
      expect(result.stdout).toBe("");
    }
  });

  testMounting("says in one line what is wrong", () => {
    using lab = mountLab();
    const attempt = (name: string, mountpoint: string) =>
      cfsctl(["--repo", lab.repository, "mount", name, mountpoint]);
    const missing = attempt("none", lab.mountpoint);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain("cfsctl: error: image 'none': image not found: none\n");
    const nowhere = attempt("rootfs", lab.join("nowhere"));
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toContain(
      `cfsctl: error: mounting image 'rootfs' on ${lab.join("nowhere")}: mountpoint: ${lab.join("nowhere")}: No such file or directory`,
    );
  });

  testNeeding("root", { tool: "setpriv" })("says that it needs root, or a way out of the namespace", () => {
    using lab = mountLab();
    const args = ["--repo", lab.repository, "mount", "rootfs", lab.mountpoint];
    const powerless = Bun.spawnSync([
      "setpriv",
      "--bounding-set=-sys_admin",
      "--inh-caps=-sys_admin",
      CFSCTL,
      ...args,
    ]);
    expect(powerless.exitCode).toBe(1);
    expect(powerless.stderr.toString()).toContain("hint: mounting needs root\n");
    const confined = Bun.spawnSync(["unshare", "-Urm", CFSCTL, ...args]);
    expect(confined.exitCode).toBe(1);
    expect(confined.stderr.toString()).toContain("not in a rootless container\n");
  });
});

import { describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describeError, hintOf, kindOf } from "../../src/errors.ts";
import { type KernelPaths, mountComposefs } from "../../src/mount/composefs.ts";
import { erofsImageOf } from "../../src/mount/container-image.ts";
import { type MountOptions, mountImage } from "../../src/mount/mount-image.ts";
import { openMountableImage } from "../../src/mount/open-image.ts";
import { Repository } from "../../src/repository/repository.ts";
import { openDirectory } from "../../src/sys/dir.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../src/sys/file.ts";
import { testNeeding } from "../support/skip.ts";
import { describeTree, mountLab, mountLine } from "./support.ts";

const ROOTFS = "947ae5cba445dfec0b2cbf7cc20b8fa4cb15d9bb95c05a144cc43c7bf64080e3";
const CONTAINER = "24eda7d2720f777e9171ce7aa72a9fc1cb94ee18a282d6d6028d42a8513ef611";
const MISSING = "0".repeat(64);

const testMounting = testNeeding("root");

function mount(repositoryPath: string, name: string, mountpoint: string, options?: MountOptions): void {
  using repository = Repository.open(repositoryPath);
  mountImage(repository, name, mountpoint, options ?? { readWrite: false });
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("no error");
}

describe("names of images", () => {
  test.each([
    [ROOTFS, ROOTFS],
    [`sha256:${ROOTFS}`, ROOTFS],
    ["rootfs", ROOTFS],
    ["refs/rootfs", ROOTFS],
    ["refs/nested/dir/rootfs2", ROOTFS],
  ])("%s", (name, id) => {
    using lab = mountLab();
    using repository = Repository.open(lab.repository);
    using image = openMountableImage(repository, name);
    expect<string>(image.id).toBe(id);
    expect(image.verity).toBe("none");
  });

  test.each([
    ["missing", "NotFound", "image 'missing': image not found: missing"],
    [MISSING, "NotFound", `image '${MISSING}': image not found: ${MISSING}`],
    [
      `sha512:${ROOTFS}`,
      "Invalid",
      `image 'sha512:${ROOTFS}': the repository's digests are sha256, not sha512`,
    ],
    ["../meta.json", "Invalid", "image '../meta.json': image name '../meta.json' must not contain '..'"],
    ["nested/dir/rootfs2", "NotFound", "image 'nested/dir/rootfs2': image not found: nested/dir/rootfs2"],
  ])("%s is refused", (name, kind, message) => {
    using lab = mountLab();
    using repository = Repository.open(lab.repository);
    const error = errorOf(() => openMountableImage(repository, name));
    expect<string | undefined>(kindOf(error)).toBe(kind);
    expect(describeError(error)).toBe(message);
  });

  test("a link to another image than its name says is refused", () => {
    using lab = mountLab();
    const link = join(lab.repository, "images", ROOTFS);
    unlinkSync(link);
    symlinkSync(`../objects/${CONTAINER.slice(0, 2)}/${CONTAINER.slice(2)}`, link);
    using repository = Repository.open(lab.repository);
    const error = errorOf(() => openMountableImage(repository, ROOTFS));
    expect(kindOf(error)).toBe("Corrupt");
    expect(describeError(error)).toContain("points to another image than its name says");
  });

  test("a tag leads to the image that was made of the container image", () => {
    using lab = mountLab();
    using repository = Repository.open(lab.repository);
    expect<string>(erofsImageOf(repository, "myimg", false)).toBe(CONTAINER);
    expect(describeError(errorOf(() => erofsImageOf(repository, "myimg", true)))).toBe(
      "myimg has no bootable EROFS image",
    );
  });
});

describe("mounting", () => {
  testMounting("shows the tree that the image was made of", () => {
    for (const [archive, name] of [
      ["full-sha256.tar.gz", ROOTFS],
      ["full-sha512.tar.gz", "rootfs"],
    ] as const) {
      using lab = mountLab(archive);
      mount(lab.repository, name, lab.mountpoint);
      expect(describeTree(lab.mountpoint)).toEqual(describeTree(lab.join("src")));
      expect(mountLine(lab.mountpoint)).toStartWith(`composefs:${name} ${lab.mountpoint} overlay ro,`);
      expect(() => writeFileSync(join(lab.mountpoint, "new"), "x")).toThrow(/EROFS/);
    }
  });

  const kernels: [string, KernelPaths][] = [
    ["loop device, layers as descriptors", { erofsFromFile: false, layersByDescriptor: true }],
    ["file, layers as paths", { erofsFromFile: true, layersByDescriptor: false }],
    ["loop device, layers as paths", { erofsFromFile: false, layersByDescriptor: false }],
  ];
  for (const [title, kernel] of kernels) {
    testMounting(`shows the same on older kernels: ${title}`, () => {
      using lab = mountLab();
      using repository = Repository.open(lab.repository);
      using image = openMountableImage(repository, "rootfs");
      using objects = openDirectory(repository.dir.fd, "objects");
      const what = {
        image: image.file,
        name: "x",
        objectDirs: [objects],
        verity: "none",
        readWrite: false,
      } as const;
      mountComposefs(what, lab.mountpoint, { ...kernel });
      expect(describeTree(lab.mountpoint)).toEqual(describeTree(lab.join("src")));
      if (!kernel.layersByDescriptor) expect(mountLine(lab.mountpoint)).toContain("lowerdir=/proc/self/fd/");
      expect(loopDevicesOf(lab.repository)).toBe(kernel.erofsFromFile ? 0 : 1);
      Bun.spawnSync(["umount", lab.mountpoint]);
      expect(loopDevicesOf(lab.repository)).toBe(0);
      expect(readFileSync("/proc/mounts", "utf8")).not.toContain(".cfsctl-mount-");
    });
  }

  testMounting("takes objects from several directories", () => {
    using lab = mountLab();
    mkdirSync(lab.join("empty"));
    using repository = Repository.open(lab.repository);
    using image = openMountableImage(repository, "rootfs");
    using empty = open(lab.join("empty"), O_RDONLY | O_DIRECTORY);
    using objects = openDirectory(repository.dir.fd, "objects");
    const objectDirs = [empty, objects];
    for (const layersByDescriptor of [true, false]) {
      mountComposefs(
        { image: image.file, name: "x", objectDirs, verity: "none", readWrite: false },
        lab.mountpoint,
        { erofsFromFile: true, layersByDescriptor },
      );
      expect(describeTree(lab.mountpoint)).toEqual(describeTree(lab.join("src")));
    }
  });

  testMounting("maps owners by a user namespace", async () => {
    using lab = mountLab();
    await using holder = Bun.spawn(["unshare", "-U", "cat"], {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
    });
    const namespace = `/proc/${holder.pid}/ns/user`;
    const own = readlinkSync("/proc/self/ns/user");
    for (let i = 0; i < 200 && readlinkSync(namespace) === own; i++) await Bun.sleep(5);
    writeFileSync(`/proc/${holder.pid}/uid_map`, "0 100000 1000");
    writeFileSync(`/proc/${holder.pid}/gid_map`, "0 200000 1000");
    using repository = Repository.open(lab.repository);
    using image = openMountableImage(repository, "rootfs");
    using objects = openDirectory(repository.dir.fd, "objects");
    using idmap = open(namespace, O_RDONLY);
    mountComposefs(
      { image: image.file, name: "x", objectDirs: [objects], verity: "none", readWrite: false, idmap },
      lab.mountpoint,
    );
    expect(describeTree(lab.mountpoint)[0]).toContain(" 100000:200000 ");
  });

  testMounting("keeps changes in the upper directory, when asked to", () => {
    using lab = mountLab();
    const upper = { upperdir: lab.join("upper"), workdir: lab.join("work") };
    mkdirSync(upper.upperdir);
    mkdirSync(upper.workdir);
    const file = (name: string) => join(lab.mountpoint, name);

    mount(lab.repository, "rootfs", lab.mountpoint, { upper, readWrite: true });
    writeFileSync(file("etc/new"), "new");
    writeFileSync(file("usr/lib/big"), "changed");
    unlinkSync(file("etc/conf"));
    expect(readdirSync(file("etc")).sort()).toEqual(["dup", "link", "new"]);
    Bun.spawnSync(["umount", lab.mountpoint]);

    mount(lab.repository, "rootfs", lab.mountpoint, { upper, readWrite: false });
    expect(readFileSync(file("usr/lib/big"), "utf8")).toBe("changed");
    expect(existsSync(file("etc/conf"))).toBe(false);
    expect(() => writeFileSync(file("etc/new"), "again")).toThrow(/EROFS/);
    Bun.spawnSync(["umount", lab.mountpoint]);

    mount(lab.repository, "rootfs", lab.mountpoint);
    expect(describeTree(lab.mountpoint)).toEqual(describeTree(lab.join("src")));
  });
});

describe("refusing", () => {
  testMounting("a mountpoint that is missing or no directory", () => {
    using lab = mountLab();
    writeFileSync(lab.join("file"), "");
    for (const [mountpoint, text] of [
      [lab.join("none"), "No such file or directory"],
      [lab.join("file"), "Not a directory"],
    ] as const) {
      const error = errorOf(() => mount(lab.repository, "rootfs", mountpoint));
      expect(describeError(error)).toContain(`mounting image 'rootfs' on ${mountpoint}: mountpoint: `);
      expect(describeError(error)).toContain(text);
    }
  });

  testMounting("what is no EROFS image, on every path", () => {
    using lab = mountLab();
    writeFileSync(lab.join("garbage"), new Uint8Array(8192));
    using image = open(lab.join("garbage"), O_RDONLY);
    using objects = open(lab.repository, O_RDONLY | O_DIRECTORY);
    for (const erofsFromFile of [true, false]) {
      const error = errorOf(() =>
        mountComposefs(
          { image, name: "x", objectDirs: [objects], verity: "none", readWrite: false },
          lab.mountpoint,
          { erofsFromFile, layersByDescriptor: true },
        ),
      );
      expect(describeError(error)).toContain("mounting the EROFS image: erofs creation");
      expect(describeError(error)).toContain("Invalid argument");
      expect(hintOf(error)).toContain("no valid EROFS image");
      expect(mountLine(lab.mountpoint)).toBeUndefined();
      expect(loopDevicesOf(lab.path)).toBe(0);
    }
  });

  testMounting("upper and work directories that do not fit", () => {
    using lab = mountLab();
    mkdirSync(lab.join("upper"));
    const attempt = (workdir: string) =>
      errorOf(() =>
        mount(lab.repository, "rootfs", lab.mountpoint, {
          upper: { upperdir: lab.join("upper"), workdir },
          readWrite: true,
        }),
      );
    expect(describeError(attempt(lab.join("none")))).toStartWith("the work directory: ");
    expect(describeError(attempt("/proc"))).toContain("are on different file systems");
    const same = attempt(lab.join("upper"));
    expect(describeError(same)).toContain("mounting the overlay: overlay creation");
    expect(describeError(same)).toContain("Invalid argument");
    expect(hintOf(same)).toContain("must be separate");
    expect(mountLine(lab.mountpoint)).toBeUndefined();
    expect(readFileSync("/proc/mounts", "utf8")).not.toContain(".cfsctl-mount-");
  });
});

/** How many loop devices are backed by files below a directory. */
function loopDevicesOf(directory: string): number {
  return readdirSync("/sys/block").filter((name) => {
    const file = `/sys/block/${name}/loop/backing_file`;
    return existsSync(file) && readFileSync(file, "utf8").startsWith(directory);
  }).length;
}

import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { EINVAL, ENODEV, isErrno, type SysError } from "../../src/sys/errno.ts";
import { O_DIRECTORY, O_PATH, O_RDONLY, open } from "../../src/sys/file.ts";
import { attachLoopDevice } from "../../src/sys/loop.ts";
import { detachMount, FsContext, MOUNT_ATTR_RDONLY, moveMount } from "../../src/sys/mount.ts";
import { fstatfs } from "../../src/sys/stat.ts";
import { testNeeding } from "../support/skip.ts";
import { tempDir } from "../support/temp.ts";

const testMounting = testNeeding("root");

function failure(action: () => unknown): SysError {
  try {
    action();
  } catch (error) {
    return error as SysError;
  }
  throw new Error("no error");
}

describe("mounts", () => {
  testMounting("are made, attached and taken away", () => {
    using dir = tempDir();
    mkdirSync(dir.join("one"));
    using context = new FsContext("tmpfs");
    context.setString("size", "1M");
    context.setString("mode", "0750");
    using mount = context.mount(0);
    using one = open(dir.join("one"), O_PATH | O_DIRECTORY);
    moveMount(mount, one);
    try {
      writeFileSync(dir.join("one/file"), "content");
      using root = open(dir.join("one"), O_RDONLY | O_DIRECTORY);
      expect(fstatfs(root)).toMatchObject({ totalBytes: 2 ** 20, readOnly: false });
    } finally {
      detachMount(dir.join("one"));
    }
    expect(existsSync(dir.join("one/file"))).toBe(false);
    expect(failure(() => detachMount(dir.join("one"))).errno).toBe(EINVAL);
  });

  testMounting("can be read-only", () => {
    using dir = tempDir();
    using context = new FsContext("tmpfs");
    using mount = context.mount(MOUNT_ATTR_RDONLY);
    using target = open(dir.path, O_PATH | O_DIRECTORY);
    moveMount(mount, target);
    try {
      expect(() => writeFileSync(dir.join("file"), "")).toThrow(/EROFS/);
      using root = open(dir.path, O_RDONLY | O_DIRECTORY);
      expect(fstatfs(root).readOnly).toBe(true);
    } finally {
      detachMount(dir.path);
    }
  });

  testMounting("errors name the option and what the kernel says", () => {
    using context = new FsContext("tmpfs");
    const error = failure(() => context.setString("no-such-option", "x"));
    expect(error.errno).toBe(EINVAL);
    expect(error.message).toStartWith(
      "tmpfs option no-such-option=x (the kernel says: tmpfs: Unknown parameter",
    );
    expect(
      isErrno(
        failure(() => new FsContext("no-such-fs")),
        ENODEV,
      ),
    ).toBe(true);
  });
});

testMounting("a loop device shows a file and frees itself", () => {
  using dir = tempDir();
  const content = Buffer.alloc(8192, "loop");
  writeFileSync(dir.join("file"), content);
  using file = open(dir.join("file"), O_RDONLY);
  const backing = (device: string) => `/sys/block/${device.slice("/dev/".length)}/loop/backing_file`;
  let path: string;
  {
    using device = attachLoopDevice(file);
    path = device.path;
    expect(readFileSync(backing(path), "utf8").trim()).toBe(dir.join("file"));
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(() => writeFileSync(path, "x", { flag: "r+" })).toThrow();
  }
  expect(existsSync(backing(path)) && readFileSync(backing(path), "utf8").startsWith(dir.path)).toBe(false);
});

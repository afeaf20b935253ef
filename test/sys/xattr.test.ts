import { describe, expect } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { openDirectory } from "../../src/sys/dir.ts";
import { AT_FDCWD, pathBytes } from "../../src/sys/file.ts";
import { forgetListxattrat, readXattrs } from "../../src/sys/xattr.ts";
import { testNeeding } from "../support/skip.ts";
import { tempDir } from "../support/temp.ts";

const setfattr = (path: string, name: string, value: string) => {
  const set = Bun.spawnSync(["setfattr", "-h", "-n", name, "-v", value, path]);
  if (!set.success) throw new Error(set.stderr.toString());
};

describe("extended attributes", () => {
  const testAsRoot = testNeeding("root", { tool: "setfattr" }, { tool: "mknod" });
  for (const way of ["by the newest call", "through /proc"]) {
    testAsRoot(`of files of all types are read ${way}`, () => {
      if (way === "through /proc") forgetListxattrat();
      using dir = tempDir();
      writeFileSync(dir.join("file\xe9"), "");
      mkdirSync(dir.join("sub"));
      symlinkSync("sub", dir.join("link"));
      Bun.spawnSync(["mkfifo", dir.join("fifo")]);
      Bun.spawnSync(["mknod", dir.join("null"), "c", "1", "3"]);
      writeFileSync(dir.join("none"), "");
      // Two kinds, an empty value, one with all bytes.
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      setfattr(dir.join("file\xe9"), "user.all", `0x${bytes.toString("hex")}`);
      setfattr(dir.join("file\xe9"), "trusted.empty", "");
      for (const name of ["sub", "link", "fifo", "null"]) setfattr(dir.join(name), "trusted.type", name);

      using fd = openDirectory(AT_FDCWD, pathBytes(dir.path));
      const of = (name: string, wanted?: (name: string) => boolean) => {
        const found = readXattrs(fd.fd, pathBytes(name), () => name, wanted);
        return found && Object.fromEntries(found);
      };
      const isOurs = (name: string) => !name.startsWith("security.");
      expect(of("file\xe9", isOurs)).toEqual({ "user.all": bytes.latin1Slice(), "trusted.empty": "" });
      expect(of("file\xe9", (name) => name === "trusted.empty")).toEqual({ "trusted.empty": "" });
      for (const name of ["sub", "link", "fifo", "null"]) {
        expect(of(name, isOurs)).toEqual({ "trusted.type": name });
      }
      using sub = openDirectory(fd.fd, "sub");
      expect(readXattrs(sub.fd, ".", () => "", isOurs)?.get("trusted.type")).toBe("sub");
      expect(of("none", isOurs)).toBeUndefined();
      expect(() => of("absent")).toThrow("absent: No such file or directory");
    });
  }
});

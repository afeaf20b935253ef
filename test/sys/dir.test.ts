import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { bytesOf } from "../../src/bytes.ts";
import { kindOf } from "../../src/errors.ts";
import {
  DT_DIR,
  DT_FIFO,
  DT_LNK,
  DT_REG,
  DT_SOCK,
  listDirectory,
  openDirectory,
  readDirectory,
} from "../../src/sys/dir.ts";
import { ELOOP, ENOTDIR, isErrno } from "../../src/sys/errno.ts";
import { AT_FDCWD, pathBytes } from "../../src/sys/file.ts";
import { tempDir } from "../support/temp.ts";

const openPath = (path: string) => openDirectory(AT_FDCWD, pathBytes(path));

describe("directories", () => {
  test("entries have names and types, in the order of bytes", async () => {
    using dir = tempDir();
    writeFileSync(dir.join("b"), "");
    mkdirSync(dir.join("a"));
    symlinkSync("b", dir.join("é"));
    Bun.spawnSync(["mkfifo", dir.join("Z")]);
    const server = createServer().listen(dir.join("socket"));
    await new Promise((resolve) => server.once("listening", resolve));
    using fd = openPath(dir.path);
    expect(listDirectory(fd, 10)).toEqual([
      { name: "Z", type: DT_FIFO },
      { name: "a", type: DT_DIR },
      { name: "b", type: DT_REG },
      { name: "socket", type: DT_SOCK },
      { name: "\xc3\xa9", type: DT_LNK },
    ]);
    server.close();
  });

  test("names are bytes, up to the longest", () => {
    using dir = tempDir();
    const names = [Buffer.from([0xff, 0x0a, 0x80]), Buffer.alloc(255, "x"), Buffer.from("a\\b")];
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${dir.path}/`), name]), "");
    using fd = openPath(dir.path);
    const found = [...readDirectory(fd)].map(({ name }) => Buffer.from(bytesOf(name)).toString("hex"));
    expect(found.sort()).toEqual(names.map((name) => name.toString("hex")).sort());
  });

  test("large ones, read several times and at the same time", () => {
    using dir = tempDir();
    const expected: string[] = [];
    for (let i = 0; i < 3000; i++) {
      expected.push(`a-rather-long-name-${String(i).padStart(5, "0")}`);
      writeFileSync(dir.join(expected[i]!), "");
    }
    using one = openPath(dir.path);
    using other = openPath(dir.path);
    for (let i = 0; i < 2; i++) expect(listDirectory(one, 3000).map(({ name }) => name)).toEqual(expected);
    let count = 0;
    for (const entry of readDirectory(one)) {
      if (count++ % 1000 === 0) expect([...readDirectory(other)]).toHaveLength(3000);
      expect(entry.type).toBe(DT_REG);
    }
    expect(count).toBe(3000);
    let kind: string | undefined;
    try {
      listDirectory(one, 2999);
    } catch (error) {
      kind = kindOf(error);
    }
    expect(kind).toBe("Invalid");
  });

  test("an empty one has no entries", () => {
    using dir = tempDir();
    using fd = openPath(dir.path);
    expect([...readDirectory(fd)]).toEqual([]);
  });

  test("links and files are not opened", () => {
    using dir = tempDir();
    writeFileSync(dir.join("file"), "");
    symlinkSync(".", dir.join("link"));
    for (const name of ["file", "link"]) {
      try {
        openPath(dir.join(name)).close();
        expect.unreachable();
      } catch (error) {
        expect(isErrno(error, ENOTDIR, ELOOP)).toBe(true);
      }
    }
  });
});

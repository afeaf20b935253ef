import { describe, expect, test } from "bun:test";
import { extract, type Header } from "tar-stream";
import { encodeTarHeader } from "../../src/tar/write.ts";

/** What an independent reader makes of a header. */
async function read(header: Uint8Array): Promise<Header> {
  const archive = extract();
  const found = new Promise<Header>((resolve, reject) => {
    archive.on("entry", (entry) => resolve(entry));
    archive.on("error", reject);
  });
  archive.write(Buffer.from(header));
  return await found;
}

describe("headers of members", () => {
  const hex = (length: number) => "0123456789abcdef".repeat(length / 16);

  test.each([
    ["blobs/", "directory", 0, 0o755],
    ["index.json", "file", 5, 0o644],
    [`blobs/sha256/${hex(64)}`, "file", 1000, 0o644],
    [`blobs/sha512/${hex(128)}`, "file", 1000, 0o644],
    ["eleven-digits", "file", 8 ** 11 - 1, 0o644],
    ["too-many-for-eleven-digits", "file", 8 ** 11, 0o644],
    ["huge", "file", 2 ** 50, 0o644],
    [`blobs/sha512/${hex(128)}`, "file", 2 ** 40 + 1, 0o644],
  ] as const)("%s, %s of %d bytes", async (path, type, size, mode) => {
    const header = encodeTarHeader({ path, type, size });
    expect(header.length % 512).toBe(0);
    const found = await read(header);
    expect({ name: found.name, type: found.type, size: found.size, mode: found.mode }).toEqual({
      name: path,
      type,
      size,
      mode,
    });
    expect([found.uid, found.gid, found.mtime?.getTime()]).toEqual([0, 0, 0]);
  });

  test("names that are no ASCII are refused", () => {
    expect(() => encodeTarHeader({ path: "größe", type: "file", size: 0 })).toThrow("can't be the name");
  });
});

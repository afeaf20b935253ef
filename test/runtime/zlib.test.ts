import { describe, expect, test } from "bun:test";
import { constants, createGunzip, createZstdDecompress, gzipSync, zstdCompressSync } from "node:zlib";

/** What src/compress relies on, though no documentation promises it. A new Bun that breaks it is noticed here. */

interface Stepping {
  readonly _handle: {
    writeSync(
      flush: number,
      input: Uint8Array,
      inOffset: number,
      inLength: number,
      output: Uint8Array,
      outOffset: number,
      outLength: number,
    ): void;
    onerror: (message: string) => void;
    close(): void;
  };
  readonly _writeState: Uint32Array;
}

const plain = Buffer.from("composefs ".repeat(1000));

const coders = [
  { name: "gzip", make: createGunzip, compressed: gzipSync(plain), flush: constants.Z_NO_FLUSH },
  {
    name: "zstd",
    make: createZstdDecompress,
    compressed: zstdCompressSync(plain),
    flush: constants.ZSTD_e_continue,
  },
];

describe.each(coders)("$name, driven through its handle", ({ make, compressed, flush }) => {
  for (const memory of [ArrayBuffer, SharedArrayBuffer]) {
    test(`works into and out of a ${memory.name}, step by step`, () => {
      const coder = make() as unknown as Stepping;
      const input = new Uint8Array(new memory(compressed.length));
      input.set(compressed);
      const output = new Uint8Array(new memory(plain.length + 8));
      let inAt = 0;
      let outAt = 4;
      while (outAt < plain.length + 4) {
        const room = Math.min(777, plain.length + 4 - outAt);
        coder._handle.writeSync(flush, input, inAt, input.length - inAt, output, outAt, room);
        const [outLeft, inLeft] = coder._writeState as unknown as [number, number];
        outAt += room - outLeft;
        inAt = input.length - inLeft;
      }
      coder._handle.close();
      expect(Buffer.from(output.slice(4, outAt)).equals(plain)).toBe(true);
      // bytes around the window that was given stay untouched
      expect([...output.slice(0, 4), ...output.slice(outAt)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    });
  }

  test("reports damage through onerror", () => {
    const coder = make() as unknown as Stepping;
    const errors: string[] = [];
    coder._handle.onerror = (message) => errors.push(message);
    coder._handle.writeSync(flush, Buffer.from("no such format, sorry"), 0, 21, new Uint8Array(64), 0, 64);
    expect(errors.length).toBe(1);
  });
});

test("the zstd library is the one whose output our splitstreams repeat", () => {
  // the commit that is tagged v1.5.7
  expect(process.versions.zstd).toBe("f8745da6ff1ad1e7bab384bd1f9d742439278e99");
});

describe("why some functions are not used", () => {
  const two = Buffer.concat([gzipSync("one"), gzipSync("two")]);

  test("Bun.gunzipSync stops after the first gzip member", () => {
    expect(Buffer.from(Bun.gunzipSync(new Uint8Array(two))).toString()).toBe("one");
  });

  test("node:zlib ends a truncated zstd stream without an error", async () => {
    const stream = createZstdDecompress();
    stream.end(zstdCompressSync(plain).subarray(0, 20));
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk as Uint8Array);
    expect(Buffer.concat(chunks).length).toBeLessThan(plain.length);
  });
});

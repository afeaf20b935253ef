import { describe, expect, test } from "bun:test";
import { Evex, General } from "../../../src/sys/lanes/evex.ts";

// As GNU as 2.40 encodes them, with -mevexwig=1 and {disp32} before what has an offset.
const ENCODED: [string, (code: Evex) => void, string][] = [
  ["vpaddq zmm1, zmm2, zmm3", (c) => c.add(1, 2, 3), "62f1ed48d4cb"],
  ["vpaddq zmm17, zmm8, zmm31", (c) => c.add(17, 8, 31), "6281bd48d4cf"],
  [
    "vpaddq zmm26, zmm15, [rcx+0x128]{1to8}",
    (c) => c.addBroadcast(26, 15, General.rcx, 0x128),
    "62618558d49128010000",
  ],
  ["vpxorq zmm9, zmm20, zmm9", (c) => c.xor(9, 20, 9), "6251dd40efc9"],
  ["vmovdqa64 zmm25, zmm4", (c) => c.move(25, 4), "6261fd486fcc"],
  ["vprorq zmm24, zmm5, 41", (c) => c.rotateRight(24, 5, 41), "62f1bd4072c529"],
  ["vprorq zmm7, zmm19, 1", (c) => c.rotateRight(7, 19, 1), "62b1c54872c301"],
  ["vpsrlq zmm26, zmm23, 7", (c) => c.shiftRight(26, 23, 7), "62b1ad4073d707"],
  ["vpternlogq zmm25, zmm6, zmm30, 0xca", (c) => c.ternary(25, 6, 30, 0xca), "6203cd4825ceca"],
  ["vpternlogq zmm3, zmm16, zmm11, 0x96", (c) => c.ternary(3, 16, 11, 0x96), "62d3fd4025db96"],
  ["vpshufb zmm13, zmm22, zmm31", (c) => c.shuffleBytes(13, 22, 31), "6212cd4000ef"],
  ["vmovdqu64 zmm31, [r9+0x2c0]", (c) => c.load(31, General.r9, 0x2c0), "6241fe486fb9c0020000"],
  ["vmovdqu64 zmm24, [rsp+0x40]", (c) => c.load(24, General.rsp, 0x40), "6261fe486f842440000000"],
  ["vmovdqu64 [rsp+0x1c0], zmm7", (c) => c.store(7, General.rsp, 0x1c0), "62f1fe487fbc24c0010000"],
  ["vmovdqu64 [rdx-64], zmm18", (c) => c.store(18, General.rdx, -64), "62e1fe487f92c0ffffff"],
  ["vpbroadcastq zmm23, [r9+0x388]", (c) => c.broadcast(23, General.r9, 0x388), "62c2fd4859b988030000"],
  [
    "vpgatherqq zmm12{k1}, [rdi+zmm29*1+0x78]",
    (c) => c.gather(12, General.rdi, 29, 0x78, 1),
    "6232fd4191a42f78000000",
  ],
  ["vpgatherqq zmm20{k3}, [r8+zmm6*1]", (c) => c.gather(20, General.r8, 6, 0, 3), "62c2fd4b91a43000000000"],
  [
    "vpscatterqq [rdx+zmm30*1+0x38]{k1}, zmm7",
    (c) => c.scatter(7, General.rdx, 30, 0x38, 1),
    "62b2fd41a1bc3238000000",
  ],
  [
    "vpscatterqq [rdx+zmm14*1+0x38]{k7}, zmm27",
    (c) => c.scatter(27, General.rdx, 14, 0x38, 7),
    "6222fd4fa19c3238000000",
  ],
];

describe("instructions are encoded as by GNU as", () => {
  for (const [text, encode, bytes] of ENCODED) {
    test(text, () => {
      const code = new Evex(16);
      encode(code);
      expect(Buffer.from(code.bytes()).toString("hex")).toBe(bytes);
    });
  }
});

test("jumps go forwards and back, counted from the instruction after them", () => {
  const code = new Evex(32);
  const forwards = code.jump(0xe9);
  const loop = code.length;
  code.raw(0x90, 0x90);
  code.target(code.jump(0x0f, 0x85), loop);
  code.target(forwards);
  expect(Buffer.from(code.bytes()).toString("hex")).toBe("e908000000" + "9090" + "0f85f8ffffff");
});

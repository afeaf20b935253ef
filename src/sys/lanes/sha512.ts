import { SHA512 } from "../../verity/digest.ts";
import { BLOCK_SIZE, LANES } from "../../verity/merkle.ts";
import { Evex, General } from "./evex.ts";

/** FIPS 180-4, section 4.2.3. */
const ROUND_CONSTANTS = `
  428a2f98d728ae22 7137449123ef65cd b5c0fbcfec4d3b2f e9b5dba58189dbbc 3956c25bf348b538
  59f111f1b605d019 923f82a4af194f9b ab1c5ed5da6d8118 d807aa98a3030242 12835b0145706fbe
  243185be4ee4b28c 550c7dc3d5ffb4e2 72be5d74f27b896f 80deb1fe3b1696b1 9bdc06a725c71235
  c19bf174cf692694 e49b69c19ef14ad2 efbe4786384f25e3 0fc19dc68b8cd5b5 240ca1cc77ac9c65
  2de92c6f592b0275 4a7484aa6ea6e483 5cb0a9dcbd41fbd4 76f988da831153b5 983e5152ee66dfab
  a831c66d2db43210 b00327c898fb213f bf597fc7beef0ee4 c6e00bf33da88fc2 d5a79147930aa725
  06ca6351e003826f 142929670a0e6e70 27b70a8546d22ffc 2e1b21385c26c926 4d2c6dfc5ac42aed
  53380d139d95b3df 650a73548baf63de 766a0abb3c77b2a8 81c2c92e47edaee6 92722c851482353b
  a2bfe8a14cf10364 a81a664bbc423001 c24b8b70d0f89791 c76c51a30654be30 d192e819d6ef5218
  d69906245565a910 f40e35855771202a 106aa07032bbd1b8 19a4c116b8d2d0c8 1e376c085141ab53
  2748774cdf8eeb99 34b0bcb5e19b48a8 391c0cb3c5c95a63 4ed8aa4ae3418acb 5b9cca4f7763e373
  682e6ff3d6b2b8a3 748f82ee5defb2fc 78a5636f43172f60 84c87814a1f0ab72 8cc702081a6439ec
  90befffa23631e28 a4506cebde82bde9 bef9a3f7b2c67915 c67178f2e372532b ca273eceea26619c
  d186b8c721c0c207 eada7dd6cde0eb1e f57d4f7fee6ed178 06f067aa72176fba 0a637dc5a2c898a6
  113f9804bef90dae 1b710b35131c471b 28db77f523047d84 32caab7b40c72493 3c9ebe0a15c9bebc
  431d67c49c100d4c 4cc5d4becb3e42b6 597f299cfc657e2a 5fcb6fab3ad6faec 6c44198c4a475817
`
  .trim()
  .split(/\s+/);

/** FIPS 180-4, section 5.3.5. */
const INITIAL_STATE = [
  "6a09e667f3bcc908",
  "bb67ae8584caa73b",
  "3c6ef372fe94f82b",
  "a54ff53a5f1d36f1",
  "510e527fade682d1",
  "9b05688c2b3e6c1f",
  "1f83d9abfb41bd6b",
  "5be0cd19137e2179",
];

/** Bytes of a 512-bit register. */
const REGISTER_SIZE = 64;
/** Bytes of SHA-512's own blocks. */
const CHUNK_SIZE = 128;

/** Where the data of the code lies, counted from its beginning. */
enum Table {
  RoundConstants = 0,
  InitialState = 640,
  /** 64 bytes: the bytes of each word the other way round. */
  ByteOrder = 704,
  /** 64 bytes: where the block of each lane begins. */
  InputOffsets = 768,
  /** 64 bytes: where the hash of each lane goes. */
  OutputOffsets = 832,
  /** First and last word of the padding. */
  PaddingStart = 896,
  PaddingEnd = 904,
}

/** What the registers hold. From 0 on, the eight variables a to h; from 8 on, sixteen words of the schedule. */
const WORDS = 8;
const T0 = 24;
const T1 = 25;
const T2 = 26;
const INPUT_OFFSETS = 29;
const OUTPUT_OFFSETS = 30;
const BYTE_ORDER = 31;
/** Mask registers: the lanes in use, and a copy for instructions that clear it. */
const LANES_IN_USE = 2;
const MASK = 1;

/** Bytes of the code and its data, rounded up. */
const MAX_CODE = 8192;

/** Results for the bits abc = 000, 001, ... 111, from the lowest bit on. */
const XOR = 0b1001_0110;
const CHOOSE = 0b1100_1010;
const MAJORITY = 0b1110_1000;

/**
 * x86-64 code that hashes up to eight consecutive blocks of 4096 bytes at a time, one in each 64-bit lane of AVX-512
 * registers:
 *
 *     void hash(const uint8_t *data, uint64_t offset, uint8_t *out, uint64_t outOffset, uint32_t lanes)
 *
 * `lanes` has a bit for each block, from the lowest on; blocks without one are neither read nor hashed. Needs AVX512F
 * and AVX512BW. It uses no register that belongs to its caller, and works wherever it is put.
 */
export function laneHashCode(): Uint8Array {
  const code = new Evex(MAX_CODE);
  code.raw(0x55); // push rbp
  code.raw(0x48, 0x89, 0xe5); // mov rbp, rsp
  code.raw(0x48, 0x81, 0xec); // sub rsp, 512: room for the state
  code.uint32(8 * REGISTER_SIZE);
  code.raw(0x48, 0x83, 0xe4, 0xc0); // and rsp, -64
  code.raw(0x48, 0x01, 0xf7); // add rdi, rsi
  code.raw(0x48, 0x01, 0xca); // add rdx, rcx
  code.raw(0x44, 0x89, 0xc0); // mov eax, r8d
  code.raw(0xc5, 0xf8, 0x92, 0xd0); // kmovw k2, eax
  const tableAt = code.jump(0x4c, 0x8d, 0x0d); // lea r9, [rip + ...]

  for (let i = 0; i < 8; i++) code.broadcast(i, General.r9, Table.InitialState + 8 * i);
  code.load(BYTE_ORDER, General.r9, Table.ByteOrder);
  code.load(INPUT_OFFSETS, General.r9, Table.InputOffsets);
  code.load(OUTPUT_OFFSETS, General.r9, Table.OutputOffsets);
  code.raw(0xb8); // mov eax, number of chunks, the padding included
  code.uint32(BLOCK_SIZE / CHUNK_SIZE + 1);

  const chunk = code.length;
  for (let i = 0; i < 8; i++) code.store(i, General.rsp, REGISTER_SIZE * i);
  code.raw(0x83, 0xf8, 1); // cmp eax, 1
  const toPadding = code.jump(0x0f, 0x84); // je
  for (let i = 0; i < 16; i++) {
    copyMask(code);
    code.gather(WORDS + i, General.rdi, INPUT_OFFSETS, 8 * i, MASK);
    code.shuffleBytes(WORDS + i, WORDS + i, BYTE_ORDER);
  }
  code.raw(0x48, 0x81, 0xc7); // add rdi, 128
  code.uint32(CHUNK_SIZE);
  const toRounds = code.jump(0xe9); // jmp
  code.target(toPadding);
  code.broadcast(WORDS, General.r9, Table.PaddingStart);
  for (let i = 1; i < 15; i++) code.xor(WORDS + i, WORDS + i, WORDS + i);
  code.broadcast(WORDS + 15, General.r9, Table.PaddingEnd);
  code.target(toRounds);

  code.raw(0x4c, 0x89, 0xc9); // mov rcx, r9
  code.raw(0xbe); // mov esi, 4
  code.uint32(4);
  const rounds = code.length;
  for (let i = 0; i < 16; i++) {
    round(code, i);
    extendSchedule(code, i);
  }
  code.raw(0x48, 0x81, 0xc1); // add rcx, 128
  code.uint32(16 * 8);
  code.raw(0xff, 0xce); // dec esi
  code.target(code.jump(0x0f, 0x85), rounds); // jnz
  for (let i = 0; i < 16; i++) round(code, i);

  for (let i = 0; i < 8; i++) {
    code.load(T0, General.rsp, REGISTER_SIZE * i);
    code.add(i, i, T0);
  }
  code.raw(0xff, 0xc8); // dec eax
  code.target(code.jump(0x0f, 0x85), chunk); // jnz

  for (let i = 0; i < 8; i++) {
    code.shuffleBytes(i, i, BYTE_ORDER);
    copyMask(code);
    code.scatter(i, General.rdx, OUTPUT_OFFSETS, 8 * i, MASK);
  }
  code.raw(0x48, 0x89, 0xec); // mov rsp, rbp
  code.raw(0x5d); // pop rbp
  code.raw(0xc5, 0xf8, 0x77); // vzeroupper
  code.raw(0xc3); // ret

  code.align(REGISTER_SIZE);
  code.target(tableAt);
  table(code);
  return code.bytes();
}

/** kmovw k1, k2 */
function copyMask(code: Evex): void {
  code.raw(0xc5, 0xf8, 0x90, 0xc0 | (MASK << 3) | LANES_IN_USE);
}

/** One round, with the variables where the rounds before it have left them; `rcx` points to the first constant of 16. */
function round(code: Evex, i: number): void {
  const [a, b, c, d, e, f, g, h] = Array.from({ length: 8 }, (_, v) => (v - i + 16) % 8) as Eight;
  code.addBroadcast(T2, WORDS + i, General.rcx, 8 * i);
  code.add(h, h, T2);
  code.rotateRight(T2, e, 41);
  addMixed(code, h, e, 14, 18);
  code.move(T1, e);
  code.ternary(T1, f, g, CHOOSE);
  code.add(h, h, T1);
  code.add(d, d, h);
  code.rotateRight(T2, a, 39);
  addMixed(code, h, a, 28, 34);
  code.move(T1, a);
  code.ternary(T1, b, c, MAJORITY);
  code.add(h, h, T1);
}

type Eight = [number, number, number, number, number, number, number, number];

/** Puts the word that is needed 16 rounds later in the place of word `i`. */
function extendSchedule(code: Evex, i: number): void {
  const word = (distance: number) => WORDS + ((i + distance) % 16);
  code.add(word(0), word(0), word(9));
  code.shiftRight(T2, word(1), 7);
  addMixed(code, word(0), word(1), 1, 8);
  code.shiftRight(T2, word(14), 6);
  addMixed(code, word(0), word(14), 19, 61);
}

/** Adds to `sum` the exclusive or of T2 and two rotations of `from`; T0 and T1 are overwritten. */
function addMixed(code: Evex, sum: number, from: number, first: number, second: number): void {
  code.rotateRight(T0, from, first);
  code.rotateRight(T1, from, second);
  code.ternary(T0, T1, T2, XOR);
  code.add(sum, sum, T0);
}

/** What `Table` says. */
function table(code: Evex): void {
  for (const word of [...ROUND_CONSTANTS, ...INITIAL_STATE]) code.uint64(BigInt(`0x${word}`));
  for (let i = 0; i < 64; i++) code.raw((i % 16) ^ 7);
  for (let lane = 0; lane < LANES; lane++) code.uint64(BigInt(lane * BLOCK_SIZE));
  for (let lane = 0; lane < LANES; lane++) code.uint64(BigInt(lane * SHA512.size));
  code.uint64(1n << 63n);
  code.uint64(BigInt(BLOCK_SIZE * 8));
}

/**
 * Encodes the few AVX-512 instructions on 512-bit registers that hashing needs (Intel's Software Developer's Manual,
 * volume 2, section 2.7: EVEX). Operands are numbers of registers, the destination first.
 */
export class Evex {
  readonly #buffer: Buffer;
  #length = 0;

  /** @param capacity in bytes. */
  constructor(capacity: number) {
    this.#buffer = Buffer.alloc(capacity);
  }

  /** Offset of the next instruction. */
  get length(): number {
    return this.#length;
  }

  /** Other instructions, as bytes. */
  raw(...bytes: number[]): void {
    for (const byte of bytes) this.#byte(byte);
  }

  uint32(value: number): void {
    this.#length = this.#buffer.writeUInt32LE(value, this.#length);
  }

  uint64(value: bigint): void {
    this.#length = this.#buffer.writeBigUInt64LE(value, this.#length);
  }

  /** Fills up with zeros. */
  align(size: number): void {
    while (this.#length % size !== 0) this.#byte(0);
  }

  /** A jump, or anything else that ends in a 32-bit distance. @returns where that is, for `target`. */
  jump(...opcode: number[]): number {
    this.raw(...opcode);
    this.uint32(0);
    return this.#length - 4;
  }

  /** Makes a `jump` go to `to`: by default what comes next. */
  target(distanceAt: number, to = this.#length): void {
    this.#buffer.writeInt32LE(to - distanceAt - 4, distanceAt);
  }

  /** vpaddq */
  add(to: number, a: number, b: number): void {
    this.#registers(Prefix.x66, OpcodeMap.x0F, 0xd4, to, a, b);
  }

  /** vpaddq with eight times the 64-bit number at `base + offset`. */
  addBroadcast(to: number, a: number, base: General, offset: number): void {
    this.#memory(Prefix.x66, OpcodeMap.x0F, 0xd4, to, a, base, offset, BROADCAST);
  }

  /** vpxorq */
  xor(to: number, a: number, b: number): void {
    this.#registers(Prefix.x66, OpcodeMap.x0F, 0xef, to, a, b);
  }

  /** vmovdqa64 */
  move(to: number, from: number): void {
    this.#registers(Prefix.x66, OpcodeMap.x0F, 0x6f, to, 0, from);
  }

  /** vprorq */
  rotateRight(to: number, from: number, count: number): void {
    this.#registers(Prefix.x66, OpcodeMap.x0F, 0x72, 0, to, from);
    this.raw(count);
  }

  /** vpsrlq */
  shiftRight(to: number, from: number, count: number): void {
    this.#registers(Prefix.x66, OpcodeMap.x0F, 0x73, 2, to, from);
    this.raw(count);
  }

  /** vpternlogq: `table` has the result for each of the eight combinations of a bit of `to`, `a` and `b`. */
  ternary(to: number, a: number, b: number, table: number): void {
    this.#registers(Prefix.x66, OpcodeMap.x0F3A, 0x25, to, a, b);
    this.raw(table);
  }

  /** vpshufb */
  shuffleBytes(to: number, from: number, order: number): void {
    this.#registers(Prefix.x66, OpcodeMap.x0F38, 0x00, to, from, order);
  }

  /** vmovdqu64 */
  load(to: number, base: General, offset: number): void {
    this.#memory(Prefix.xF3, OpcodeMap.x0F, 0x6f, to, 0, base, offset);
  }

  /** vmovdqu64 */
  store(from: number, base: General, offset: number): void {
    this.#memory(Prefix.xF3, OpcodeMap.x0F, 0x7f, from, 0, base, offset);
  }

  /** vpbroadcastq */
  broadcast(to: number, base: General, offset: number): void {
    this.#memory(Prefix.x66, OpcodeMap.x0F38, 0x59, to, 0, base, offset);
  }

  /** vpgatherqq: of the lanes in `mask`, which is zero afterwards. */
  gather(to: number, base: General, index: number, offset: number, mask: number): void {
    this.#indexed(0x91, to, base, index, offset, mask);
  }

  /** vpscatterqq: of the lanes in `mask`, which is zero afterwards. */
  scatter(from: number, base: General, index: number, offset: number, mask: number): void {
    this.#indexed(0xa1, from, base, index, offset, mask);
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #byte(value: number): void {
    this.#buffer[this.#length++] = value;
  }

  #registers(prefix: Prefix, map: OpcodeMap, opcode: number, reg: number, vvvv: number, rm: number): void {
    this.#prefix(prefix, map, reg, bit(rm, 3), bit(rm, 4), vvvv, bit(vvvv, 4), 0);
    this.#byte(opcode);
    this.#byte(0xc0 | ((reg & 7) << 3) | (rm & 7));
  }

  /** Always with a 32-bit offset: the short one would have to be divided by the size of the operand. */
  #memory(
    prefix: Prefix,
    map: OpcodeMap,
    opcode: number,
    reg: number,
    vvvv: number,
    base: General,
    offset: number,
    flags = 0,
  ): void {
    this.#prefix(prefix, map, reg, bit(base, 3), 0, vvvv, bit(vvvv, 4), flags);
    this.#byte(opcode);
    this.#byte(0x80 | ((reg & 7) << 3) | (base & 7));
    // The number of rsp says that a byte for an index follows; this one says that there is none.
    if ((base & 7) === General.rsp) this.#byte(0x24);
    this.uint32(offset >>> 0);
  }

  #indexed(opcode: number, reg: number, base: General, index: number, offset: number, mask: number): void {
    this.#prefix(Prefix.x66, OpcodeMap.x0F38, reg, bit(base, 3), bit(index, 3), 0, bit(index, 4), mask);
    this.#byte(opcode);
    this.#byte(0x80 | ((reg & 7) << 3) | 4);
    this.#byte(((index & 7) << 3) | (base & 7));
    this.uint32(offset >>> 0);
  }

  /** The bits that are the highest of the numbers of registers are inverted. */
  #prefix(
    prefix: Prefix,
    map: OpcodeMap,
    reg: number,
    b: number,
    x: number,
    vvvv: number,
    vHigh: number,
    flags: number,
  ): void {
    this.#byte(0x62);
    this.#byte((((bit(reg, 3) << 7) | (x << 6) | (b << 5) | (bit(reg, 4) << 4)) ^ 0xf0) | map);
    this.#byte(WIDE | ((~vvvv & 15) << 3) | 4 | prefix);
    this.#byte(LENGTH_512 | ((vHigh ^ 1) << 3) | flags);
  }
}

/** Elements of 64 bits. */
const WIDE = 0x80;
const LENGTH_512 = 0x40;
const BROADCAST = 0x10;

/** General registers, by their numbers. */
export enum General {
  rcx = 1,
  rdx = 2,
  rsp = 4,
  rdi = 7,
  r8 = 8,
  r9 = 9,
}

enum Prefix {
  x66 = 1,
  xF3 = 2,
}

enum OpcodeMap {
  x0F = 1,
  x0F38 = 2,
  x0F3A = 3,
}

function bit(value: number, index: number): number {
  return (value >> index) & 1;
}

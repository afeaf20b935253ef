import { createHash } from "node:crypto";
import type { Algorithm } from "../../../src/verity/digest.ts";

/** fs-verity digest in hex, written down from the kernel's documentation: independent of what the program uses. */
export function verityOracle(bytes: Uint8Array, algorithm: Algorithm): string {
  let level = Buffer.from(bytes);
  do {
    const hashes: Buffer[] = [];
    for (let at = 0; at < level.length; at += 4096) {
      const block = Buffer.alloc(4096);
      level.copy(block, 0, at, at + 4096);
      hashes.push(createHash(algorithm.hash).update(block).digest());
    }
    level = Buffer.concat(hashes);
  } while (level.length > algorithm.size);
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, algorithm.kernelId, 12]);
  descriptor.writeBigUInt64LE(BigInt(bytes.length), 8);
  level.copy(descriptor, 16);
  return createHash(algorithm.hash).update(descriptor).digest("hex");
}

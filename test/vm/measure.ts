/**
 * Compares our fs-verity digests with the kernel's. Runs in the VM: `measure.ts DIRECTORY`, where files are made.
 * Prints a line for each file, `ok NAME` or `not ok NAME`.
 */
import { join } from "node:path";
import { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY, open, writeAll } from "../../src/sys/file.ts";
import { enableVerity, measureVerity } from "../../src/sys/verity.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest, VerityHasher } from "../../src/verity/merkle.ts";

/** Around block boundaries, and around those where a Merkle tree of either hash grows by a level. */
const SIZES = [
  0, 1, 4095, 4096, 4097, 8192, 262_143, 262_144, 262_145, 524_288, 524_289, 16_777_216, 16_777_217,
];

const directory = process.argv[2]!;

for (const algorithm of [SHA256, SHA512]) {
  for (const size of SIZES) {
    const data = new Uint8Array(size);
    for (let i = 0; i < size; i++) data[i] = (i * 2654435761) >>> 24;
    const name = `${algorithm.hash}-${size}`;
    const path = join(directory, name);
    {
      using file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0o644);
      writeAll(file.fd, data);
    }
    using file = open(path, O_RDONLY);
    const before = measureVerity(file.fd, algorithm).state;
    enableVerity(file.fd, algorithm);
    const measured = measureVerity(file.fd, algorithm);
    const found = measured.state === "measured" ? measured.id : measured.state;
    const inOnePiece = fsVerityDigest(data, algorithm);
    const hasher = new VerityHasher(algorithm);
    for (let at = 0; at < size; at += 10_007) hasher.update(data.subarray(at, at + 10_007));
    const inPieces = hasher.digest();
    const otherHash = measureVerity(file.fd, algorithm === SHA256 ? SHA512 : SHA256).state;
    const good = before === "missing" && inOnePiece === found && inPieces === found && otherHash === "other";
    console.log(
      good
        ? `ok kernel's digest of ${name}`
        : `not ok ${name}: kernel ${found}, ours ${inOnePiece} and ${inPieces}; before ${before}, as the other hash ${otherHash}`,
    );
  }
}

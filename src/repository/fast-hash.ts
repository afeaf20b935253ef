import { sha512Lanes } from "../sys/lanes/load.ts";
import { systemSha512 } from "../sys/libcrypto.ts";
import type { HashName } from "../verity/digest.ts";
import { replaceSha512 } from "../verity/merkle.ts";

/** For threads that hash much: uses what is faster than Bun's SHA-512 on this machine. Finding it takes about 2 ms. */
export function preferFastHash(name: HashName): void {
  if (name === "sha512") replaceSha512(systemSha512(), sha512Lanes());
}

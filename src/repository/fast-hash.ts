import { systemSha512 } from "../sys/libcrypto.ts";
import type { HashName } from "../verity/digest.ts";
import { replaceSha512 } from "../verity/merkle.ts";

/** For threads that hash much: uses the system's SHA-512 where it is faster than Bun's. Loading it takes about 1 ms. */
export function preferSystemHash(name: HashName): void {
  if (name !== "sha512") return;
  const hash = systemSha512();
  if (hash !== undefined) replaceSha512(hash);
}

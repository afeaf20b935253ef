import { sha512Lanes } from "../sys/lanes/load.ts";
import { systemSha512 } from "../sys/libcrypto.ts";
import { offerSha512 } from "../verity/merkle.ts";

/** Lets this thread hash with what is fastest on this machine, as soon as it hashes more than a few files. */
export function offerFastHash(): void {
  offerSha512(() => ({ one: systemSha512(), lanes: sha512Lanes() }));
}

import { CfsError, withContext } from "../../errors.ts";
import {
  joinKeyrings,
  type Keyring,
  MAX_KEYRING_SIZE,
  readKeyring,
} from "../../signature/openpgp/keyring.ts";
import { type PublicKey, readPublicKey } from "../../signature/public-key.ts";
import { O_NONBLOCK, O_RDONLY, open, readSmallFile } from "../../sys/file.ts";
import type { KeySource } from "./requirements.ts";

const MAX_KEY_SIZE = 64 * 1024;

/** The OpenPGP keys that a requirement names. @throws CfsError */
export function loadKeyring(sources: readonly KeySource[]): Keyring {
  return joinKeyrings(
    sources.map((source) => {
      const keyring = readKeyring(read(source, MAX_KEYRING_SIZE), label(source));
      if (keyring.certificates.length === 0)
        throw new CfsError("Invalid", `${label(source)} has no OpenPGP key that can be used`);
      return keyring;
    }),
  );
}

/** The keys in PEM that a requirement names. @throws CfsError */
export function loadPublicKeys(sources: readonly KeySource[]): PublicKey[] {
  return sources.map((source) => readPublicKey(read(source, MAX_KEY_SIZE), label(source)));
}

function label(source: KeySource): string {
  return "path" in source ? `key file ${source.path}` : "the key in the policy";
}

function read(source: KeySource, max: number): Uint8Array {
  if (!("path" in source)) return source.data;
  try {
    using file = open(source.path, O_RDONLY | O_NONBLOCK);
    return readSmallFile(file, max);
  } catch (error) {
    throw withContext(label(source), error);
  }
}

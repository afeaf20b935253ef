import type { Keyring } from "../../signature/openpgp/keyring.ts";
import { verifySignedMessage } from "../../signature/openpgp/message.ts";
import { MAX_SIGNATURE_SIZE } from "./found-signatures.ts";
import type { SignedBy } from "./requirements.ts";
import { ATOMIC_SIGNATURE, parseSimplePayload } from "./simple-signing.ts";
import { problemOfClaim, type Subject } from "./subject.ts";

/**
 * Why a simple signature (containers-signature(5)) does not meet a requirement; undefined when it does.
 * @throws CfsError when it is malformed, or not by a key that is trusted.
 */
export function problemOfSimple(
  signature: Uint8Array,
  { identity }: SignedBy,
  keyring: Keyring,
  subject: Subject,
): string | undefined {
  const { content } = verifySignedMessage(keyring, signature, MAX_SIGNATURE_SIZE);
  return problemOfClaim(parseSimplePayload(content, ATOMIC_SIGNATURE), identity, subject);
}

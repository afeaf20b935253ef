import { type SigstoreKeys, type Verdict, verifyCosign } from "./cosign-signature.ts";
import type { SigstoreSigned } from "./requirements.ts";
import { verifyBundle } from "./sigstore-bundle.ts";
import type { SigstoreSignature } from "./sigstore-signatures.ts";
import { problemOfClaim, type Subject } from "./subject.ts";

/**
 * Why a signature of sigstore does not meet a requirement; undefined when it does.
 * @throws CfsError when it is malformed.
 */
export function problemOfSigstore(
  signature: SigstoreSignature,
  { identity }: SigstoreSigned,
  keys: SigstoreKeys,
  subject: Subject,
): string | undefined {
  const verdict = verify(signature, keys);
  return "problem" in verdict ? verdict.problem : problemOfClaim(verdict.claim, identity, subject);
}

function verify(signature: SigstoreSignature, keys: SigstoreKeys): Verdict {
  if ("unreadable" in signature) return { problem: signature.unreadable };
  return "bundle" in signature ? verifyBundle(signature.bundle, keys) : verifyCosign(signature, keys);
}

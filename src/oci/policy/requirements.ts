import type { ImageName } from "./image-name.ts";

/** A file with keys, or keys in the policy itself. */
export type KeySource = { readonly path: string } | { readonly data: Uint8Array };

/** Which name a signature has to give the image: `signedIdentity` of containers-policy.json(5). */
export type IdentityRule =
  | { readonly type: "matchExact" | "matchRepoDigestOrExact" | "matchRepository" }
  | { readonly type: "exactReference"; readonly reference: ImageName }
  | { readonly type: "exactRepository"; readonly repository: string }
  | { readonly type: "remapIdentity"; readonly prefix: string; readonly signedPrefix: string };

export interface SignedBy {
  readonly type: "signedBy";
  readonly keys: readonly KeySource[];
  readonly identity: IdentityRule;
}

export interface SigstoreSigned {
  readonly type: "sigstoreSigned";
  /** Empty when another authority is demanded. */
  readonly keys: readonly KeySource[];
  /** Of transparency logs that must have an entry of the signature; empty when none is demanded. */
  readonly rekorKeys: readonly KeySource[];
  /** What is demanded that can't be checked: "fulcio" or "pki". */
  readonly unsupported: string | undefined;
  readonly identity: IdentityRule;
}

/** A requirement that an image has to meet. */
export type Requirement =
  | { readonly type: "insecureAcceptAnything" }
  | { readonly type: "reject" }
  | SignedBy
  | SigstoreSigned;

/** A signature policy. */
export interface Policy {
  /** Where it was read. */
  readonly file: string;
  readonly default: readonly Requirement[];
  /** Requirements by transport and scope. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, readonly Requirement[]>>;
}

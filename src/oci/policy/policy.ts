import { CfsError, withContext } from "../../errors.ts";
import { lazy } from "../../lazy.ts";
import type { Keyring } from "../../signature/openpgp/keyring.ts";
import { loadRegistryConfiguration } from "../containers/configuration.ts";
import type { ImageReference } from "../reference.ts";
import type { RegistryConfiguration } from "../registry/types.ts";
import type { FoundManifest, ImageSource } from "../source.ts";
import type { SigstoreKeys } from "./cosign-signature.ts";
import { problemOfAll } from "./found-signatures.ts";
import { needsName } from "./identity-rule.ts";
import { loadKeyring, loadPublicKeys } from "./keys.ts";
import { loadPolicy } from "./policy-file.ts";
import type { Requirement, SignedBy, SigstoreSigned } from "./requirements.ts";
import { applicableTo } from "./scopes.ts";
import { problemOfSimple } from "./signed-by.ts";
import { findSigstoreSignatures } from "./sigstore-signatures.ts";
import { problemOfSigstore } from "./sigstore-signed.ts";
import { findSimpleSignatures } from "./simple-signatures.ts";
import { type Subject, subjectOf, wantedName } from "./subject.ts";

/** What the signature policy (containers-policy.json(5)) demands of one image. */
export interface ImagePolicy {
  /**
   * Refuses what can be refused without a look at the image; before anything is asked for.
   * @throws CfsError Permission, Unsupported; Invalid when keys can't be used
   */
  admit(): void;
  /**
   * Checks the signatures of the image; before anything of it is stored.
   * @throws CfsError Permission when they don't suffice
   */
  verify(found: FoundManifest, source: ImageSource): Promise<void>;
}

/**
 * The policy for an image. Where there is no policy file, everything is accepted. Requirements that can't be checked
 * are never taken as met.
 * @param policyFile instead of the user's and the system's; it must exist then.
 * @param configuration for signatures that are read over the network.
 * @throws CfsError Invalid for a malformed policy
 */
export function imagePolicy(
  reference: ImageReference,
  policyFile?: string,
  configuration: () => RegistryConfiguration = loadRegistryConfiguration,
): ImagePolicy {
  const policy = loadPolicy(policyFile);
  const { requirements, where } =
    policy === undefined ? { requirements: [], where: "" } : applicableTo(policy, reference);
  const checks = requirements.map((requirement) => checkOf(requirement, reference, configuration));
  const because = (type: string, error: unknown) =>
    withContext(`signature policy ${policy?.file}: ${type} for ${reference.text} (${where})`, error);
  return {
    admit() {
      for (const { type, admit } of checks) {
        try {
          admit();
        } catch (error) {
          throw because(type, error);
        }
      }
    },
    async verify(found, source) {
      const subject = subjectOf(reference, found);
      for (const { type, verify } of checks) {
        try {
          const problem = await verify(subject, source);
          if (problem !== undefined) throw new CfsError("Permission", problem);
        } catch (error) {
          throw because(type, error);
        }
      }
    },
  };
}

/** One requirement, ready to be checked. */
interface Check {
  readonly type: Requirement["type"];
  admit(): void;
  /** @returns why it is not met; undefined when it is. */
  verify(subject: Subject, source: ImageSource): Promise<string | undefined>;
}

function checkOf(
  requirement: Requirement,
  reference: ImageReference,
  configuration: () => RegistryConfiguration,
): Check {
  switch (requirement.type) {
    case "insecureAcceptAnything":
      return { type: requirement.type, admit() {}, verify: async () => undefined };
    case "reject":
      return {
        type: requirement.type,
        admit() {
          throw rejected();
        },
        async verify() {
          throw rejected();
        },
      };
    case "signedBy":
      return checkSignedBy(requirement, reference, configuration);
    case "sigstoreSigned":
      return checkSigstoreSigned(requirement, reference);
  }
}

function rejected(): CfsError {
  return new CfsError("Permission", "images from there are rejected");
}

function checkSignedBy(
  requirement: SignedBy,
  reference: ImageReference,
  configuration: () => RegistryConfiguration,
): Check {
  const keyring = lazy((): Keyring => loadKeyring(requirement.keys));
  return {
    type: requirement.type,
    admit() {
      requireName(requirement, reference);
      keyring();
    },
    async verify(subject) {
      const search = await findSimpleSignatures(reference, subject, configuration);
      return problemOfAll(search, (content) => problemOfSimple(content, requirement, keyring(), subject));
    },
  };
}

function checkSigstoreSigned(requirement: SigstoreSigned, reference: ImageReference): Check {
  const keys = lazy((): SigstoreKeys => {
    const { unsupported } = requirement;
    if (unsupported !== undefined) {
      throw new CfsError("Unsupported", `"${unsupported}" is demanded, which can't be checked`, {
        hint: "verify the image with another tool, or name another policy with --signature-policy",
      });
    }
    return { keys: loadPublicKeys(requirement.keys), rekorKeys: loadPublicKeys(requirement.rekorKeys) };
  });
  return {
    type: requirement.type,
    admit() {
      keys();
      requireName(requirement, reference);
    },
    async verify(subject, source) {
      const trusted = keys();
      const search = await findSigstoreSignatures(reference, source, subject);
      return problemOfAll(search, (content) => problemOfSigstore(content, requirement, trusted, subject));
    },
  };
}

/** @throws CfsError Invalid when signatures have to be for a name that the image can't have. */
function requireName({ identity }: SignedBy | SigstoreSigned, reference: ImageReference): void {
  if (!needsName(identity) || wantedName(reference) !== undefined) return;
  throw new CfsError("Permission", `"${identity.type}" compares names, and the image has none`, {
    hint: 'use "exactReference" or "exactRepository" as "signedIdentity" for images that are not from a registry',
  });
}

import { CfsError } from "../../errors.ts";
import { asObject, type JsonObject, requiredString } from "../json.ts";
import { formatImageName, type ImageName, parseImageName } from "./image-name.ts";
import type { IdentityRule } from "./requirements.ts";
import { refuseUnknown } from "./unambiguous-json.ts";

const DEFAULT: IdentityRule = { type: "matchRepoDigestOrExact" };
/** `HOST[:PORT]` or `HOST[:PORT]/PATH`, where the host is one without doubt. */
const PREFIX =
  /^(?:localhost(?::[0-9]+)?|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]+)?|[A-Za-z0-9-]+:[0-9]+|\[[0-9A-Fa-f:]+\](?::[0-9]+)?)(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

/** Reads `signedIdentity` of a requirement. @throws CfsError Invalid */
export function parseIdentityRule(requirement: JsonObject, where: string): IdentityRule {
  if (requirement.signedIdentity === undefined) return DEFAULT;
  const what = `${where}: "signedIdentity"`;
  const object = asObject(requirement.signedIdentity, what);
  const type = requiredString(object, "type", what);
  switch (type) {
    case "matchExact":
    case "matchRepoDigestOrExact":
    case "matchRepository":
      refuseUnknown(object, ["type"], what);
      return { type };
    case "exactReference": {
      refuseUnknown(object, ["type", "dockerReference"], what);
      const reference = parseImageName(requiredString(object, "dockerReference", what));
      if (reference.tag === undefined && reference.digest === undefined)
        throw new CfsError("Invalid", `${what}: "dockerReference" has neither tag nor digest`);
      return { type, reference };
    }
    case "exactRepository":
      refuseUnknown(object, ["type", "dockerRepository"], what);
      return {
        type,
        repository: parseImageName(requiredString(object, "dockerRepository", what)).repository,
      };
    case "remapIdentity":
      refuseUnknown(object, ["type", "prefix", "signedPrefix"], what);
      return {
        type,
        prefix: parsePrefix(object, "prefix", what),
        signedPrefix: parsePrefix(object, "signedPrefix", what),
      };
    default:
      throw new CfsError("Invalid", `${what}: ${JSON.stringify(type)} is not a known type`);
  }
}

function parsePrefix(object: JsonObject, key: string, what: string): string {
  const prefix = requiredString(object, key, what);
  if (!PREFIX.test(prefix))
    throw new CfsError("Invalid", `${what}: "${key}" must be HOST[:PORT] or HOST[:PORT]/PATH`);
  return prefix;
}

/**
 * Why a signature that names an image can't be for the one that is wanted; undefined when it is.
 * @param wanted undefined when the transport knows no such names.
 * @param signed as the signature has it.
 */
export function problemOfIdentity(
  rule: IdentityRule,
  wanted: ImageName | undefined,
  signed: string,
): string | undefined {
  let name: ImageName;
  try {
    name = parseImageName(signed);
  } catch {
    return "the signature is for something that is no name of an image";
  }
  const problem = (expected: string) => `the signature is for ${formatImageName(name)}, not for ${expected}`;
  if (rule.type === "exactReference")
    return areSame(name, rule.reference) ? undefined : problem(formatImageName(rule.reference));
  if (rule.type === "exactRepository")
    return name.repository === rule.repository ? undefined : problem(rule.repository);
  if (wanted === undefined) return "the image has no name that a signature could be for";
  const expected = rule.type === "remapIdentity" ? remap(wanted, rule.prefix, rule.signedPrefix) : wanted;
  if (matches(rule, expected, name)) return undefined;
  const lacksTag = name.tag === undefined && name.digest === undefined;
  const why = problem(formatImageName(expected));
  return lacksTag && name.repository === expected.repository ? `${why}; "matchRepository" accepts that` : why;
}

function matches(rule: IdentityRule, wanted: ImageName, signed: ImageName): boolean {
  if (rule.type === "matchRepository") return signed.repository === wanted.repository;
  if (rule.type === "matchExact") return areSame(signed, wanted);
  if (wanted.tag === undefined) return wanted.digest !== undefined && signed.repository === wanted.repository;
  return areSame(signed, wanted) || areSame(signed, { ...wanted, digest: undefined });
}

function areSame(a: ImageName, b: ImageName): boolean {
  return formatImageName(a) === formatImageName(b);
}

function remap(wanted: ImageName, prefix: string, signedPrefix: string): ImageName {
  const { repository } = wanted;
  if (repository !== prefix && !repository.startsWith(`${prefix}/`)) return wanted;
  return { ...wanted, repository: signedPrefix + repository.slice(prefix.length) };
}

/**
 * Why a signature that names no image, but only a digest, can't be accepted; undefined when it can. It is found as a
 * referrer in the image's repository, which is all that `matchRepository` can hope for; and who asks for a digest
 * gets that and nothing else.
 */
export function problemOfNameless(rule: IdentityRule, wanted: ImageName | undefined): string | undefined {
  const isByDigest = wanted !== undefined && wanted.digest !== undefined && wanted.tag === undefined;
  if (wanted !== undefined && rule.type === "matchRepository") return undefined;
  if (isByDigest && rule.type === "matchRepoDigestOrExact") return undefined;
  return `the signature names no image, and "${rule.type}" demands a name; "matchRepository" does not`;
}

/** Whether a rule compares with the name of the image that is wanted. */
export function needsName({ type }: IdentityRule): boolean {
  return type !== "exactReference" && type !== "exactRepository";
}

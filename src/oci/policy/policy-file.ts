import { CfsError, withContext } from "../../errors.ts";
import { readConfigurationFile, systemPath, userPath, usualPlaces } from "../containers/places.ts";
import { comparableScope } from "../containers/scopes.ts";
import { asObject, type JsonObject, requiredArray, requiredString } from "../json.ts";
import { parseIdentityRule } from "./identity-rule.ts";
import type { KeySource, Policy, Requirement, SignedBy, SigstoreSigned } from "./requirements.ts";
import { checkScope } from "./scopes.ts";
import { parseUnambiguousJson, refuseUnknown } from "./unambiguous-json.ts";

const MAX_REQUIREMENTS = 1000;
const MAX_KEYS = 100;

/**
 * Reads the signature policy (containers-policy.json(5)): that of the user goes before that of the system.
 * @param file instead of theirs; it must exist then.
 * @returns undefined when there is none: then everything is accepted.
 * @throws CfsError Invalid for anything in it that is not understood
 */
export function loadPolicy(file?: string): Policy | undefined {
  const places = usualPlaces();
  const candidates =
    file === undefined ? [userPath(places, "policy.json"), systemPath(places, "policy.json")] : [file];
  for (const candidate of candidates) {
    const bytes = readConfigurationFile(candidate);
    if (bytes !== undefined) return parsePolicy(bytes, candidate);
  }
  if (file !== undefined)
    throw new CfsError("NotFound", `signature policy ${file}: No such file or directory`);
  return undefined;
}

/** @param file for messages. @throws CfsError Invalid */
export function parsePolicy(bytes: Uint8Array, file: string): Policy {
  try {
    const policy = parseUnambiguousJson(bytes, "policy");
    refuseUnknown(policy, ["default", "transports"], "policy");
    const transports = policy.transports === undefined ? {} : asObject(policy.transports, '"transports"');
    return {
      file,
      default: parseRequirements(policy, "default", "policy"),
      transports: new Map(
        Object.entries(transports).map(([name, scopes]) => [name, parseTransport(name, scopes)]),
      ),
    };
  } catch (error) {
    throw withContext(`signature policy ${file}`, error);
  }
}

function parseTransport(name: string, value: unknown): Map<string, readonly Requirement[]> {
  const what = `"${name}"`;
  const object = asObject(value, what);
  const hasHosts = name === "docker" || name === "docker-daemon";
  const scopes = new Map<string, readonly Requirement[]>();
  for (const key of Object.keys(object)) {
    checkScope(name, key);
    const scope = hasHosts ? comparableScope(key) : key;
    if (scopes.has(scope)) throw new CfsError("Invalid", `${what} has the scope "${scope}" twice`);
    scopes.set(scope, parseRequirements(object, key, what));
  }
  return scopes;
}

function parseRequirements(object: JsonObject, key: string, what: string): Requirement[] {
  const values = requiredArray(object, key, what, MAX_REQUIREMENTS);
  if (values.length === 0)
    throw new CfsError("Invalid", `${what}: "${key}" is an empty list of requirements`);
  return values.map((value, i) => parseRequirement(value, `${what}: "${key}": requirement ${i + 1}`));
}

function parseRequirement(value: unknown, what: string): Requirement {
  const object = asObject(value, what);
  const type = requiredString(object, "type", what);
  switch (type) {
    case "insecureAcceptAnything":
    case "reject":
      refuseUnknown(object, ["type"], what);
      return { type };
    case "signedBy":
      return parseSignedBy(object, what);
    case "sigstoreSigned":
      return parseSigstoreSigned(object, what);
    default:
      throw new CfsError("Invalid", `${what}: ${JSON.stringify(type)} is not a known type of requirement`);
  }
}

function parseSignedBy(object: JsonObject, what: string): SignedBy {
  const fields = ["keyPath", "keyPaths", "keyData"];
  refuseUnknown(object, ["type", "keyType", "signedIdentity", ...fields], what);
  const keyType = requiredString(object, "keyType", what);
  if (keyType !== "GPGKeys")
    throw new CfsError("Invalid", `${what}: "keyType" must be "GPGKeys", not ${JSON.stringify(keyType)}`);
  const keys = parseKeys(object, fields, what);
  if (keys === undefined) throw exactlyOne(fields, what);
  return { type: "signedBy", keys, identity: parseIdentityRule(object, what) };
}

function parseSigstoreSigned(object: JsonObject, what: string): SigstoreSigned {
  const keyFields = ["keyPath", "keyPaths", "keyData", "keyDatas"];
  const rekorFields = [
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
  ];
  const authorities = ["fulcio", "pki"];
  refuseUnknown(object, ["type", "signedIdentity", ...keyFields, ...rekorFields, ...authorities], what);
  const keys = parseKeys(object, keyFields, what);
  const demanded = authorities.filter((name) => object[name] !== undefined);
  if (demanded.length + (keys === undefined ? 0 : 1) !== 1)
    throw exactlyOne([...keyFields, ...authorities], what);
  for (const name of demanded) asObject(object[name], `${what}: "${name}"`);
  return {
    type: "sigstoreSigned",
    keys: keys ?? [],
    rekorKeys: parseKeys(object, rekorFields, what) ?? [],
    unsupported: demanded[0],
    identity: parseIdentityRule(object, what),
  };
}

function exactlyOne(fields: readonly string[], what: string): CfsError {
  return new CfsError("Invalid", `${what}: exactly one of ${fields.join(", ")} must be there`);
}

/** @param fields one of which may be there: those that end in "Data" and "Datas" hold keys, others name files. */
function parseKeys(object: JsonObject, fields: readonly string[], what: string): KeySource[] | undefined {
  const present = fields.filter((field) => object[field] !== undefined);
  const [field] = present;
  if (field === undefined) return undefined;
  if (present.length > 1)
    throw new CfsError("Invalid", `${what}: ${present.join(" and ")} exclude each other`);
  const isList = field.endsWith("s");
  const values = isList ? requiredArray(object, field, what, MAX_KEYS) : [object[field]];
  if (values.length === 0) throw new CfsError("Invalid", `${what}: "${field}" is empty`);
  return values.map((value) => {
    if (typeof value !== "string" || value === "")
      throw new CfsError(
        "Invalid",
        `${what}: "${field}" must be ${isList ? "an array of strings" : "a string"}`,
      );
    return /Datas?$/.test(field) ? { data: decodeBase64(value, `${what}: "${field}"`) } : { path: value };
  });
}

function decodeBase64(text: string, what: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text))
    throw new CfsError("Invalid", `${what} is not base64`);
  return new Uint8Array(Buffer.from(text, "base64"));
}

import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { CfsError, withContext } from "../errors.ts";
import { ENOENT, isErrno } from "../sys/errno.ts";
import { O_RDONLY, open, readSmallFile } from "../sys/file.ts";
import { asObject, type JsonObject, parseJsonObject, requiredArray, requiredString } from "./json.ts";
import type { ImageReference } from "./reference.ts";

const MAX_POLICY_SIZE = 1024 * 1024;
const MAX_REQUIREMENTS = 1000;

/** Where containers-policy.json(5) says that the policy is: the user's goes before the system's. */
function defaultPolicyFiles(): string[] {
  return [join(homedir(), ".config/containers/policy.json"), "/etc/containers/policy.json"];
}

/**
 * Refuses an image that the signature policy (containers-policy.json(5)) does not let in. Where there is no policy
 * file, everything is accepted. Requirements that can't be checked are never taken as met.
 * @param file instead of the user's and the system's; it must exist then.
 * @throws CfsError Permission for what is rejected, Unsupported for signatures, Invalid for a malformed policy
 */
export function enforcePolicy(reference: ImageReference, file?: string): void {
  const policy = file === undefined ? readDefaultPolicy() : { file, bytes: readPolicy(file) };
  if (policy === undefined) return;
  try {
    for (const requirement of requirementsFor(parseJsonObject(policy.bytes, "policy"), reference))
      check(requirement, reference);
  } catch (error) {
    throw withContext(`signature policy ${policy.file}`, error);
  }
}

function readDefaultPolicy(): { file: string; bytes: Uint8Array } | undefined {
  for (const file of defaultPolicyFiles()) {
    try {
      return { file, bytes: readPolicy(file) };
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
    }
  }
  return undefined;
}

function readPolicy(file: string): Uint8Array {
  using opened = open(file, O_RDONLY);
  return readSmallFile(opened, MAX_POLICY_SIZE);
}

/** The requirements of the most specific scope that the policy has; all of them must be met. */
function requirementsFor(policy: JsonObject, reference: ImageReference): readonly unknown[] {
  const byDefault = requiredArray(policy, "default", "policy", MAX_REQUIREMENTS);
  const transports =
    policy.transports === undefined ? {} : asObject(policy.transports, 'policy: "transports"');
  const what = `policy: "${reference.transport}"`;
  const own = Object.hasOwn(transports, reference.transport)
    ? asObject(transports[reference.transport], what)
    : {};
  const scope = scopesOf(reference).find((candidate) => Object.hasOwn(own, candidate));
  const found = scope === undefined ? byDefault : requiredArray(own, scope, what, MAX_REQUIREMENTS);
  if (found.length === 0) throw new CfsError("Invalid", "a list of requirements is empty");
  return found;
}

/** Names under which the policy may speak of a local image: path and tag, path, directories above, all. */
function scopesOf(reference: ImageReference): string[] {
  if (!("path" in reference)) return [""];
  const { path } = reference;
  const tag = "tag" in reference ? reference.tag : undefined;
  const scopes: string[] = [];
  let current = resolve(path);
  try {
    current = realpathSync(current);
  } catch {
    // Opening it will say what is wrong with the path.
  }
  scopes.push(`${current}:${tag ?? ""}`);
  for (; current !== "/"; current = dirname(current)) scopes.push(current);
  scopes.push("");
  return scopes;
}

function check(value: unknown, reference: ImageReference): void {
  const type = requiredString(asObject(value, "requirement"), "type", "requirement");
  if (type === "insecureAcceptAnything") return;
  if (type === "reject") throw new CfsError("Permission", `${reference.text} is rejected`);
  throw new CfsError("Unsupported", `"${type}" is demanded of ${reference.text}, which can't be checked`, {
    hint: "verify the image with another tool, or name another policy with --signature-policy",
  });
}

import { CfsError, withContext } from "../../../errors.ts";
import { type OciDigest, parseDigest } from "../../../oci/digest.ts";
import { type Algorithm, type ObjectId, parseObjectId } from "../../../verity/digest.ts";
import type { Arguments } from "../../arguments.ts";

/** A positional that must be a digest. @throws CfsError Usage */
export function digestArgument(args: Arguments, name: string): OciDigest {
  const text = args.required(name);
  try {
    return parseDigest(text);
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    throw new CfsError("Usage", `invalid value '${text}' for '<${name}>': ${error.message}`);
  }
}

/** The text of a positional as the id of an object. @throws CfsError Invalid */
export function objectIdArgument(text: string, name: string, algorithm: Algorithm): ObjectId {
  try {
    return parseObjectId(text, algorithm);
  } catch (error) {
    throw withContext(`invalid value '${text}' for '<${name}>'`, error);
  }
}

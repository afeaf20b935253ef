import { type ByteString, display, fromText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { type Algorithm, type ObjectId, objectPath, parseObjectId } from "../verity/digest.ts";

/** The two directories of a repository that hold links: `streams/ID` and `images/HEX`, and refs to them below. */
export type Category = "streams" | "images";

/** Refs live in this sub-directory of a category, so nothing else may have its name. */
export const REFS = "refs";

/** Longest name of a directory entry on Linux, in bytes. */
const MAX_NAME = 255;

/**
 * Checks the name of a ref and returns its path components. Names are relative paths such as `os/stable`.
 * @throws CfsError Invalid for names that are empty, absolute, or could lead elsewhere
 */
export function refComponents(name: string): ByteString[] {
  return pathComponents(name, "ref name");
}

/**
 * Checks the name of a stream or image as users give it, `ID` or `refs/NAME`, and returns its components.
 * @throws CfsError Invalid
 */
export function entryComponents(name: string, category: Category): ByteString[] {
  return pathComponents(name, category === "streams" ? "stream name" : "image name");
}

function pathComponents(name: string, what: string): ByteString[] {
  const invalid = (why: string) => new CfsError("Invalid", `${what} '${display(fromText(name))}' ${why}`);
  if (name === "") throw new CfsError("Invalid", `the ${what} is empty`);
  if (name.includes("\0")) throw invalid("contains a NUL character");
  if (name.startsWith("/")) throw invalid("must not begin with '/'");
  const components = name.split("/").map(fromText);
  for (const component of components) {
    if (component === "") throw invalid("has an empty component");
    if (component === "." || component === "..") throw invalid(`must not contain '${component}'`);
    if (component.length > MAX_NAME) throw invalid(`has a component of more than ${MAX_NAME} bytes`);
  }
  return components;
}

/** Checks the id under which a stream is stored: one component, and not the name of the refs' directory. */
export function checkContentId(id: string): ByteString {
  const [component, ...more] = pathComponents(id, "stream id");
  if (more.length > 0) throw new CfsError("Invalid", `stream id '${display(fromText(id))}' contains '/'`);
  if (component === REFS) throw new CfsError("Invalid", `stream id '${REFS}' is reserved`);
  return component!;
}

/** Target of the links `streams/ID` and `images/HEX`. */
export function objectTarget(id: ObjectId): ByteString {
  return `../objects/${objectPath(id)}`;
}

/**
 * The object that a link's target names by its last `xx/rest`; what comes before is not looked at.
 * @throws CfsError Invalid
 */
export function objectOfTarget(target: ByteString, algorithm: Algorithm): ObjectId {
  const tail = target.slice(-(algorithm.size * 2 + 1));
  if (tail.length <= algorithm.size * 2 || tail[2] !== "/") {
    throw new CfsError("Invalid", `link target '${display(target)}' is no path of an object`);
  }
  return parseObjectId(tail.slice(0, 2) + tail.slice(3), algorithm);
}

/** Last component of a path as the target of a link may be one; undefined for `..`, `.` and `/`. */
export function baseName(path: ByteString): ByteString | undefined {
  const last = path.split("/").findLast((component) => component !== "" && component !== ".");
  return last === ".." ? undefined : last;
}

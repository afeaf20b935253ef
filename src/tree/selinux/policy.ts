import type { ByteString } from "../../bytes.ts";
import { CfsError, kindOf, withContext } from "../../errors.ts";
import type { Directory, Leaf, Node } from "../model.ts";
import { subdirectory } from "../walk.ts";
import { Automaton, type AutomatonState } from "./automaton.ts";
import { compileSearch, Effort, type Search } from "./backtrack.ts";
import {
  type ContextRule,
  parseFileContexts,
  parsePolicyType,
  parseSubstitutions,
  type TypeLetter,
} from "./file-contexts.ts";
import { readLinearPattern } from "./linear-syntax.ts";
import { isRegular, type Pattern } from "./pattern.ts";
import { readPerlPattern } from "./perl-syntax.ts";

/**
 * The content of a regular file of the tree.
 * @param path of the file in the tree, beginning with `/`.
 * @param max most bytes to read. @throws CfsError when there are more
 */
export type ReadFile = (file: Leaf, path: ByteString, max: number) => ByteString;

/** Policy files are a few hundred KiB. */
const MAX_POLICY_FILE = 8 * 1024 * 1024;

const CONTEXT_FILES = ["file_contexts", "file_contexts.local", "file_contexts.homedirs"];
const SUBSTITUTION_FILES = ["file_contexts.subs", "file_contexts.subs_dist"];

/** A rule that needs more than an automaton. */
interface SearchRule {
  readonly number: number;
  readonly search: Search;
}

/** Which label an SELinux policy gives to a path. */
export class FileLabels {
  readonly #rules: readonly ContextRule[];
  readonly #substitutions: ReadonlyMap<ByteString, ByteString>;
  readonly #automaton = new Automaton();
  /** The last rule first. */
  readonly #searches: SearchRule[] = [];

  /** @throws CfsError Invalid when a rule is no regular expression */
  constructor(rules: readonly ContextRule[], substitutions: ReadonlyMap<ByteString, ByteString> = new Map()) {
    this.#rules = rules;
    this.#substitutions = substitutions;
    const effort = new Effort();
    for (const [number, { expression, type }] of rules.entries()) {
      const { pattern, anchored } = readPattern(`^(${expression})${type ?? "."}$`);
      const regular = regularPart(pattern);
      if (regular === undefined)
        this.#searches.push({ number, search: compileSearch(pattern, anchored, effort) });
      else this.#automaton.add(regular, number);
    }
    this.#searches.reverse();
  }

  root(): LabelledPath {
    return this.#path("/");
  }

  /** The path of an entry in the directory `parent`. */
  below(parent: LabelledPath, name: ByteString): LabelledPath {
    const tail = parent.path === "/" ? name : `/${name}`;
    const original = this.#substitutions.get(parent.path + tail);
    return original === undefined
      ? { path: parent.path + tail, state: this.#walk(parent.state, tail) }
      : this.#path(original);
  }

  /** @returns the label of the last rule that matches, undefined when there is none or it says so. */
  labelOf({ path, state }: LabelledPath, type: TypeLetter): ByteString | undefined {
    let found = -1;
    for (let i = state.matches.length - 1; i >= 0 && found < 0; i--) {
      const number = state.matches[i]!;
      const wanted = this.#rules[number]!.type;
      if (wanted === undefined || wanted === type) found = number;
    }
    for (const { number, search } of this.#searches) {
      if (number < found) break;
      if (search(path + type)) {
        found = number;
        break;
      }
    }
    return found < 0 ? undefined : this.#rules[found]!.label;
  }

  #path(path: ByteString): LabelledPath {
    return { path, state: this.#walk(this.#automaton.start, path) };
  }

  #walk(from: AutomatonState, bytes: ByteString): AutomatonState {
    let state = from;
    for (let i = 0; i < bytes.length; i++) state = this.#automaton.step(state, bytes.charCodeAt(i));
    return state;
  }
}

/** A path after substitution, with what has been found out about it. */
export interface LabelledPath {
  readonly path: ByteString;
  readonly state: AutomatonState;
}

/**
 * The policy that is part of a tree, in `/etc/selinux`.
 * @returns undefined when the tree has none or names none in `/etc/selinux/config`.
 * @throws CfsError NotFound, Invalid, Unsupported
 */
export function readPolicy(root: Directory, readFile: ReadFile): FileLabels | undefined {
  const etc = root.entries.get("etc");
  if (etc === undefined) return undefined;
  const selinux = subdirectory(root, "etc").entries.get("selinux");
  if (selinux === undefined) return undefined;
  try {
    const directory = subdirectory(etc as Directory, "selinux");
    const config = readIn(directory, "/etc/selinux", "config", readFile);
    const type = config === undefined ? undefined : parsePolicyType(config);
    if (type === undefined) return undefined;
    const files = ["contexts", "files"].reduce(subdirectory, subdirectory(directory, type));
    return readPolicyFiles(files, `/etc/selinux/${type}/contexts/files`, readFile);
  } catch (error) {
    throw withContext("the SELinux policy in the tree", error);
  }
}

function readPolicyFiles(files: Directory, path: ByteString, readFile: ReadFile): FileLabels {
  if (!files.entries.has("file_contexts"))
    throw new CfsError("NotFound", "SELinux policy is missing mandatory file_contexts file");
  const rules = CONTEXT_FILES.flatMap((name) => {
    const bytes = readIn(files, path, name, readFile);
    return bytes === undefined ? [] : parseFileContexts(bytes, name);
  });
  const substitutions = SUBSTITUTION_FILES.flatMap((name) => {
    const bytes = readIn(files, path, name, readFile);
    return bytes === undefined ? [] : parseSubstitutions(bytes, name);
  });
  return new FileLabels(rules, new Map(substitutions));
}

function readIn(
  directory: Directory,
  path: ByteString,
  name: string,
  readFile: ReadFile,
): ByteString | undefined {
  const node: Node | undefined = directory.entries.get(name);
  if (node === undefined) return undefined;
  if (node.kind === "directory") throw new CfsError("Invalid", `Directory entry "${name}" is a directory`);
  const { content } = node;
  if (content.type === "inline") return content.data;
  const hasData = content.type === "external" || content.type === "external-no-verity";
  if (!hasData) throw new CfsError("Invalid", `Directory entry "${name}" is not a regular file`);
  return readFile(node, `${path}/${name}`, MAX_POLICY_FILE);
}

/** Patterns of the one syntax are tried first: what both know may mean different things in them. */
function readPattern(text: string): { pattern: Pattern; anchored: boolean } {
  try {
    return { pattern: readLinearPattern(text), anchored: true };
  } catch (error) {
    if (kindOf(error) !== "Invalid") throw error;
    const pattern = readPerlPattern(text);
    // Alternatives beside the group of `^(…)T$` need not begin at the beginning.
    return { pattern, anchored: pattern.kind === "sequence" };
  }
}

/** What stands in the group of `^(…)T$`, when an automaton can match it and nothing stands beside the group. */
function regularPart(whole: Pattern): Pattern | undefined {
  if (whole.kind !== "sequence" || whole.parts.length !== 4) return undefined;
  const [start, group, type, end] = whole.parts;
  if (start?.kind !== "assertion" || end?.kind !== "assertion" || type?.kind !== "set") return undefined;
  return group?.kind === "group" && isRegular(group.part) ? group.part : undefined;
}

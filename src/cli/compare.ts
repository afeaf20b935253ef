import { fromText } from "../bytes.ts";
import { explainImages, type ImageComparison, type ImageFacts } from "../erofs/explain-images.ts";
import { LAYOUT_ASPECTS } from "../erofs/layout-aspects.ts";
import { CfsError } from "../errors.ts";
import { findComparable, isPathName } from "../oci/diff.ts";
import { acquireJobs } from "../parallel/jobs.ts";
import { repositoryPath } from "../repository/location.ts";
import type { Repository } from "../repository/repository.ts";
import { AT_FDCWD, existsat } from "../sys/file.ts";
import { DIFF_FIELDS, type Difference, type DiffField, diffTrees } from "../tree/diff.ts";
import { type DiffSide, knownReason } from "../tree/diff-reasons.ts";
import { bytesText } from "../tree/diff-text.ts";
import { parseXattrFilter } from "../tree/transform.ts";
import { formatObjectId } from "../verity/digest.ts";
import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import { chosenAlgorithm } from "./directory.ts";
import { openRepository } from "./repository.ts";

/** Exit code for "they differ", which is no failure. */
const DIFFERENT = 1;

export interface CompareMode {
  /** What a name is looked for first. */
  readonly prefer: "container" | "erofs";
  /** Also compare the images of trees that are the same. */
  readonly withImages: boolean;
}

interface Explained {
  readonly difference: Difference;
  readonly reason: string | undefined;
}

/** Asked for when no difference between files is unexplained; `areFilesSame` when there is none at all. */
type CompareImages = (areFilesSame: boolean) => ImageComparison | undefined;

/** Compares what the arguments EXPECTED and FOUND name, and prints in what they differ. */
export async function compare(context: Context, args: Arguments, mode: CompareMode): Promise<void> {
  const { globals } = context;
  const ignore = ignoredFields(args.list("ignore"));
  const names = [args.required("EXPECTED"), args.required("FOUND")] as const;
  using repository = neededRepository(context, names);
  using jobs = acquireJobs(globals.jobs);
  const options = {
    xattrs: parseXattrFilter(args.text("xattrs")!),
    jobs: jobs.count,
    progress: context.progress,
    prefer: mode.prefer,
  };
  const first = findComparable(repository, names[0], options);
  const second = findComparable(repository, names[1], options);
  const common = first.algorithm ?? second.algorithm ?? repository?.algorithm ?? chosenAlgorithm(globals);
  const expected = await first.load(first.algorithm ?? common);
  const found = await second.load(second.algorithm ?? common);

  const { algorithm } = expected;
  const differences = diffTrees(expected.root, found.root, {
    algorithm,
    foundAlgorithm: found.algorithm,
    ignore,
  });
  const ignoreKnown = args.flag("ignore-known");
  const shown = explained(differences, expected, found, ignoreKnown);
  const images: CompareImages = (areFilesSame) => {
    if (!mode.withImages || ignore.size > 0 || ignoreKnown) return undefined;
    // What differs between files may be a matter of format alone.
    if (!areFilesSame && (expected.image === undefined || found.image === undefined)) return undefined;
    return explainImages(expected, found, repository?.erofsVersion ?? globals.erofsVersion ?? 1);
  };
  const areEqual = args.flag("json") ? printJson(context, shown, images) : printText(context, shown, images);
  if (!areEqual) process.exitCode = DIFFERENT;
}

/** Undefined where only paths of the file system are compared. */
function neededRepository(context: Context, names: readonly string[]): Repository | undefined {
  const { globals } = context;
  if (globals.noRepo || names.every(isPathName)) return undefined;
  const isNamed = globals.repo !== undefined || globals.user === true || globals.system === true;
  const areFiles = () => names.every((name) => existsat(AT_FDCWD, fromText(name)));
  if (!isNamed && !existsat(AT_FDCWD, fromText(repositoryPath(globals))) && areFiles()) return undefined;
  return openRepository(context);
}

/** @param texts lists of fields, separated by commas. */
function ignoredFields(texts: readonly string[]): ReadonlySet<DiffField> {
  const fields = new Set<DiffField>();
  for (const text of texts.flatMap((list) => list.split(","))) {
    const name = text === "xattrs" ? "xattr" : text;
    const field = DIFF_FIELDS.find((known) => known === name);
    if (field === undefined) {
      throw new CfsError("Usage", `invalid value '${text}' for '--ignore': no such field`, {
        hint: `the fields are ${DIFF_FIELDS.join(", ")}`,
      });
    }
    fields.add(field);
  }
  return fields;
}

function* explained(
  differences: Iterable<Difference>,
  expected: DiffSide,
  found: DiffSide,
  ignoreKnown: boolean,
): Generator<Explained> {
  for (const difference of differences) {
    const reason = knownReason(difference, expected, found);
    if (reason === undefined || !ignoreKnown) yield { difference, reason };
  }
}

/**
 * One line each, with tabs between the columns; nothing at all when there are none.
 * @returns whether nothing differs.
 */
function printText({ out }: Context, differences: Iterable<Explained>, images: CompareImages): boolean {
  let count = 0;
  let unexplained = 0;
  for (const { difference, reason } of differences) {
    const { path, field, xattr, expected = "-", found = "-" } = difference;
    if (count++ === 0) out.line("ENTRY\tFIELD\tEXPECTED\tFOUND\tKNOWN REASON");
    const name = xattr === undefined ? field : `${field} ${bytesText(xattr)}`;
    out.line([bytesText(path), name, expected, found, ...(reason === undefined ? [] : [reason])].join("\t"));
    if (reason === undefined) unexplained++;
  }
  const comparison = unexplained === 0 ? images(count === 0) : undefined;
  if (comparison === undefined || comparison.differences.length === 0) return count === 0;
  const { expected, found, differences: layout } = comparison;
  if (count > 0) out.line();
  out.line(
    count > 0 ? "The images differ in more than that:" : "The files are the same, but not the images:",
  );
  out.line("ASPECT\tEXPECTED\tFOUND\tFIRST ENTRY\tENTRIES\tWHY");
  const id = ({ id, algorithm }: ImageFacts) => formatObjectId(id, algorithm);
  out.line(`digest\t${id(expected)}\t${id(found)}`);
  if (expected.isMade || found.isMade) out.line(`image\t${origin(expected)}\t${origin(found)}`);
  for (const { aspect, expected, found, entry, count } of layout) {
    const where = entry === undefined ? ["-", "-"] : [bytesText(entry), String(count)];
    out.line([aspect, expected, found, ...where, LAYOUT_ASPECTS[aspect]].join("\t"));
  }
  if (expected.oddity !== undefined) out.line(`The expected image is unusual: ${expected.oddity}`);
  if (found.oddity !== undefined) out.line(`The found image is unusual: ${found.oddity}`);
  return false;
}

function origin({ isMade, format }: ImageFacts): string {
  return isMade ? `made of the files, in format ${format}` : "as it is";
}

/** One document, one difference a line, written as they are found. Parameters and result are those of `printText`. */
function printJson({ out }: Context, differences: Iterable<Explained>, images: CompareImages): boolean {
  let count = 0;
  let unexplained = 0;
  out.text('{\n  "differences": [');
  for (const { difference, reason } of differences) {
    const { path, field, xattr, expected, found } = difference;
    const entry = {
      entry: bytesText(path),
      field,
      ...(xattr !== undefined && { xattr: bytesText(xattr) }),
      expected: expected ?? null,
      found: found ?? null,
      known_reason: reason ?? null,
    };
    out.text(`${count++ === 0 ? "" : ","}\n    ${JSON.stringify(entry)}`);
    if (reason === undefined) unexplained++;
  }
  out.text(`${count === 0 ? "" : "\n  "}],\n  "count": ${count},\n`);
  const comparison = unexplained === 0 ? images(count === 0) : undefined;
  if (comparison !== undefined) {
    const text = JSON.stringify(imagesJson(comparison), undefined, 2).replaceAll("\n", "\n  ");
    out.text(`  "images": ${text},\n`);
  }
  const areEqual = count === 0 && (comparison?.differences.length ?? 0) === 0;
  out.line(`  "equal": ${areEqual}\n}`);
  return areEqual;
}

function imagesJson({ expected, found, differences }: ImageComparison) {
  const facts = ({ id, algorithm, format, size, isMade, oddity }: ImageFacts) => ({
    id: formatObjectId(id, algorithm),
    format,
    size,
    made_for_comparison: isMade,
    unusual: oddity ?? null,
  });
  return {
    expected: facts(expected),
    found: facts(found),
    same: differences.length === 0,
    differences: differences.map(({ aspect, expected, found, entry, count }) => ({
      aspect,
      expected,
      found,
      entry: entry === undefined ? null : bytesText(entry),
      entries: entry === undefined ? null : count,
      why: LAYOUT_ASPECTS[aspect],
    })),
  };
}
